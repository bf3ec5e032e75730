"""R1 to R6: ids, and what has none."""

from __future__ import annotations

from .mutation import broken, edit

MUTATIONS = (
    broken(
        1,
        "ids of 128 bits",
        edit("os.urandom(32)", "os.urandom(16) + bytes(16)"),
    ),
    broken(
        1,
        "ids out of a generator that can be predicted",
        edit("os.urandom(32)", "__import__('random').randbytes(32)"),
    ),
    broken(
        2,
        "an id that was never issued is accepted",
        edit(
            "new_id()",
            "(self.sessions.ids_in(self.session._cookies) or [new_id()])[0]",
            within="_create",
        ),
    ),
    broken(
        2,
        "an unknown id gets a record",
        edit(
            "not (changes.sets.keys() - _ABOUT)",
            "not (changes.sets.keys() - _ABOUT) and not self._has_cookie()",
        ),
    ),
    broken(
        2,
        "a malformed id is looked up",
        edit(
            r'rf"(?:^|;)[ \t]*{re.escape(name)}=[ \t]*([A-Za-z0-9_-]{{43}})(?=[ \t]*(?:;|\Z))"',
            r'rf"(?:^|;)[ \t]*{re.escape(name)}=[ \t]*([^;]*)(?=[ \t]*(?:;|\Z))"',
        ),
    ),
    broken(
        3,
        "regenerate() leaves the old id alive",
        edit("_move(saving, held, {}, grace)", "_move(saving, held, {}, grace or 60.0)"),
    ),
    broken(
        3,
        "a login keeps the id",
        edit("self._regenerate = 0.0", "pass"),
    ),
    broken(
        3,
        "a login heeds a configured grace",
        edit("self._regenerate = 0.0", "self._regenerate = self._regenerate or 0.0"),
        edit(
            "_move(saving, held, sets, 0.0)",
            "_move(saving, held, sets, session._regenerate or 0.0)",
        ),
    ),
    broken(
        3,
        "a log-out keeps the id",
        edit("0.0 if was_login else self._regenerate", "self._regenerate"),
    ),
    broken(
        3,
        "another user takes over what the former had",
        edit("former is not None and former != user", "False"),
    ),
    broken(
        3,
        "no grace for requests under way",
        edit("_move(saving, held, {}, grace)", "_move(saving, held, {}, 0.0)"),
    ),
    broken(
        3,
        "an old id with a grace is dead to those under way",
        edit("end > now", "False"),
    ),
    broken(
        3,
        "a grace has no end",
        edit("end > now", "end > 0.0"),
    ),
    broken(
        3,
        "a login leaves an old id in its grace",
        edit("{}", "self.olds | {self.former: self.grace}", within="moved"),
        edit("self._unlink_all(former, place)", "self._unlink(former.key, place)"),
    ),
    broken(
        3,
        "of two renewals at once the second is an error",
        edit(
            "grace and await look_again(saving.sessions, saving.store, held.key) is not None",
            "False and await look_again(saving.sessions, saving.store, held.key) is not None",
        ),
    ),
    broken(
        3,
        "a response to an old id sets the cookie",
        edit("current is None or current == mark(self.key)", "True"),
    ),
    broken(
        3,
        "the cookie goes back to an id that was renewed meanwhile",
        edit(
            "ops: list[Op] = [*guard, *expects, *changes.ops]",
            """
                guard = ()
                ops: list[Op] = [*expects, *changes.ops]
            """,
        ),
        edit(
            "Change(commit_id(), sets, deletes, guard)",
            "Change(commit_id(), sets, deletes, ())",
        ),
    ),
    broken(
        4,
        "the store sees ids",
        edit("sha256(session_id.encode()).hexdigest()", "session_id"),
    ),
    broken(
        5,
        "an id in the URL is taken (WSGI)",
        edit(
            'environ.get("HTTP_COOKIE", "")',
            'environ.get("HTTP_COOKIE") or environ.get("QUERY_STRING", "")',
        ),
    ),
    broken(
        5,
        "an id in the URL is taken (App)",
        edit(
            'request.environ.get("HTTP_COOKIE", "")',
            'request.environ.get("HTTP_COOKIE") or request.environ.get("QUERY_STRING", "")',
        ),
    ),
    broken(
        5,
        "an id in any header field is taken (ASGI)",
        edit(
            'len(name) == 6 and name.lower() == b"cookie"',
            'name.lower() in (b"cookie", b"x-session")',
        ),
    ),
    broken(
        5,
        "logs carry the store's key",
        edit("blake2b(key.encode(), key=_process.salt, digest_size=6).hexdigest()", "key"),
    ),
    broken(
        5,
        "the name in logs has no salt",
        edit(
            "blake2b(key.encode(), key=_process.salt, digest_size=6)",
            "blake2b(key.encode(), digest_size=6)",
        ),
    ),
    broken(
        6,
        "an untouched session has headers",
        edit("not self._accessed", "False", within="QuickSession._finish_at_once"),
        edit("self._accessed", "True", within="Session._finish_at_once"),
    ),
    broken(
        6,
        "an empty session is stored",
        edit("changes.sets.keys() - _ABOUT", "True"),
    ),
    broken(
        6,
        "an empty session has a cookie",
        edit("_NO_CONTENT.issuperset(fields)", "not fields and self._find(session._cookies)"),
    ),
)
