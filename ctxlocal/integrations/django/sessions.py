"""Django's session engine: ``SESSION_ENGINE = "ctxlocal.integrations.django.sessions"``.

``request.session`` does what Django says of it, and is kept key by key: requests that change
different keys at once both keep what they did. A login sets the session's user, so that
:func:`get_sessions` lists a user's sessions, and ends them.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.core.exceptions import BadRequest, PermissionDenied

from ...sessions import Session
from ...sessions.errors import SessionConflictError, SessionEndedError, SessionLimitError
from ._supported import refuse_old_django
from .configuration import get_sessions as get_sessions
from .configuration import refuse_no_store

refuse_old_django()
refuse_no_store()  # Django imports this when it starts: no request has to find out

EXPIRY = "_session_expiry"  # Django's key for what set_expiry() was told


class SessionStore(SessionBase):  # type: ignore[misc]
    """What ``request.session`` is. Django's cache of a session's values is a session of ours."""

    _session_cache: Session

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._said: bool | None = None  # of modified; None: nothing, and what was changed counts

    @property
    def modified(self) -> bool:
        """Whether it is to be stored: something was set, or has changed in a list or a dict.

        False can be set, to store nothing of what was changed so far, until something is set again.
        """
        if self._said is None:
            return "_session_cache" in vars(self) and self._session_cache.modified
        return self._said

    @modified.setter
    def modified(self, modified: bool) -> None:
        self._said = modified

    # Loading.

    def load(self) -> Session:
        """Return the session that the key leads to, or an empty one; Django's key is its id."""
        session = get_sessions().open_id(self.session_key)
        if _is_over(session):
            session.destroy()
            session.save()
        if session.refusal is None:  # else the store is down, and the cookie is good
            self._session_key = session.id
        return session

    def _get_session(self, no_load: bool = False) -> Session:
        self.accessed = True
        if "_session_cache" not in vars(self):
            self._session_cache = self.load()
        return self._session_cache

    async def _aget_session(self, no_load: bool = False) -> Session:
        self.accessed = True
        if "_session_cache" not in vars(self):
            self._session_cache = await self.aload()
        return self._session_cache

    _session = property(_get_session)

    @property
    def ctxlocal(self) -> Session:
        """The session of ours, for what Django's has not: ``incr``, ``require_fresh`` and others.

        ``get_sessions().revoke_all(user, except_current=request.session.ctxlocal)`` signs a user
        out everywhere but here. It loads as ``request.session`` does: in an asynchronous view use
        that first, awaited.
        """
        return self._get_session()

    # Saving.

    def save(self, must_create: bool = False) -> None:
        """Store what changed, merged with what others have stored.

        :raises UpdateError: the session was ended meanwhile.
        :raises PermissionDenied: the user has as many sessions as he may.
        :raises BadRequest: another request changed the same keys, and ``SAME_KEY`` forbids that.
        """
        session = self._get_session()
        if session.refusal is not None and not must_create:
            return  # it took no change, and SESSION_SAVE_EVERY_REQUEST is no error
        session.keep()
        try:
            session.save()
        except SessionEndedError as error:
            raise UpdateError from error
        except SessionLimitError as error:
            raise PermissionDenied(error.answer) from error
        except SessionConflictError as error:
            raise BadRequest(error.answer) from error
        self._session_key = session.id

    def create(self) -> None:
        """Begin another session with the same values, of the same user, and store it.

        Of a user's session that has ended meanwhile it has nothing: that would log in again.
        """
        former: Session | None = vars(self).get("_session_cache")
        self._session_cache = session = get_sessions().open_id(None)
        if former is not None and (former.user is None or self.exists(former.id or "")):
            session.update(former)
            if former.user is not None:
                session.user, session.authenticated_at = former.user, former.authenticated_at
            self._follow_expiry()
        self.save(must_create=True)
        self.modified = True

    def cycle_key(self) -> None:
        """Give the session another key; its values stay. One that has ended begins empty."""
        session = self._get_session()
        session.keep()
        if session.id is not None:
            session.regenerate()
        try:
            session.save()
        except SessionEndedError:
            self._session_cache = get_sessions().open_id(None)
            self.save(must_create=True)
        self._session_key = self._session_cache.id
        self.modified = True

    async def acycle_key(self) -> None:
        """See :meth:`cycle_key`."""
        await sync_to_async(self.cycle_key)()

    def clear(self) -> None:
        """Drop all values; the key stays, but for that of a user who is logged in."""
        self._get_session().clear()
        self.modified = True

    def flush(self) -> None:
        """End the session, whose key leads to nothing any more, and begin an empty one."""
        session = self._get_session()
        session.destroy()
        session.save()
        self._session_key = None
        self.modified = True

    async def aflush(self) -> None:
        """See :meth:`flush`."""
        await sync_to_async(self.flush)()

    def delete(self, session_key: str | None = None) -> None:
        """End the session of a key, or this one."""
        key = self.session_key if session_key is None else session_key
        session = get_sessions().open_id(key)
        if not session.new:
            session.destroy()
            session.save()

    def exists(self, session_key: str) -> bool:
        """Say whether a key leads to a session."""
        return not get_sessions().open_id(session_key).new

    @classmethod
    def clear_expired(cls) -> None:
        """Remove what has expired, where the store does not do so itself."""
        get_sessions().purge()

    # How long it lives.

    def set_expiry(self, value: Any) -> None:
        """Do what Django says; the record lives as long, at most for ``ABSOLUTE_TIMEOUT``."""
        super().set_expiry(value)
        self._follow_expiry()

    async def aset_expiry(self, value: Any) -> None:
        """See :meth:`set_expiry`."""
        await sync_to_async(self.set_expiry)(value)

    def _follow_expiry(self) -> None:
        seconds = self.get_expiry_age() if self.get(EXPIRY) else None
        if seconds is not None:
            seconds = min(max(1, seconds), get_sessions().absolute_timeout)
        self._get_session().expire_after(seconds)


def _is_over(session: Session) -> bool:
    """Whether a session was to end at a moment that has passed."""
    expiry = session.get(EXPIRY)
    if isinstance(expiry, (int, float)):
        return expiry < 0
    return isinstance(expiry, str) and datetime.fromisoformat(expiry).timestamp() <= time.time()


def _log_in(sender: Any, request: Any, user: Any, **_: object) -> None:
    store = getattr(request, "session", None)
    if not isinstance(store, SessionStore):
        return
    session, name = store._session, str(user.pk)
    # Django has dropped what is another user's, and set what makes the login: ours drops that too.
    kept = {} if session.user in (None, name) else dict(session)
    session.user = name
    if kept:
        session.update(kept)
        store._follow_expiry()


user_logged_in.connect(_log_in)
