"""What happens to sessions, as signals of blinker.

Each is sent with the session interface as its sender, and ``session=`` (the Session) or,
where there is none, None; ``rejected`` and ``conflict`` add ``reason=``. No signal carries
an id. A receiver that raises makes the request fail.
"""

from __future__ import annotations

from ..errors import MissingDependencyError

try:
    from blinker import Namespace
except ImportError as error:
    raise MissingDependencyError("ctxlocal.sessions", "blinker", "sessions") from error

_signals = Namespace()

created = _signals.signal("session-created", "A record was created; its id is new.")
loaded = _signals.signal("session-loaded", "A record was loaded.")
regenerated = _signals.signal("session-regenerated", "A record got a new id.")
destroyed = _signals.signal("session-destroyed", "A record was removed on purpose.")
expired = _signals.signal("session-expired", "A record was past its idle or absolute limit.")
rejected = _signals.signal("session-rejected", "A cookie or a record was not accepted.")
conflict = _signals.signal("session-conflict", "Changes were not stored: another request's won.")
