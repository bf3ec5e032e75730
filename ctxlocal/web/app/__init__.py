"""An application: routing, hooks, error handlers and sessions, under WSGI and ASGI.

``application`` has the whole flow of a request, and ``asgi`` what of it is asynchronous;
``registry`` keeps what an application registers.
"""

from ..context import current_app as current_app
from ..context import flash as flash
from ..context import g as g
from ..context import get_flashed_messages as get_flashed_messages
from ..context import request as request
from ..context import session as session
from .application import App as App
from .application import url_for as url_for
from .messages import Request as Request
from .messages import Response as Response
from .messages import abort as abort
from .messages import jsonify as jsonify
from .messages import redirect as redirect
from .test_client import TestClient as TestClient

__all__ = [
    "App",
    "Request",
    "Response",
    "TestClient",
    "abort",
    "current_app",
    "flash",
    "g",
    "get_flashed_messages",
    "jsonify",
    "redirect",
    "request",
    "session",
    "url_for",
]
