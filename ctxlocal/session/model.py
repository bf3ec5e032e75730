"""Session: a dict that knows what changed in it.

It holds three things: the fields as they were loaded (bytes, never changed), the values
that were handed out or assigned, and what was done since. Values are decoded when first
asked for. What is mutable and was handed out is encoded then, and again when the session
is saved: if the bytes differ it has changed, however deep; nothing is proxied or watched.

Here is no input or output. Where the fields come from and where the changes go is for
the subclasses: ``stored.py`` (a store on the server) and ``cookie_sessions.py``.
"""

from __future__ import annotations

import time
from collections.abc import (
    Generator,
    ItemsView,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from hashlib import sha256
from itertools import count
from secrets import token_hex
from typing import Any, NamedTuple

from .codec import IMMUTABLE, decode, encode
from .errors import (
    FreshLoginRequiredError,
    SessionClosedError,
    SessionError,
    SessionNotLoadedError,
    UnstorableValueError,
)
from .protocol import FLASH, MAX_INT, MEMBER, MIN_INT, RESERVED, USER, Clear, Incr, Op, Take

AUTHENTICATED = "\0auth"  #: when the user logged in
BORN = "\0born"  #: when the session began: what the absolute limit counts from
PERMANENT = "\0keep"  #: the cookie outlives the browser

_MISSING: Any = object()
_flash_number = count()
_new_tuple = tuple.__new__


class Changes(NamedTuple):
    """What a request did to the fields of its session."""

    sets: dict[str, bytes]
    deletes: list[str]
    ops: list[Op]

    def __bool__(self) -> bool:
        return bool(self.sets or self.deletes or self.ops)


class Results(tuple[Any, ...]):
    """What the operations of a ``save()`` came to: a tuple that ``await`` returns as it is.

    So ``await session.save()`` works wherever there is a session, under WSGI too.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, Results]:
        return self
        yield  # a generator, which waits for nothing


class Session(MutableMapping[str, Any]):
    """The values of one visitor, from one request to the next.

    Keys are ``str``; values are what :func:`ctxlocal.session.codec.encode` takes. Changes
    inside a list or a dict are found when the session is saved. Each key is stored on its
    own: two requests that change different keys at once both keep what they did.

    It belongs to one request. Several threads of that request may read it; only one at a
    time may change it.
    """

    __slots__ = (
        "__weakref__",
        "_accessed",
        "_added",
        "_assigned",
        "_baselines",
        "_closed",
        "_cookies",
        "_destroyed",
        "_dropped",
        "_fields",
        "_indexed",
        "_is_cleared",
        "_is_plain",
        "_member_names",
        "_ops",
        "_refusal",
        "_regenerate",
        "_renew",
        "_sessions",
        "_values",
    )

    is_null = False  #: it refuses every change; see SessionInterface.null

    _encode = staticmethod(encode)
    _decode = staticmethod(decode)

    def __init__(self, sessions: Any = None, cookies: str = "") -> None:
        self._sessions = sessions  # what opened it
        self._cookies = cookies  # the request's Cookie header, not looked at yet
        self._accessed = self._closed = False
        self._is_plain = False  # loaded, and nothing was done but to read, set and delete keys
        self._refusal: Exception | None = None  # why it cannot be changed
        self._fields: Mapping[str, bytes] | None = None  # None: not loaded, and nothing below set

    def _begin(self, fields: Mapping[str, bytes]) -> None:
        """Start from these fields, with nothing changed."""
        self._values: dict[str, Any] = {}  # decoded or assigned, as the application sees them
        self._baselines: dict[str, bytes] = {}  # of mutable values handed out: as they were
        self._indexed: Mapping[str, bytes] | None = None  # the fields that _member_names are of
        self._renew = self._destroyed = False
        self._drop_changes()
        self._fields = fields  # the last: for other threads it is loaded now

    def _drop_changes(self) -> None:
        self._assigned: dict[str, bytes | None] = {}  # keys that were set; None: encode it later
        self._added: dict[str, bytes] = {}  # fields of our own that were set
        self._dropped: set[str] = set()  # loaded fields that are gone
        self._ops: dict[str, Op] = {}  # by key
        self._is_cleared = False
        self._regenerate: float | None = None  # the grace, if asked for

    # How it is reached: everything below goes through these.

    def _read(self) -> Mapping[str, bytes]:
        """Return the loaded fields; every first look at the session comes by here (R20)."""
        if not self._accessed:
            if self._closed:  # no Vary can be sent any more
                raise SessionClosedError("the session's first use")
            self._accessed = True
        if self._fields is None:
            self._fetch()
        return self._fields or {}

    def _write(self, operation: str) -> None:
        self._write_key(operation)
        self._is_plain = False

    def _write_key(self, operation: str) -> Mapping[str, bytes]:
        if self._closed:
            raise SessionClosedError(operation)
        fields = self._read()
        if self._refusal is not None:
            raise self._refusal
        return fields

    def _decoded(self, key: str, raw: bytes) -> Any:
        """Return a loaded value; if it is none, the whole record is void (R32), and _MISSING."""
        try:
            return decode(raw) if key[:1] == RESERVED else self._decode(raw, key)
        except ValueError as error:
            self._give_up(error)
            return _MISSING

    def _give_up(self, error: ValueError) -> None:
        """Go on without the record, with what this request assigned and added alone."""
        self._ops = {key: op for key, op in self._ops.items() if isinstance(op, Incr)}
        counted = {key: op.amount for key, op in self._ops.items() if isinstance(op, Incr)}
        self._values = {key: self._values[key] for key in self._assigned} | counted
        self._baselines = {}
        self._dropped = set()
        self._fields = {}
        self._void(error)

    def _void(self, error: ValueError) -> None:
        """Give up the record, which cannot be read: from here on the session is a new one."""

    def _fetch(self) -> None:
        """Begin with the fields of the record, or with none. Called at the first touch."""
        raise SessionNotLoadedError

    # The mapping.

    def __getitem__(self, key: str) -> Any:
        fields = self._fields
        if fields is None or not self._accessed:
            fields = self._read()
        values = self._values
        if key in values:
            return values[key]
        raw = fields.get(key)
        if raw is None or key in self._dropped or key[:1] == RESERVED:
            return self._hand_out_set(key)
        try:
            value = self._decode(raw, key)
            if type(value) not in IMMUTABLE:
                self._baselines[key] = self._encode(key, value)
        except ValueError as error:
            self._give_up(error)
            raise KeyError(key) from None
        except UnstorableValueError:  # another program stored it
            self._give_up(ValueError("not a stored value (none that we would store)"))
            raise KeyError(key) from None
        return values.setdefault(key, value)  # one object, also when threads ask at once

    def _hand_out_set(self, key: str) -> frozenset[Any]:
        if not isinstance(key, str):
            raise KeyError(key)
        members = set()
        for raw in self._members(key).values():
            member = self._decoded(MEMBER, raw)
            try:
                members.add(member)
            except TypeError:  # another program stored it
                self._give_up(ValueError("not a stored value (an unhashable member)"))
                member = _MISSING
            if member is _MISSING:
                raise KeyError(key)
        if not members:
            raise KeyError(key)
        return frozenset(members)

    def __setitem__(self, key: str, value: Any) -> None:
        fields = self._fields
        if fields is None or not self._accessed or self._closed or self._refusal is not None:
            fields = self._write_key("session[...] = ...")
        if type(key) is not str or key[:1] == RESERVED or not key.isascii():
            key = _plain_key(key)
        raw = self._encode(key, value)  # refuse here, where the mistake is, what cannot be stored
        if self._ops or self._baselines or self._added or MEMBER in "".join(fields):
            self._remove(key)
        self._values[key] = value
        self._assigned[key] = raw if type(value) in IMMUTABLE else None

    def __delitem__(self, key: str) -> None:
        self._write_key("del session[...]")
        if key not in self:
            raise KeyError(key)
        self._remove(key)

    def __contains__(self, key: object) -> bool:
        fields = self._read()
        if key in self._values:
            return True
        if not isinstance(key, str):
            return False
        if key in fields and key not in self._dropped and key[:1] != RESERVED:
            return True
        return bool(self._members(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys())

    def __len__(self) -> int:
        return len(self._keys())

    # A view looks when it is used, perhaps after the headers: so asking for one counts (R20).

    def keys(self) -> KeysView[str]:
        """Return a view of the keys."""
        self._read()
        return super().keys()

    def values(self) -> ValuesView[Any]:
        """Return a view of the values."""
        self._read()
        return super().values()

    def items(self) -> ItemsView[str, Any]:
        """Return a view of the keys with their values."""
        self._read()
        return super().items()

    def __repr__(self) -> str:
        """Say what it is without loading it, and without its values."""
        state = "not loaded" if self._fields is None else "loaded"
        return f"<{type(self).__name__} {state}{', closed' if self._closed else ''}>"

    def clear(self) -> None:
        """Drop every value, also those that other requests set meanwhile, and the user.

        No delta, but a new generation: requests that loaded the former one store nothing.
        """
        self._write("session.clear()")
        was_login = self.user is not None or self._own(AUTHENTICATED) is not None
        regenerate = 0.0 if was_login else self._regenerate
        born = self._own(BORN)
        self._values, self._baselines = {}, {}
        self._drop_changes()
        self._dropped.update(self._fields or ())
        self._is_cleared = True
        self._regenerate = regenerate
        if born is not None and regenerate is None:  # the record stays, and its absolute limit
            self._set_own(BORN, born)

    # What a store does where the record lies.

    def incr(self, key: str, amount: int = 1) -> int:
        """Add to an integer, 0 if absent, and lose none of what others add at the same time.

        Returned is the sum as this request sees it; the stored one counts the others too.
        It is sent when the session is saved.

        :raises TypeError: the value, or ``amount``, is no int.
        :raises OverflowError: the sum is beyond 64 bits.
        """
        self._write("session.incr()")
        key = _plain_key(key)
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
            self._ops.pop(key, None)  # of pop_once(): a store would take what is set here
            self._assigned[key] = self._encode(key, total)
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
        key = _plain_key(key)
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
            if item is _MISSING:  # the record is void
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
        and a session that was another user's is cleared first. None logs out; what is kept
        beyond that is for :meth:`destroy`.
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
            self._set_own(BORN, repr(self._now()).encode())
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

    def regenerate(self, grace: float = 0) -> None:
        """Give the session a new id when it is saved; the old one ends then.

        :param grace: seconds for which the old id still reads the record, for requests under
            way when an id is renewed by time. Ignored where the user changes.
        """
        self._write("session.regenerate()")
        if not 0 <= grace < float("inf"):
            raise ValueError(f"grace is a number of seconds from 0 on; got {grace!r}")
        self._regenerate = float(grace) if self._regenerate is None else self._regenerate

    def destroy(self) -> None:
        """End the session: its record dies, its id too. What is set afterwards begins a new one."""
        self._write("session.destroy()")
        self._begin({})
        self._destroyed = True

    def load(self) -> Any:
        """Load what is stored, if that was not done; counts as no access.

        The first touch does it otherwise. What it returns may be awaited, and has to be in a
        coroutine under ASGI; in a view that is none, and under WSGI, it is done on return.
        """
        if self._fields is None:
            self._fetch()
        return Results()

    def save(self) -> Any:
        """Store what changed so far, now, and go on; the request's cookie still follows.

        Returned are the results of ``incr`` and ``pop_once``, as a tuple with one for each
        key: the sum in the store; the value, or None if another request removed it. It may
        be awaited, and has to be in a coroutine under ASGI, as with :meth:`load`.

        :raises NotImplementedError: this kind of session cannot.
        """
        self._write("session.save()")
        raise NotImplementedError(f"a {type(self).__name__} has no store to save to")

    def refresh(self) -> None:
        """Renew the session's expiry when it is saved, however short ago that was done."""
        self._write("session.refresh()")
        self._renew = True

    # What it is.

    @property
    def new(self) -> bool:
        """Whether nothing is stored of it yet."""
        return not self._read()

    @property
    def accessed(self) -> bool:
        """Whether it was read or written, in any way; this itself is none. It cannot be set."""
        return self._accessed

    @accessed.setter
    def accessed(self, accessed: bool) -> None:
        raise SessionError(
            "session.accessed cannot be set, which Flask does: StoredSessions and its like cannot "
            "be its session_interface. Wrap the application instead, app.wsgi_app = "
            "ContextMiddleware(app.wsgi_app, sessions=...), and use ctxlocal.context.session."
        )

    @property
    def modified(self) -> bool:
        """Whether anything would be stored now. Setting True renews the expiry as well.

        Changes in nested values are found by themselves: nobody has to set it.
        """
        if self._fields is None:
            return False
        return bool(self._destroyed or self._regenerate is not None or self._changes())

    @modified.setter
    def modified(self, modified: bool) -> None:
        if modified is not True:
            raise ValueError("session.modified can be set to True only; changes cannot be undone")
        self.refresh()

    @property
    def is_loaded(self) -> bool:
        """Whether its record was loaded, or looked for."""
        return self._fields is not None

    # For the subclasses.

    def _changes(self) -> Changes:
        """Return what to store. O(values handed out)."""
        sets = self._added.copy()
        for key, raw in self._assigned.items():
            sets[key] = self._encode(key, self._values[key]) if raw is None else raw
        for key, before in self._baselines.items() if self._baselines else ():
            if (now := self._encode(key, self._values[key])) != before:
                sets[key] = now
        if not self._dropped and not self._ops and not self._is_cleared:
            return _new_tuple(Changes, (sets, [], []))
        ops = list(self._ops.values())
        if self._is_cleared:
            return Changes(sets, [], [Clear(), *ops])
        deletes = [name for name in self._dropped if name not in sets and name not in self._ops]
        return Changes(sets, deletes, ops)

    def _all_fields(self) -> dict[str, bytes]:
        """Return the fields as they are with the changes done."""
        changes = self._changes()
        fields = {k: v for k, v in (self._fields or {}).items() if k not in self._dropped}
        fields.update(changes.sets)
        for op in changes.ops:
            if isinstance(op, Incr):
                fields[op.field] = self._encode(op.field, self._values[op.field])
        return fields

    def _settle(self, fields: dict[str, bytes], changes: Changes) -> None:
        """Go on from what is stored now; values that were handed out stay the same objects."""
        self._fields = fields
        for key, raw in changes.sets.items():
            if key in self._values and type(self._values[key]) not in IMMUTABLE:
                self._baselines[key] = raw
        self._renew = False
        self._drop_changes()

    def _operate(self, operation: str, op: Incr | Take) -> None:
        """Note an operation for the store."""
        self._ops[op.field] = op

    def _now(self) -> float:
        return time.time()

    # Keys and our own fields.

    def _keys(self) -> list[str]:
        fields, values, dropped = self._read(), self._values, self._dropped
        keys = {k: None for k in fields if k[:1] != RESERVED and (k not in dropped or k in values)}
        keys.update(dict.fromkeys(values))
        for name in (*fields, *self._added):
            if name[:2] == MEMBER and name not in dropped:
                keys[name[2:].rpartition("\0")[0]] = None
        return list(keys)

    def _members(self, key: str) -> dict[str, bytes]:
        names = self._loaded_members(self._read())
        if self._added:
            names = [*names, *self._added]
        if not names:
            return {}
        prefix = f"{MEMBER}{key}\0"
        length = len(prefix) + 32
        members = {}
        for name in names:
            if name.startswith(prefix) and len(name) == length and name not in self._dropped:
                raw = self._own(name)
                if raw is not None:
                    members[name] = raw
        return members

    def _loaded_members(self, fields: Mapping[str, bytes]) -> list[str]:
        """Return the loaded fields that are members of sets. O(fields), once."""
        if self._indexed is not fields:
            self._member_names = [name for name in fields if name[:2] == MEMBER]
            self._indexed = fields
        return self._member_names

    def _is_ours(self, key: str) -> bool:
        """Whether this request made the key's value, so that nobody else adds to it."""
        return key in self._assigned or key in self._dropped or self._is_cleared

    def _remove(self, key: str) -> None:
        """Forget a key, in all the ways it can be there."""
        if key in self._values:
            del self._values[key]
            self._assigned.pop(key, None)
            self._baselines.pop(key, None)
        if self._ops:
            self._ops.pop(key, None)
        if key in (self._fields or ()):
            self._dropped.add(key)
        for name in self._members(key):  # another request may have made a set of it meanwhile
            self._drop_own(name)

    def _own(self, name: str) -> bytes | None:
        added = self._added.get(name)
        if added is not None:
            return added
        return None if name in self._dropped else (self._fields or {}).get(name)

    def _set_own(self, name: str, raw: bytes) -> None:
        self._added[name] = raw
        self._dropped.discard(name)

    def _drop_own(self, name: str) -> None:
        self._added.pop(name, None)
        if name in (self._fields or ()):
            self._dropped.add(name)


class NullSession(Session):
    """An empty session that refuses every change; see :meth:`SessionInterface.null`."""

    __slots__ = ()

    is_null = True

    def __init__(self) -> None:
        super().__init__()
        self._begin({})
        self._refusal = SessionError(
            "There is no session here, so nothing can be kept in one. Give the application "
            "sessions: App(__name__, sessions=StoredSessions(MemoryStore()))."
        )


def _plain_key(key: object) -> str:
    if type(key) is not str:
        if not isinstance(key, str):
            raise TypeError(f"a session's keys are str; got {key!r}")
        key = str.__str__(key)  # not str(): an enumeration's own __str__ gives something else
    if key[:1] == RESERVED:
        raise ValueError(f"a session's keys do not begin with NUL; got {key!r}")
    if not key.isascii():
        try:
            key.encode()
        except UnicodeEncodeError:
            raise ValueError(f"a session's keys hold no lone surrogates; got {key!r}") from None
    return key


def _seconds(raw: bytes | None) -> float | None:
    try:
        return None if raw is None else float(raw)
    except ValueError:
        return None
