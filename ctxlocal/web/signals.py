"""Signals of an App: blinker's, under the names that Flask gave them.

Each is sent with the App as its sender, while its contexts are in place unless it says
otherwise. A receiver that raises makes the request fail.
"""

from __future__ import annotations

from ..errors import MissingDependencyError

try:
    from blinker import Namespace
except ImportError as error:
    raise MissingDependencyError("ctxlocal.web.signals", "blinker", "web") from error

_signals = Namespace()

request_started = _signals.signal("request-started", "A request is about to be handled.")
request_finished = _signals.signal(
    "request-finished", "The response= is made, the session saved; the body may still stream."
)
request_tearing_down = _signals.signal(
    "request-tearing-down", "A request ends; exc= is what went wrong, or None."
)
got_request_exception = _signals.signal(
    "got-request-exception", "No error handler took exception=; the response will be a 500 or 503."
)
appcontext_pushed = _signals.signal("appcontext-pushed", "An application context is in place.")
appcontext_tearing_down = _signals.signal(
    "appcontext-tearing-down", "An application context ends; exc= is what went wrong, or None."
)
appcontext_popped = _signals.signal("appcontext-popped", "An application context is gone.")
