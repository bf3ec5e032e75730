"""What the setting ``CTXLOCAL`` says: a dict of ``STORE`` and of StoredSessions' settings."""

from __future__ import annotations

import json
import os
import threading
from functools import cache
from inspect import signature
from typing import Any

from django.conf import ENVIRONMENT_VARIABLE, settings
from django.core.signals import setting_changed

from ...sessions import StoredSessions
from ...sessions.errors import SessionConfigError
from ...sessions.lifetime import ABSOLUTE_TIMEOUT
from .._messages import merged

ENGINE = "ctxlocal.integrations.django.sessions"
SETTING = "CTXLOCAL"
MESSAGES = "_messages"  # the key of django.contrib.messages
_making = threading.Lock()  # the first requests come together, and cache alone makes one for each


def get_sessions() -> StoredSessions[Any]:
    """Return what keeps the project's sessions: by it a user's are listed, and ended.

    ``STORE`` is a URL, or a store. The others are arguments of
    :class:`~ctxlocal.sessions.StoredSessions` in capitals, as ``MAX_SESSIONS``. An unused session
    ends after Django's ``SESSION_COOKIE_AGE``, and the cookie is Django's.

    :raises SessionConfigError: there is no store, or a setting cannot be used.
    """
    with _making:
        return _make_sessions()


@cache
def _make_sessions() -> StoredSessions[Any]:
    options = _given()
    store = options.pop("store")
    if isinstance(store, str):
        from ...sessions.stores.url import open_store

        store = open_store(store)
    idle = settings.SESSION_COOKIE_AGE
    defaults = {
        "idle_timeout": idle,
        "absolute_timeout": max(ABSOLUTE_TIMEOUT, idle),
        "same_key": {MESSAGES: merge_messages},
    }
    made: StoredSessions[Any] = StoredSessions(store, **(defaults | options))
    made.open("")  # asks nothing, and refuses now a store that would have to be awaited
    return made


def _given() -> dict[str, Any]:
    """Return what the setting says, by the names of StoredSessions' arguments."""
    given = getattr(settings, SETTING, None)
    if not isinstance(given, dict) or not given.get("STORE"):
        raise SessionConfigError(
            SETTING,
            'it is not set to a dict with a store; write CTXLOCAL = {"STORE": URL}, with a URL '
            "as redis://localhost/0 or sqlite:////var/lib/shop/sessions.db",
        )
    known = {name.upper(): name for name in signature(StoredSessions).parameters}
    del known["COOKIE"]  # which is Django's
    if unknown := [name for name in given if name not in known]:
        raise SessionConfigError(
            SETTING, f"there is no {unknown[0]!r}; it may have {', '.join(sorted(known))}"
        )
    return {known[name]: value for name, value in given.items()}


def refuse_no_store() -> None:
    """Raise SessionConfigError where the project names our engine, and no store for it."""
    is_to_be_read = settings.configured or ENVIRONMENT_VARIABLE in os.environ
    if is_to_be_read and settings.SESSION_ENGINE == ENGINE:
        _given()


def merge_messages(key: str, loaded: Any, theirs: Any, mine: Any) -> Any:
    """Keep the messages of two requests that change them at once.

    The policy ``SAME_KEY`` for the key under which ``SessionStorage`` keeps all messages, as a
    JSON array, if none is given. Of what a storage of somebody else's keeps there the last wins.
    """
    if not all(isinstance(text, str | None) for text in (loaded, theirs, mine)):
        return mine
    kept = merged(*(json.loads(text) if text else [] for text in (loaded, theirs, mine)))
    return json.dumps(kept) if kept else None


def forget_sessions() -> None:
    """Let the next :func:`get_sessions` read the settings again; for tests."""
    with _making:
        _make_sessions.cache_clear()


def _forget(*, setting: str, **_: object) -> None:
    if setting in (SETTING, "SESSION_COOKIE_AGE"):
        forget_sessions()


setting_changed.connect(_forget)
