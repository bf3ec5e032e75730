"""R7 to R12: how sessions end, and who may have how many."""

from __future__ import annotations

from .mutation import broken, edit

MUTATIONS = (
    broken(
        7,
        "a store makes the record anew",
        edit(
            "return _REVOKED",
            """
                self.create(key, change.sets, ttl)
                return Answer("committed", (0,) * len(change.ops))
            """,
            within="MemoryStore.commit",
        ),
    ),
    broken(
        7,
        "the session makes a record anew",
        edit(
            "self.session._lose(done.reason, ...)",
            """
                self.session._held = None
                await self.create(changes)
            """,
        ),
    ),
    broken(
        7,
        "a request goes on storing after it lost",
        edit("self._is_lost = True", "self._is_lost = False"),
    ),
    broken(
        7,
        "a login after the end brings back what was there",
        edit("session._keep_own()", "pass"),
    ),
    broken(
        7,
        "a login after the end is none",
        edit("await saving.create(session._changes())", "pass"),
    ),
    broken(
        7,
        "what was told and not done is no error",
        edit(
            """
                if must:
                    raise SessionEndedError(reason)
            """,
            "pass",
        ),
    ),
    broken(
        7,
        "a change that was refused is taken for stored",
        edit(
            'type(answer) is not Answer or answer.outcome != "committed"',
            "type(answer) is not Answer",
        ),
    ),
    broken(
        8,
        "a user sees the sessions of all",
        edit(
            "[item for item in self.scan() if item[1].values.get(USER) == wanted]",
            "list(self.scan())",
        ),
    ),
    broken(
        8,
        "the session that asks is not told apart",
        edit(
            "session_info(key, record, ...)",
            "session_info(key, record)",
        ),
    ),
    broken(
        8,
        "revoke() ends nothing",
        edit(
            "removed = await store.revoke(named.user, None, named.name)",
            "removed = len(await store.list(named.user))",
        ),
    ),
    broken(
        8,
        "a handle is that of the id of the moment",
        edit("name is None", "True", within="handle_of"),
    ),
    broken(
        8,
        "a handle ends all of the user's sessions",
        edit("store.revoke(named.user, None, named.name)", "store.revoke(named.user, None)"),
    ),
    broken(
        8,
        "a user revokes another user's session",
        edit("named is None or user not in (None, named.user)", "named is None"),
    ),
    broken(
        8,
        "revoke_all() ends the current one too",
        edit("_held_by(except_current)", "None"),
    ),
    broken(
        8,
        "revoke_all() spares one that was not looked at",
        edit("session._read()", "pass", within="_held_by"),
    ),
    broken(
        8,
        "revoke_everyone() spares visitors",
        edit(
            "(self._end(place) for place, _ in self._live())",
            "(self._end(place) for place, s in self._live() if USER in s.values)",
        ),
    ),
    broken(
        9,
        "the idle limit is not checked at load",
        edit("now < limit and now - touched < idle", "now < limit"),
    ),
    broken(
        9,
        "the absolute limit is not checked at load",
        edit("now < limit and now - touched < idle", "now - touched < idle"),
    ),
    broken(
        9,
        "use moves the absolute limit",
        edit("float(fields[BORN])", "self.clock()"),
    ),
    broken(
        9,
        "use moves the absolute limit of a cookie",
        edit("_time(opened.fields.get(BORN))", "now"),
    ),
    broken(
        9,
        "a clear moves the absolute limit",
        edit(
            "raw is not None and regenerate is None",
            "name != BORN and raw is not None and regenerate is None",
        ),
    ),
    broken(
        9,
        "every read is a write",
        edit("is_due or self.session._renew", "True"),
        edit("sessions.clock() - record.touched >= sessions.touch_interval", "True"),
    ),
    broken(
        9,
        "a cookie has no idle limit of now",
        edit(
            "now - envelope.touched < idle and now < limit",
            "now < limit",
            within="_CookieSessions",
        ),
    ),
    broken(
        9,
        "a cookie has no absolute limit",
        edit(
            "now - envelope.touched < idle and now < limit",
            "now - envelope.touched < idle",
            within="_CookieSessions",
        ),
    ),
    broken(
        9,
        "a renewed cookie outlasts the absolute limit",
        edit("left = limit - now", "pass"),
    ),
    broken(
        10,
        "valid_after is not asked",
        edit("self.valid_after is not None", "False"),
    ),
    broken(
        10,
        "a cookie made after valid_after passes, whenever the login was",
        edit("max(born, _time(fields.get(AUTHENTICATED)))", "envelope.touched"),
    ),
    broken(
        11,
        "nobody gives way",
        edit("max(0, len(others) + 1 - limit)", "0"),
    ),
    broken(
        11,
        "the session used last gives way",
        edit("others[:...]", "others[::-1][:...]"),
    ),
    broken(
        11,
        "one more than allowed",
        edit("len(others) >= limit", "len(others) > limit"),
    ),
    broken(
        11,
        "who logs in again counts twice",
        edit("key != held.key and (mine is None or record.values.get(HANDLE) != mine)", "True"),
    ),
    broken(
        11,
        "who was renewed meanwhile does not give way",
        edit("handle is None", "True", within="end_listed"),
    ),
    broken(
        12,
        "an old login is fresh",
        edit("0 <= self._now() - when <= seconds", "0 <= self._now() - when"),
    ),
    broken(
        12,
        "a login in the future is fresh",
        edit("0 <= self._now() - when <= seconds", "self._now() - when <= seconds"),
    ),
    broken(
        12,
        "nobody is fresh",
        edit("self.user is None", "False", within="require_fresh"),
    ),
    broken(
        12,
        "a login is not noted",
        edit("self.authenticated_at = self._now()", "self.authenticated_at = 0.0"),
    ),
)
