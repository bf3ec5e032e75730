"""A request and its contexts, under WSGI and ASGI: what a view imports.

``context`` finds the current ones and ``contexts`` are they; ``wsgi`` and ``asgi`` serve any
application within them, ``app`` has one of our own. App and what else needs werkzeug is loaded
when it is asked for.

May import: ``errors``, ``ident``, ``local``, ``flow``, ``sessions``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .context import after_this_request as after_this_request
from .context import copy_current_request_context as copy_current_request_context
from .context import current_app as current_app
from .context import flash as flash
from .context import g as g
from .context import get_flashed_messages as get_flashed_messages
from .context import has_app_context as has_app_context
from .context import has_request_context as has_request_context
from .context import on_teardown as on_teardown
from .context import request as request
from .context import session as session

if TYPE_CHECKING:
    from .app import App as App
    from .app import Request as Request
    from .app import Response as Response
    from .app import abort as abort
    from .app import jsonify as jsonify
    from .app import redirect as redirect
    from .app import url_for as url_for

_OF_THE_APP = {"App", "Request", "Response", "abort", "jsonify", "redirect", "url_for"}

__all__ = [
    "App",
    "Request",
    "Response",
    "abort",
    "after_this_request",
    "copy_current_request_context",
    "current_app",
    "flash",
    "g",
    "get_flashed_messages",
    "has_app_context",
    "has_request_context",
    "jsonify",
    "on_teardown",
    "redirect",
    "request",
    "session",
    "url_for",
]


def __getattr__(name: str) -> Any:
    if name not in _OF_THE_APP:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import app

    return getattr(app, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
