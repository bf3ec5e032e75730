"""ASGI: contexts and sessions around any application.

``middleware`` serves; ``environ`` and ``body`` translate a request and its answer for an
application of WSGI's kind, and ``thread`` calls its synchronous functions.
"""

from .middleware import ContextMiddleware as ContextMiddleware

__all__ = ["ContextMiddleware"]
