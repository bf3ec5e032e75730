"""R31 to R35: stores that fail, exceptions, late writes, events."""

from __future__ import annotations

from .mutation import APP, ASGI, FIELDS, IN_COOKIE, QUICK, RECORD, SETTINGS, STORED, WSGI, broken

MUTATIONS = (
    broken(
        31,
        "a store that is down is an empty session",
        RECORD,
        "                self._refusal = error  # for a framework's 500, which should be a 503\n"
        "                raise\n",
        "                pass\n",
    ),
    broken(
        31,
        "an anonymous session can log in",
        RECORD,
        "            refusal = error\n",
        "            refusal = None\n",
    ),
    broken(
        31,
        "the policy anonymous raises",
        RECORD,
        "            refusal = error\n",
        "            raise\n",
    ),
    broken(
        31,
        "pages that do not touch the session fail",
        STORED,
        "                session._refusal = error\n",
        "                raise error\n",
    ),
    broken(
        31,
        "no 503 (WSGI)",
        WSGI,
        "if self._is_started or not is_answer(error):",
        "if True:",
    ),
    broken(
        31,
        "no 503 (ASGI)",
        ASGI,
        "if response.is_started or not is_answer(error):",
        "if True:",
    ),
    broken(
        31,
        "no 503 (App)",
        APP,
        "if is_answer(error):\n            log_refusal(_log, error)",
        "if False:\n            log_refusal(_log, error)",
    ),
    broken(
        32,
        "a corrupt value raises",
        FIELDS,
        "            self._give_up(error)\n            return MISSING\n",
        "            raise\n",
        FIELDS,
        "            self._give_up(error)\n            raise KeyError(key) from None\n",
        "            raise\n",
    ),
    broken(
        32,
        "a corrupt record goes on being used",
        FIELDS,
        "        self._keep_own()\n        self._void(error)\n",
        "        self._void(error)\n",
    ),
    broken(
        32,
        "rubbish from a store raises",
        RECORD,
        "                    self._sessions.report_corrupt(key, error)\n"
        "                    continue\n",
        "                    raise\n",
    ),
    broken(
        32,
        "rubbish from a store for an answer raises",
        QUICK,
        "if type(answer) is not Answer or answer",
        "if answer",
    ),
    broken(32, "no counter", SETTINGS, "        self.corrupt_records += 1\n", "        pass\n"),
    broken(
        32,
        "no log line",
        SETTINGS,
        'log.error("session %s has a corrupt',
        'log.debug("session %s has a corrupt',
    ),
    broken(
        32,
        "no counter for cookies",
        IN_COOKIE,
        "        self.corrupt_records += 1\n",
        "        pass\n",
    ),
    broken(
        33,
        "an unhandled exception saves (WSGI)",
        WSGI,
        "if exc_info is None and not is_failure(str(status)[:3]):",
        "if True:",
    ),
    broken(
        33,
        "an unhandled exception saves (ASGI)",
        ASGI,
        'if not is_failure(message.get("status")):',
        "if True:",
    ),
    broken(
        33,
        "an unhandled exception saves (App)",
        APP,
        "return await self._finalize_failure(self.make_response(rv), error)",
        "return await self.finalize_request_async(rv)",
    ),
    broken(
        33,
        "an HTTPException saves nothing",
        APP,
        "        if isinstance(error, HTTPException):\n            return error\n"
        "        raise error",
        "        raise error",
    ),
    broken(
        33,
        "a redirect by exception saves nothing",
        APP,
        "            return error  # an answer that no handler is for",
        "            raise error  # an answer that no handler is for",
    ),
    broken(
        33,
        "a handled error saves nothing",
        APP,
        "            return await current_request_context().call(handler, error)\n        if",
        "            await current_request_context().call(handler, error)\n"
        "            raise error\n        if",
    ),
    broken(
        34,
        "a late write is dropped silently",
        FIELDS,
        "        if self._closed:\n            raise SessionClosedError(operation)\n",
        "",
    ),
    broken(
        34,
        "a saved session stays open",
        RECORD,
        "        self._closed = True  # what an event's receiver",
        "        self._closed = False  # what an event's receiver",
        QUICK,
        "        self._closed = True\n",
        "        self._closed = False\n",
    ),
    broken(
        34,
        "an untouched session stays open",
        STORED,
        "    def save(self, session: Session) -> SessionHeaders:\n"
        '        """Store what changed and close the session; called once, before headers '
        'are sent."""\n'
        "        if not session._accessed:\n            session._closed = True\n",
        "    def save(self, session: Session) -> SessionHeaders:\n"
        '        """Store what changed and close the session; called once, before headers '
        'are sent."""\n'
        "        if not session._accessed:\n",
    ),
    broken(
        34,
        "a cookie session stays open",
        IN_COOKIE,
        "        session._closed = True\n        if not session._accessed:",
        "        if not session._accessed:",
    ),
    broken(
        35,
        "no event: created",
        RECORD,
        "            events.created.send(self._sessions, session=self)\n",
        "            pass\n",
    ),
    broken(
        35,
        "no event: loaded",
        RECORD,
        "            events.loaded.send(self._sessions, session=self)\n",
        "            pass\n",
    ),
    broken(
        35,
        "no event: regenerated",
        RECORD,
        "            events.regenerated.send(self._sessions, session=self)\n",
        "            pass\n",
    ),
    broken(
        35,
        "no event: destroyed",
        RECORD,
        "                events.destroyed.send(self._sessions, session=self)\n"
        "        self._destroyed",
        "                pass\n        self._destroyed",
    ),
    broken(
        35,
        "no event: expired",
        RECORD,
        "            events.expired.send(self._sessions, session=None)\n",
        "            pass\n",
    ),
    broken(
        35,
        "no event: rejected",
        RECORD,
        "            events.rejected.send(self._sessions, session=None, reason=reason)\n",
        "            pass\n",
    ),
    broken(
        35,
        "no event: conflict",
        RECORD,
        "            events.conflict.send(self._sessions, session=self, reason=reason)\n",
        "            pass\n",
    ),
    broken(
        35,
        "no event of a cookie session: regenerated",
        IN_COOKIE,
        "            events.regenerated.send(self, session=session)\n",
        "            pass\n",
    ),
)
