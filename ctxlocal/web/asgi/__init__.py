"""ASGI: contexts and sessions around any application."""

from .middleware import ContextMiddleware as ContextMiddleware

__all__ = ["ContextMiddleware"]
