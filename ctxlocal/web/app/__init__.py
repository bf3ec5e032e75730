"""An application: routing, hooks, error handlers and sessions, under WSGI and ASGI.

``application`` has the whole flow of a request, and ``asgi`` what of it is asynchronous;
``registry`` keeps what an application registers.
"""

from .application import App as App
from .application import Request as Request
from .application import Response as Response
from .application import TestClient as TestClient
from .application import abort as abort
from .application import current_app as current_app
from .application import flash as flash
from .application import g as g
from .application import get_flashed_messages as get_flashed_messages
from .application import jsonify as jsonify
from .application import redirect as redirect
from .application import request as request
from .application import session as session
from .application import url_for as url_for

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
