"""Django: a context for each request, and its sessions kept by ctxlocal. For Django from 5.2 on.

::

    MIDDLEWARE = ["ctxlocal.integrations.django.ContextMiddleware", ...]
    SESSION_ENGINE = "ctxlocal.integrations.django.sessions"
    CTXLOCAL = {"STORE": "redis://localhost/0"}
    INSTALLED_APPS = [..., "ctxlocal.integrations.django"]  # for the checks

Each works without the other. Nothing here needs settings when it is imported.
"""

from __future__ import annotations

from .context import ContextMiddleware as ContextMiddleware
from .context import request as request
from .context import user as user

__all__ = ["ContextMiddleware", "request", "user"]
