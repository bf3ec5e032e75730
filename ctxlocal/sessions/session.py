"""Session: the values of a visitor, whose they are, and how long they live.

Here is no input or output. Where the fields come from and where the changes go is for
the subclasses, in ``in_store`` (a store on the server) and ``in_cookie``.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from hashlib import sha256
from itertools import count
from secrets import token_hex
from typing import Any

from .codec import encode
from .errors import FreshLoginRequiredError, SessionError
from .fields import MISSING, Fields
from .headers import ACCESSED, NOTHING, SessionHeaders
from .lifetime import idle_of, time_field
from .stores.protocol import FLASH, HANDLE, MAX_INT, MEMBER, MIN_INT, USER, Incr, Take
from .values.pure import plain_key

AUTHENTICATED = "\0auth"  #: when the user logged in
BORN = "\0born"  #: when the session began: what the absolute limit counts from
CURRENT = "\0id"  #: the beginning of the record's key, by which an old id knows that it is one
KEPT = "\0kept"  #: it is stored though it is empty
IDLE = "\0idle"  #: seconds after which it ends unused, where those are its own
PERMANENT = "\0keep"  #: the cookie outlives the browser

_flash_number = count()


class Results(tuple[Any, ...]):
    """What the operations of a ``save()`` came to: a tuple that ``await`` returns as it is.

    So ``await session.save()`` works wherever there is a session, under WSGI too.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, Results]:
        return self
        yield  # a generator, which waits for nothing


class Session(Fields):
    """The values of one visitor, from one request to the next.

    Keys are ``str``; values are what :func:`ctxlocal.sessions.codec.encode` takes. Changes
    inside a list or a dict are found when the session is saved. Each key is stored on its
    own: two requests that change different keys at once both keep what they did.

    It belongs to one request. Several threads of that request may read it; only one at a
    time may change it.
    """

    __slots__ = ()

    is_null = False  #: it refuses every change; see SessionInterface.null

    def clear(self) -> None:
        """Drop every value, also those that other requests set meanwhile, and the user.

        No delta, but a new generation: requests that loaded the former one store nothing.
        If the record is gone when that is to be done, the save raises SessionEndedError;
        of a session with a user the record ends, and what is set begins a new one.
        """
        self._write("session.clear()")
        was_login = self.user is not None or self._own(AUTHENTICATED) is not None
        regenerate = 0.0 if was_login else self._regenerate
        kept = {name: self._own(name) for name in (BORN, CURRENT, HANDLE)}
        self._values, self._baselines = {}, {}
        self._drop_changes()
        self._dropped = set(self._fields)
        self._is_cleared = True
        self._regenerate = regenerate
        for name, raw in kept.items():
            if raw is not None and regenerate is None:  # the record stays, and its absolute limit
                self._set_own(name, raw)

    # What a store does where the record lies.

    def incr(self, key: str, amount: int = 1) -> int:
        """Add to an integer, 0 if absent, and lose none of what others add at the same time.

        Returned is the sum as this request sees it; the stored one counts the others too.
        It is sent when the session is saved.

        :raises TypeError: the value, or ``amount``, is no int.
        :raises OverflowError: the sum is beyond 64 bits.
        """
        self._write("session.incr()")
        key = plain_key(key)
        value = self.get(key, 0)
        if type(value) is not int or type(amount) is not int:
            raise TypeError(f"session.incr({key!r}) adds an int to an int; one of them is not")
        earlier = self._ops.get(key)
        total = value + amount
        added = amount + (earlier.amount if isinstance(earlier, Incr) else 0)
        if not (MIN_INT <= total <= MAX_INT and MIN_INT <= added <= MAX_INT):
            raise OverflowError(f"session.incr({key!r}) would leave 64 bits")
        if not self._is_ours(key):
            self._operate("session.incr()", Incr(key, added))
        else:
            if self._ops:
                self._ops.pop(key, None)  # of pop_once(): a store would take what is set here
            self._assigned = {**self._assigned, key: self._encode(key, total)}
        self._values[key] = total
        return total

    def pop_once(self, key: str, default: Any = None) -> Any:
        """Remove a key and return its value, so that one request alone removes it.

        It is sent when the session is saved. Several requests that loaded the value at the
        same time each get it here; ``session.save()`` tells which of them removed it::

            session.pop_once("code")
            (code,) = session.save()  # under ASGI: await session.save()
            if code is None:  # another request has it
        """
        self._write("session.pop_once()")
        value = self.get(key, default)
        if key in self._read() and not self._is_ours(key):
            self._remove(key)
            self._operate("session.pop_once()", Take(key))
        elif key in self:
            self._remove(key)
        return value

    def add_to_set(self, key: str, member: Any) -> None:
        """Add a member to the set under ``key``, and lose none that others add.

        ``session[key]`` is then a frozenset. It is sent when the session is saved.

        :param member: anything storable and hashable.
        :raises TypeError: the key holds something else, or ``member`` is not hashable.
        """
        self._write("session.add_to_set()")
        key = plain_key(key)
        hash(member)
        if key in self._values or (key in self._read() and key not in self._dropped):
            raise TypeError(f"session[{key!r}] is no set made by add_to_set(); delete it first")
        raw = encode(key, member)
        field = f"{MEMBER}{key}\0{sha256(raw).hexdigest()[:32]}"
        if self._own(field) is None:
            self._set_own(field, raw)

    def flash(self, message: str, category: str = "message") -> None:
        """Keep a message for the next page that asks for it; concurrent ones are all kept."""
        self._write("session.flash()")
        # Sorted by time, and by number where the clock stands still; unique by the random part.
        name = f"{FLASH}{time.time_ns():016x}{next(_flash_number):08x}{token_hex(4)}"
        self._set_own(name, encode("flash", [category, message]))

    def get_flashed(self) -> list[tuple[str, str]]:
        """Remove the messages that are there and return them as (category, message), in order."""
        fields = self._read()
        names = [name for name in fields if name[:2] == FLASH and name not in self._dropped]
        names += [name for name in self._added if name[:2] == FLASH and name not in fields]
        if not names:
            return []
        self._write("session.get_flashed()")
        found = []
        for name in sorted(names):
            item = self._decoded(FLASH, self._own(name) or b"")
            if item is MISSING:  # the record is void
                return []
            if isinstance(item, list) and len(item) == 2:
                found.append((item[0], item[1]))
        for name in names:
            self._drop_own(name)
        return found

    # Whose it is, and how long it lives.

    @property
    def user(self) -> str | None:
        """The id of the user who is logged in, None for nobody.

        Setting it logs in: the session gets a new id at once, ``authenticated_at`` is now,
        and a session that was another user's is cleared first. Where the record is gone when
        this is saved, a new one begins with what this request set. None logs out; what is
        kept beyond that is for :meth:`destroy`.
        """
        self._read()
        raw = self._own(USER)
        try:
            return None if raw is None else raw.decode()
        except UnicodeDecodeError:
            self._give_up(ValueError("the user's id is no UTF-8"))
            return None

    @user.setter
    def user(self, user: str | None) -> None:
        self._write("session.user = ...")
        if user is not None and (not isinstance(user, str) or not user):
            hint = "" if isinstance(user, str) else "; use str(id)"
            raise TypeError(f"session.user is a str that is not empty, or None; got {user!r}{hint}")
        name = None if user is None else user.encode()
        former = self.user
        if former is not None and former != user:
            self.clear()
        if name is not None:
            self._set_own(USER, name)
            self._set_own(BORN, time_field(self._now()))
            self.authenticated_at = self._now()

    @property
    def authenticated_at(self) -> float | None:
        """When the user proved who he is, in seconds since the epoch; setting it changes the id."""
        self._read()
        return _seconds(self._own(AUTHENTICATED))

    @authenticated_at.setter
    def authenticated_at(self, when: float | None) -> None:
        self._write("session.authenticated_at = ...")
        if when is None:
            self._drop_own(AUTHENTICATED)
        else:
            self._set_own(AUTHENTICATED, repr(float(when)).encode())
        self._regenerate = 0.0

    def require_fresh(self, seconds: float) -> None:
        """Go on only if the user logged in within the last ``seconds``.

        :raises FreshLoginRequiredError: that is longer ago, or nobody is logged in.
        """
        when = self.authenticated_at
        if self.user is None or when is None or not 0 <= self._now() - when <= seconds:
            raise FreshLoginRequiredError(seconds)

    @property
    def permanent(self) -> bool:
        """Whether the cookie outlives the browser: it lasts as long as the session may idle."""
        self._read()
        return self._own(PERMANENT) is not None

    @permanent.setter
    def permanent(self, permanent: bool) -> None:
        self._write("session.permanent = ...")
        if permanent and not self.permanent:
            self._set_own(PERMANENT, b"1")
        elif not permanent and self.permanent:
            self._drop_own(PERMANENT)

    @property
    def idle_timeout(self) -> float:
        """Seconds without a request after which it ends: its own, or those of the settings."""
        self._read()
        return self._idle()

    def expire_after(self, seconds: float | None) -> None:
        """Give this session a time of its own after which it ends unused; stored when it is saved.

        The cookie of a permanent session lasts as long. ``clear()`` forgets it, a login does not,
        and the settings' ``absolute_timeout`` ends the session all the same.

        :param seconds: from 1 to ``absolute_timeout``; None is the settings' ``idle_timeout``.
        :raises ValueError: they are not.
        """
        self._write("session.expire_after()")
        if seconds is None:
            self._drop_own(IDLE)
            return
        most = self._sessions.absolute_timeout
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise ValueError(f"session.expire_after() takes seconds, or None; got {seconds!r}")
        if not 1 <= seconds <= most:
            raise ValueError(
                f"session.expire_after({seconds!r}) is not between 1 second and absolute_timeout, "
                f"{most!r}; destroy() ends a session now"
            )
        self._set_own(IDLE, repr(float(seconds)).encode())

    def regenerate(self, grace: float = 0) -> None:
        """Give the session a new id when it is saved; the old one ends then.

        If the record is gone by then the save raises SessionEndedError.

        :param grace: seconds for which the old id still leads to the record, and all it
            does is merged, for requests under way when an id is renewed by time. Of two that
            renew it at once the second goes on by the old id. Ignored where the user changes.
        """
        self._write("session.regenerate()")
        if not 0 <= grace < float("inf"):
            raise ValueError(f"grace is a number of seconds from 0 on; got {grace!r}")
        self._regenerate = float(grace) if self._regenerate is None else self._regenerate

    def destroy(self) -> None:
        """End the session: its record dies, its id too. What is set afterwards begins a new one."""
        self._write("session.destroy()")
        self._begin_anew()
        self._destroyed = True

    def load(self) -> Any:
        """Load what is stored, if that was not done; counts as no access.

        The first touch does it otherwise. What it returns may be awaited, and has to be in a
        coroutine under ASGI; in a view that is none, and under WSGI, it is done on return.
        """
        if not self._begun:
            self._fetch()
        return Results()

    def save(self) -> Results:
        """Store what changed so far, now, and go on; the request's cookie still follows.

        Returned are the results of ``incr`` and ``pop_once``, as a tuple with one for each
        key: the sum in the store; the value, or None if another request removed it. It may
        be awaited, and has to be in a coroutine under ASGI, as with :meth:`load`.

        :raises NotImplementedError: this kind of session cannot.
        """
        self._write("session.save()")
        raise NotImplementedError(f"a {type(self).__name__} has no store to save to")

    def keep(self) -> None:
        """Let it be stored though nothing is in it, so that it has an id."""
        self._write("session.keep()")
        if self.new or self._is_cleared:  # then nothing of the record is left, or not even that
            self._set_own(KEPT, b"1")

    def refresh(self) -> None:
        """Renew the session's expiry when it is saved, however short ago that was done."""
        self._write("session.refresh()")
        self._renew = True

    # What it is.

    @property
    def id(self) -> str | None:
        """The id that leads to it, None before it is stored first; of a cookie session always.

        Whoever has it has the session: it belongs in the visitor's cookie, or into what
        :meth:`StoredSessions.open_id` is asked with, and in no page, log or address.
        """
        self._read()
        return None

    @property
    def new(self) -> bool:
        """Whether nothing is stored of it yet."""
        return not self._read()

    @property
    def began(self) -> float | None:
        """When it began, or the user logged in: ``absolute_timeout`` counts from then on.

        In seconds since the epoch; None before it is stored first.
        """
        self._read()
        return _seconds(self._own(BORN))

    @property
    def accessed(self) -> bool:
        """Whether it was read or written, in any way; this itself is none.

        A framework may set True, where it cannot tell: the response then varies by the cookie.
        """
        return self._accessed

    @accessed.setter
    def accessed(self, accessed: bool) -> None:
        if accessed is not True:
            raise ValueError("session.accessed can be set to True only; a use cannot be undone")
        self._accessed = True

    @property
    def modified(self) -> bool:
        """Whether anything would be stored now. Setting True renews the expiry as well.

        Changes in nested values are found by themselves: nobody has to set it.
        """
        if not self._begun:
            return False
        return bool(self._destroyed or self._regenerate is not None or self._changes())

    @modified.setter
    def modified(self, modified: bool) -> None:
        if modified is not True:
            raise ValueError("session.modified can be set to True only; changes cannot be undone")
        self.refresh()

    @property
    def refusal(self) -> Exception | None:
        """Why nothing in it can be changed, None if it can: its store is down, or it is a null one.

        Of a session that the settings' ``when_down="anonymous"`` has made empty; a framework that
        saves by itself lets it alone, and keeps the visitor's cookie.
        """
        self._read()
        return self._refusal

    @property
    def is_loaded(self) -> bool:
        """Whether its record was loaded, or looked for."""
        return bool(self._begun)

    # For the subclasses.

    def _finish_at_once(self) -> SessionHeaders | None:
        """Close the session, if nothing has to be awaited for that; None: it has."""
        if self._accessed:
            return None
        self._closed = True
        return NOTHING

    def _now(self) -> float:
        return time.time()

    def _idle(self) -> float:
        return idle_of(self._own(IDLE), self._sessions.idle_timeout)


class NullSession(Session):
    """An empty session that refuses every change; see :meth:`SessionInterface.null`."""

    __slots__ = ()

    is_null = True

    def __init__(self) -> None:
        super().__init__()
        refusal = SessionError(
            "There is no session here, so nothing can be kept in one. Give the application "
            "sessions: App(__name__, sessions=StoredSessions(MemoryStore()))."
        )
        self._begin({}, refusal)

    def _finish_at_once(self) -> SessionHeaders:
        return ACCESSED if self._accessed else super()._finish_at_once() or NOTHING

    def _idle(self) -> float:
        return 0.0


def _seconds(raw: bytes | None) -> float | None:
    try:
        return None if raw is None else float(raw)
    except ValueError:
        return None
