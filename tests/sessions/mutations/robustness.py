"""R31 to R35: stores that fail, exceptions, late writes, events."""

from __future__ import annotations

from .mutation import broken, edit

MUTATIONS = (
    broken(
        31,
        "a store that is down is an empty session",
        edit(
            """
                self._failure = error
                raise error
            """,
            "pass",
        ),
    ),
    broken(
        31,
        "an anonymous session can log in",
        edit("return error", "return None", within="_refused_by"),
    ),
    broken(
        31,
        "the policy anonymous raises",
        edit("return error", "raise error", within="_refused_by"),
    ),
    broken(
        31,
        "pages that do not touch the session fail",
        edit("session._failure = error", "raise error"),
    ),
    broken(
        31,
        "no 503 (WSGI)",
        edit("request._is_started or not is_answer(error)", "True"),
    ),
    broken(
        31,
        "no 503 (ASGI)",
        edit("is_started or not is_answer(error)", "True", within="_serve_with_session"),
    ),
    broken(
        31,
        "no 503 (App)",
        edit("is_answer(error)", "False", within="handle_exception_async"),
    ),
    broken(
        32,
        "a corrupt value raises",
        edit(
            """
                self._give_up(error)
                return MISSING
            """,
            "raise",
        ),
        edit(
            """
                self._give_up(error)
                raise KeyError(key) from None
            """,
            "raise",
        ),
    ),
    broken(
        32,
        "a corrupt record goes on being used",
        edit("self._keep_own()", "pass", within="_give_up"),
    ),
    broken(
        32,
        "rubbish from a store raises",
        edit(
            """
                sessions.report_corrupt(key, error)
                continue
            """,
            "raise",
        ),
    ),
    broken(
        32,
        "rubbish from a store for an answer raises",
        edit(
            'type(answer) is not Answer or answer.outcome != "committed"',
            'answer.outcome != "committed"',
        ),
    ),
    broken(
        32,
        "no counter",
        edit("self.corrupt_records += 1", "pass", within="report_corrupt"),
    ),
    broken(
        32,
        "no log line",
        edit("log.error", "log.debug", within="report_corrupt"),
    ),
    broken(
        32,
        "no counter for cookies",
        edit("self.corrupt_records += 1", "pass", within="_report_corrupt"),
    ),
    broken(
        33,
        "an unhandled exception saves (WSGI)",
        edit('exc_info is None and not is_failure(f"{status}"[:3])', "True"),
    ),
    broken(
        33,
        "an unhandled exception saves (ASGI)",
        edit('not is_failure(message.get("status"))', "True"),
        edit('is_failure(message.get("status"))', "False", within="_end_at_once"),
    ),
    broken(
        33,
        "an unhandled exception saves (App)",
        edit(
            "self._finalize_failure(self.make_response(rv), error)",
            "self.finalize_request_async(rv)",
        ),
    ),
    broken(
        33,
        "an HTTPException saves nothing",
        edit("isinstance(error, HTTPException)", "False", within="handle_user_exception_async"),
    ),
    broken(
        33,
        "a redirect by exception saves nothing",
        edit(
            """
                if isinstance(error, RequestRedirect) or ...:
                    return error
            """,
            """
                if isinstance(error, RequestRedirect) or ...:
                    raise error
            """,
        ),
    ),
    broken(
        33,
        "a handled error saves nothing",
        edit(
            "return await current_request_context().call(handler, error)",
            """
                await current_request_context().call(handler, error)
                raise error
            """,
        ),
    ),
    broken(
        34,
        "a late write is dropped silently",
        edit(
            """
                if self._closed:
                    raise SessionClosedError(operation)
            """,
            "pass",
        ),
    ),
    broken(
        34,
        "a saved session stays open",
        edit(
            """
                self._closed = True
                try:
                    ...
                except BaseException:
                    ...
            """,
            """
                self._closed = False
                try:
                    ...
                except BaseException:
                    ...
            """,
        ),
        edit(
            """
                self._closed = True
                return self._send_again() if commit and change.ops else ACCESSED
            """,
            """
                return self._send_again() if commit and change.ops else ACCESSED
            """,
        ),
    ),
    broken(
        34,
        "an untouched session stays open",
        edit(
            """
                if not self._accessed:
                    self._closed = True
                    ...
            """,
            """
                if not self._accessed:
                    ...
            """,
        ),
        edit("self._closed = True", "pass", within="Session._finish_at_once"),
    ),
    broken(
        34,
        "a cookie session stays open",
        edit("session._closed = True", "pass", within="_CookieSessions.save"),
    ),
    broken(
        35,
        "no event: created",
        edit("events.created.send(sessions, session=session)", "pass"),
    ),
    broken(
        35,
        "no event: loaded",
        edit("events.loaded.send(sessions, session=self)", "pass"),
    ),
    broken(
        35,
        "no event: regenerated",
        edit("events.regenerated.send(saving.sessions, session=session)", "pass"),
    ),
    broken(
        35,
        "no event: destroyed",
        edit("events.destroyed.send(self.sessions, session=session)", "pass", within="_end"),
    ),
    broken(
        35,
        "no event: expired",
        edit("events.expired.send(sessions, session=None)", "pass"),
    ),
    broken(
        35,
        "no event: rejected",
        edit("events.rejected.send(self, session=None, reason=reason)", "pass"),
    ),
    broken(
        35,
        "no event: conflict",
        edit("events.conflict.send(self._sessions, session=self, reason=reason)", "pass"),
    ),
    broken(
        35,
        "no event of a cookie session: regenerated",
        edit("events.regenerated.send(self, session=session)", "pass"),
    ),
)
