"""Sessions that live in the cookie alone: signed, or encrypted as well.

They need no store and cost microseconds, but there is one copy, and the browser has it:

- Two responses that change the session at once do not merge: the browser keeps the one
  that comes last. So the cookie is written only when the session changed, or when its
  expiry is to be renewed, and flash messages have a cookie of their own, ``NAME-flash``:
  they are made and taken all the time and would rewrite the session with them.
- A copy of the cookie works until it expires; logging out makes this browser forget it,
  no more. ``valid_after`` is the way to end what is in other hands.
- ``incr``, ``pop_once``, listing and revoking need one place where the record lies; they raise
  :class:`~ctxlocal.sessions.errors.NotSupportedByStore`.

Where one of these matters, use StoredSessions.
"""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any, NoReturn

from .. import events
from ..cookie import MAX_AGE, Cookie, cookie_or_default, finder
from ..errors import NotSupportedByStore
from ..fields import begun
from ..headers import ACCESSED, NOTHING, SessionHeaders
from ..interface import SessionInterface
from ..lifetime import (
    ABSOLUTE_TIMEOUT,
    IDLE_TIMEOUT,
    check_lifetime,
    idle_of,
    renewed_after,
    time_field,
)
from ..session import AUTHENTICATED, BORN, IDLE, PERMANENT, NullSession, Results, Session
from ..stores.protocol import FLASH, USER
from ..values.pure import FIELDS, MORE
from .envelope import Envelope, Rejected, Seal
from .keyring import Keyring

__all__ = ["CookieSession", "EncryptedCookieSessions", "SignedCookieSessions"]


_NO_CONTENT = frozenset(
    {AUTHENTICATED, BORN, IDLE, PERMANENT}
)  # fields that make no session by themselves (R6)

# What a session of these begins with, beside what all do: what was accepted, and when that ends,
# however much it is used.
_ORIGIN, _LIMIT = MORE, MORE + 1

_log = logging.getLogger("ctxlocal.sessions")
_new_tuple = tuple.__new__


class CookieSession(Session):
    """A session that is read from its cookie at the first touch."""

    __slots__ = ()

    _sessions: _CookieSessions

    _origin: Envelope | None = begun(_ORIGIN)  # what was accepted

    def incr(self, key: str, amount: int = 1) -> int:
        """Raise: an older copy of the cookie would bring the former number back.

        :raises NotSupportedByStore: always.
        """
        self._sessions._lack("session.incr()")

    def pop_once(self, key: str, default: Any = None) -> Any:
        """Raise: an older copy of the cookie would still hold the value.

        :raises NotSupportedByStore: always.
        """
        self._sessions._lack("session.pop_once()")

    def save(self) -> Results:
        """Check that what is in the session so far fits; it is sent with the headers.

        It waits for nothing and returns nothing, but may be awaited, as ``load`` may.

        :raises CookieTooLargeError: it does not.
        """
        self._write("session.save()")
        self._sessions._set_cookies(self)
        return Results()

    def _now(self) -> float:
        return self._sessions.clock()

    def _fetch(self) -> None:
        self._sessions._load(self)

    def _void(self, error: ValueError) -> None:
        self._origin = None
        self._sessions._report_corrupt(error)


class _CookieSessions(SessionInterface):
    """What signed and encrypted cookie sessions share: everything but the seal."""

    def __init__(
        self,
        keys: Keyring | str | bytes | Sequence[str | bytes],
        *,
        cookie: Cookie | None = None,
        idle_timeout: float = IDLE_TIMEOUT,
        absolute_timeout: float = ABSOLUTE_TIMEOUT,
        touch_interval: float | None = None,
        valid_after: Callable[[str], float | None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.cookie = cookie_or_default(cookie)
        self.idle_timeout = idle_timeout
        self.absolute_timeout = absolute_timeout
        self.touch_interval = check_lifetime(
            idle_timeout, absolute_timeout, touch_interval, MAX_AGE
        )
        self.valid_after = valid_after
        self.clock = clock
        self.corrupt_records = 0  #: how many this process has met
        keyring = keys if isinstance(keys, Keyring) else Keyring(keys)
        self._flash_cookie = replace(self.cookie, name=f"{self.cookie.name}-flash")
        self._find, self._find_flash = finder(self.cookie.name), finder(self._flash_cookie.name)
        self._seal = self._make_seal(keyring, self.cookie.name, "session")
        self._flash_seal = self._make_seal(keyring, self._flash_cookie.name, "flash")

    @abstractmethod
    def _make_seal(self, keyring: Keyring, name: str, purpose: str) -> Seal:
        """Return what makes and opens the tokens of a cookie."""

    # The interface.

    def open(self, cookies: str) -> Session:
        """Return the session of the Cookie header; it is read at the first touch."""
        return CookieSession(self, cookies)

    def save(self, session: Session) -> SessionHeaders:
        """Return the cookies that keep what changed, and close the session.

        :raises CookieTooLargeError: it does not fit.
        """
        session._closed = True
        if not session._accessed:
            return NOTHING
        if session._sessions is None or not session._begun:  # a null session; never looked at
            return ACCESSED
        text, flash_text = self._set_cookies(session)
        if text is None:
            return ACCESSED if flash_text is None else SessionHeaders(True, (flash_text,))
        if events.created.receivers or events.destroyed.receivers or events.regenerated.receivers:
            self._announce(session, text)
        cookies = (text,) if flash_text is None else (text, flash_text)
        # What SessionHeaders(...) does, without the Python function in between: 1 % of the row
        # "ctxlocal WSGI, signed cookie", read+write, of benchmarks.sessions.
        return _new_tuple(SessionHeaders, (True, cookies))

    def open_at_once(self, cookies: str) -> Session:
        """Do what :meth:`open` does."""
        return self.open(cookies)

    def save_at_once(self, session: Session) -> SessionHeaders:
        """Do what :meth:`save` does."""
        return self.save(session)

    async def open_async(self, cookies: str) -> Session:
        """Do what :meth:`open` does."""
        return self.open(cookies)

    async def save_async(self, session: Session) -> SessionHeaders:
        """Do what :meth:`save` does."""
        return self.save(session)

    @property
    def may_save_in_thread(self) -> bool:
        """Whether no subclass has another way to save."""
        return type(self).save_async is _CookieSessions.save_async

    def null(self) -> Session:
        """Return an empty session that refuses every change."""
        return NullSession()

    # What only a store can do.

    def list_sessions(self, user: str) -> NoReturn:
        """Raise: nobody knows which cookies are about.

        :raises NotSupportedByStore: always.
        """
        self._lack("list_sessions()")

    def revoke(self, handle: str, *, user: str | None = None) -> NoReturn:
        """Raise: a cookie cannot be called back; see ``valid_after``.

        :raises NotSupportedByStore: always.
        """
        self._lack("revoke()")

    def revoke_all(self, user: str, except_current: Session | None = None) -> NoReturn:
        """Raise: cookies cannot be called back; ``valid_after`` does this for a user.

        :raises NotSupportedByStore: always.
        """
        self._lack("revoke_all()")

    def revoke_everyone(self) -> NoReturn:
        """Raise: cookies cannot be called back; taking every old key away does this.

        :raises NotSupportedByStore: always.
        """
        self._lack("revoke_everyone()")

    def _lack(self, operation: str) -> NoReturn:
        raise NotSupportedByStore(operation, type(self).__name__)

    # Loading.

    def _load(self, session: CookieSession) -> None:
        cookies = session._cookies
        fields: dict[str, bytes] = {}
        if self.cookie.name not in cookies:  # nor is that of the flash cookie, which begins with it
            session._begin(fields, None, None, 0.0)
            return
        now = self.clock()
        origin, limit = self._first_accepted(self._find(cookies), now)
        if origin is not None:
            fields = origin.fields
        if self._flash_cookie.name in cookies and (tokens := self._find_flash(cookies)):
            fields = {**fields, **self._flashes(tokens, fields.get(USER), now)}
        session._begin(fields, None, origin, limit)
        if origin is not None and events.loaded.receivers and session._origin is origin:
            events.loaded.send(self, session=session)

    def _first_accepted(self, tokens: list[str], now: float) -> tuple[Envelope | None, float]:
        """Return what the first token holds that verifies and is within the limits (R17).

        With it, when the absolute one of them ends it.
        """
        for token in tokens:
            opened = self._seal.open(token, now)
            if isinstance(opened, Envelope):
                born = _time(opened.fields.get(BORN))
                limit = born + self.absolute_timeout
                reason = self._beyond_limits(opened, born, limit, now)
                if reason is None:
                    return opened, limit
                opened = reason
            self._announce_refusal(opened)
        return None, 0.0

    def _beyond_limits(
        self, envelope: Envelope, born: float, limit: float, now: float
    ) -> Rejected | None:
        """Check the times in the token against what is configured now (R9) and the hook (R10)."""
        fields = envelope.fields
        idle = idle_of(fields[IDLE], self.idle_timeout) if IDLE in fields else self.idle_timeout
        if not (now - envelope.touched < idle and now < limit):
            return Rejected.EXPIRED
        if self.valid_after is not None and (user := fields.get(USER)) is not None:
            valid_after = self.valid_after(user.decode("utf-8", "replace"))
            # When the user last proved who he is. Not when the token was made: a request that
            # was under way when the limit was set makes a token after it.
            login = max(born, _time(fields.get(AUTHENTICATED)))
            if valid_after is not None and login < valid_after:
                return Rejected.REVOKED
        return None

    def _flashes(self, tokens: list[str], user: bytes | None, now: float) -> Mapping[str, bytes]:
        """Return the messages, unless they were for a user who is not logged in any more."""
        for token in tokens:
            opened = self._flash_seal.open(token, now)
            if isinstance(opened, Envelope):
                messages = opened.fields
                return messages if messages.pop(USER, user) == user else {}
            self._announce_refusal(opened)
        return {}

    def _announce_refusal(self, reason: Rejected) -> None:
        if reason is Rejected.EXPIRED:
            if events.expired.receivers:
                events.expired.send(self, session=None)
        elif events.rejected.receivers:
            events.rejected.send(self, session=None, reason=reason.value)

    def _report_corrupt(self, error: ValueError) -> None:
        self.corrupt_records += 1
        _log.error("a session cookie has a corrupt value, ignored: %s", error)
        if events.rejected.receivers:
            events.rejected.send(self, session=None, reason="corrupt record")

    # Saving.

    def _set_cookies(self, session: Any) -> tuple[str | None, str | None]:
        """Return what to set the cookie, and the flash cookie, to; None to leave it alone."""
        now, dropped = self.clock(), session._dropped
        sets = session._sets()
        is_changed = is_flash_changed = session._destroyed or session._is_cleared
        if dropped or session._added:  # messages are among these, as all fields of our own
            names = {*sets, *dropped}
            flashed = {name for name in names if name[:2] == FLASH}
            is_flash_changed = is_flash_changed or bool(flashed)
            is_changed = is_changed or names != flashed
        elif sets:
            is_changed = True
        is_changed = is_changed or self._is_due(session, now)
        if not (is_changed or is_flash_changed):
            return None, None
        loaded = session._begun[FIELDS]
        if dropped:
            loaded = {name: raw for name, raw in loaded.items() if name not in dropped}
        fields, messages = {**loaded, **sets}, {}
        if is_flash_changed or self._flash_cookie.name in session._cookies:
            messages = {name: fields.pop(name) for name in [*fields] if name[:2] == FLASH}
        text = flash_text = None
        if is_changed:
            text = self._session_text(session, fields, now)
        if is_flash_changed:
            flash_text = self._flash_text(session, fields, messages, now)
        return text, flash_text

    def _session_text(
        self, session: CookieSession, fields: dict[str, bytes], now: float
    ) -> str | None:
        if _NO_CONTENT.issuperset(fields):
            return self.cookie.delete() if self._find(session._cookies) else None
        left = idle_of(fields[IDLE], self.idle_timeout) if IDLE in fields else self.idle_timeout
        if BORN not in fields:
            fields[BORN] = time_field(now)
        else:
            limit = session._begun[_LIMIT]  # of what was loaded
            if BORN in session._added:
                limit = _time(fields[BORN]) + self.absolute_timeout
            if limit - now < left:
                left = limit - now
        token = self._seal.seal(Envelope(now, now + left, fields))
        return self.cookie._line(token, max(1, ceil(left)) if PERMANENT in fields else None)

    def _flash_text(
        self,
        session: CookieSession,
        fields: dict[str, bytes],
        messages: dict[str, bytes],
        now: float,
    ) -> str | None:
        if not messages:
            is_sent = self._find_flash(session._cookies)
            return self._flash_cookie.delete() if is_sent else None
        if USER in fields:
            messages[USER] = fields[USER]
        token = self._flash_seal.seal(Envelope(now, now + self.idle_timeout, messages))
        return self._flash_cookie._line(token, None)

    def _is_due(self, session: CookieSession, now: float) -> bool:
        """Whether to write the cookie though nothing in it changed."""
        if session._renew or session._regenerate is not None:
            return True
        origin = session._origin
        if origin is None:
            return False
        interval = renewed_after(session._idle(), self.idle_timeout, self.touch_interval)
        return now - origin.touched >= interval

    def _announce(self, session: Any, text: str) -> None:
        had_one = session._origin is not None
        is_gone = text == self.cookie.delete()
        if had_one and (is_gone or session._destroyed) and events.destroyed.receivers:
            events.destroyed.send(self, session=session)
        if is_gone:
            return
        if not had_one or session._destroyed:
            if events.created.receivers:
                events.created.send(self, session=session)
        elif session._regenerate is not None and events.regenerated.receivers:
            events.regenerated.send(self, session=session)


class SignedCookieSessions(_CookieSessions):
    """Sessions in a cookie that the user can read and cannot change. Needs ``[web]``.

    :param keys: secrets of at least 32 bytes, the first signs; see
        :class:`~ctxlocal.sessions.in_cookie.keyring.Keyring`.
    :param cookie: its name and attributes; see :class:`~ctxlocal.sessions.Cookie`.
    :param idle_timeout: seconds after which an unused session ends.
    :param absolute_timeout: seconds after which it ends however much it is used, counted
        from its beginning or the last login; at least ``idle_timeout``, at most 400 days.
    :param touch_interval: seconds in which a session that is only read is written again
        once, so that it does not end while it is used. A longer one, up to a fraction of
        ``idle_timeout``, makes it rarer that such a response brings back what another one
        changed at the same moment.
    :param valid_after: ``valid_after(user)`` returns seconds since the epoch, or None: a
        session of that user whose login is before is refused. Called at the first touch of
        each request with a user, in the event loop under ASGI: let it answer from memory.
        What it raises the request raises.
    :param clock: seconds since the epoch.
    :raises SessionConfigError: a value out of range.
    """

    def _make_seal(self, keyring: Keyring, name: str, purpose: str) -> Seal:
        from .signer import Signer

        return Signer(keyring, name, purpose)


class EncryptedCookieSessions(_CookieSessions):
    """Sessions in a cookie that the user can neither read nor change. Needs ``[crypto]``.

    Its parameters are those of :class:`SignedCookieSessions`.
    """

    def _make_seal(self, keyring: Keyring, name: str, purpose: str) -> Seal:
        from .sealer import Sealer

        return Sealer(keyring, name, purpose)


def _time(raw: bytes | None) -> float:
    """Return a stored time; what does not say when it was, was long ago."""
    try:
        return float(raw or 0)
    except ValueError:
        return 0.0
