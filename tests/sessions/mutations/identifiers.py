"""R1 to R6: ids, and what has none."""

from __future__ import annotations

from .mutation import (
    ASGI,
    HEADERS,
    IN_COOKIE,
    MEMORY,
    MODEL,
    QUICK,
    RECORD,
    STORED,
    TOKEN,
    WSGI,
    broken,
)

MUTATIONS = (
    broken(1, "ids of 128 bits", TOKEN, "os.urandom(32)", "os.urandom(16) + bytes(16)"),
    broken(
        1,
        "ids out of a generator that can be predicted",
        TOKEN,
        "os.urandom(32)",
        "__import__('random').randbytes(32)",
    ),
    broken(
        2,
        "an id that was never issued is accepted",
        RECORD,
        "            session_id = new_id()\n            key = key_of",
        "            session_id = (self._sessions.ids_in(self._cookies) or [new_id()])[0]\n"
        "            key = key_of",
    ),
    broken(
        2,
        "an unknown id gets a record",
        RECORD,
        "        ):\n            return Results()\n        now = self._sessions.clock()\n",
        "        ) and not self._has_cookie():\n"
        "            return Results()\n        now = self._sessions.clock()\n",
    ),
    broken(2, "a malformed id is looked up", TOKEN, "([A-Za-z0-9_-]{{43}})", "([^;]*)"),
    broken(
        3,
        "regenerate() leaves the old id alive",
        RECORD,
        "if (yield from self._move({}, grace)):",
        "if (yield from self._move({}, grace or 60.0)):",
    ),
    broken(
        3,
        "a login keeps the id",
        MODEL,
        "        self._regenerate = 0.0\n\n    def require_fresh",
        "\n    def require_fresh",
    ),
    broken(
        3,
        "a login heeds a configured grace",
        MODEL,
        "        self._regenerate = 0.0\n\n    def require_fresh",
        "        self._regenerate = self._regenerate or 0.0\n\n    def require_fresh",
        RECORD,
        "stored = yield from self._move(sets, 0.0)",
        "stored = yield from self._move(sets, self._regenerate or 0.0)",
    ),
    broken(
        3,
        "a log-out keeps the id",
        MODEL,
        "regenerate = 0.0 if was_login else self._regenerate",
        "regenerate = self._regenerate",
    ),
    broken(
        3,
        "another user takes over what the former had",
        MODEL,
        "        if former is not None and former != user:\n            self.clear()\n",
        "",
    ),
    broken(
        3,
        "no grace for requests under way",
        RECORD,
        "if (yield from self._move({}, grace)):",
        "if (yield from self._move({}, 0.0)):",
    ),
    broken(
        3,
        "an old id with a grace is dead to those under way",
        MEMORY,
        "        return end > now\n",
        "        return False\n",
    ),
    broken(
        3,
        "a grace has no end",
        MEMORY,
        "        return end > now\n",
        "        return end > 0.0\n",
    ),
    broken(
        3,
        "a login leaves an old id in its grace",
        MEMORY,
        "            return _Keys(new, old, 0.0, {})\n",
        "            return _Keys(new, old, 0.0, self.olds | {self.former: self.grace})\n",
        MEMORY,
        "            self._unlink_all(former, place)\n        state, now",
        "            self._unlink(former.key, place)\n        state, now",
    ),
    broken(
        3,
        "of two renewals at once the second is an error",
        RECORD,
        "if grace and (yield from self._look()) is not None:",
        "if False and (yield from self._look()) is not None:",
    ),
    broken(
        3,
        "a response to an old id sets the cookie",
        RECORD,
        '        if current is None or current == _mark(self._key or ""):\n',
        "        if True:\n",
    ),
    broken(
        3,
        "the cookie goes back to an id that was renewed meanwhile",
        RECORD,
        "ops: list[Op] = [*guard, *expects, *changes.ops]",
        "guard = ()\n            ops: list[Op] = [*expects, *changes.ops]",
        QUICK,
        "changes.sets, changes.deletes, guard)",
        "changes.sets, changes.deletes, ())",
    ),
    broken(
        4,
        "the store sees ids",
        TOKEN,
        "return sha256(session_id.encode()).hexdigest()",
        "return session_id",
    ),
    broken(
        5,
        "an id in the URL is taken (WSGI)",
        WSGI,
        'environ.get("HTTP_COOKIE", "")',
        'environ.get("HTTP_COOKIE") or environ.get("QUERY_STRING", "")',
    ),
    broken(
        5,
        "an id in the URL is taken (App)",
        HEADERS,
        'request.environ.get("HTTP_COOKIE", "")',
        'request.environ.get("HTTP_COOKIE") or request.environ.get("QUERY_STRING", "")',
    ),
    broken(
        5,
        "an id in any header field is taken (ASGI)",
        ASGI,
        'if name.lower() == b"cookie"',
        'if name.lower() in (b"cookie", b"x-session")',
    ),
    broken(
        5,
        "logs carry the store's key",
        TOKEN,
        "return blake2b(key.encode(), key=_process.salt, digest_size=6).hexdigest()",
        "return key",
    ),
    broken(5, "the name in logs has no salt", TOKEN, "key=_process.salt, ", ""),
    broken(
        6,
        "an untouched session has headers",
        STORED,
        "    def save(self, session: Session) -> SessionHeaders:\n"
        '        """Store what changed and close the session; called once, before headers '
        'are sent."""\n'
        "        if not session._accessed:\n",
        "    def save(self, session: Session) -> SessionHeaders:\n"
        '        """Store what changed and close the session; called once, before headers '
        'are sent."""\n'
        "        if False:\n",
    ),
    broken(
        6,
        "an empty session is stored",
        RECORD,
        "            changes.sets.keys() - _ABOUT\n",
        "            True\n",
    ),
    broken(
        6,
        "an empty session has a cookie",
        IN_COOKIE,
        "if _NO_CONTENT.issuperset(fields):",
        "if not fields and session._sent:",
    ),
)
