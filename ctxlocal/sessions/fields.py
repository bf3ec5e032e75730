"""Fields: a dict that knows what changed in it; :class:`~ctxlocal.sessions.Session` is one.

It holds three things: the fields as they were loaded (bytes, never changed), the values
that were handed out or assigned, and what was done since. Values are decoded when first
asked for. What is mutable and was handed out is encoded then, and again when the session
is saved: if the bytes differ it has changed, however deep; nothing is proxied or watched.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Any

import msgspec

from .codec import IMMUTABLE, decode, encode, encode_again
from .errors import SessionClosedError, SessionNotLoadedError
from .jsonable import jsonable
from .stores.protocol import MEMBER, RESERVED, Clear, Incr, Op, Take
from .values import Values
from .values.pure import BASELINES, FIELDS, NO_NAMES, NOTHING, REFUSAL, VALUES

if TYPE_CHECKING:
    from typing_extensions import Self

MISSING: Any = object()  #: in place of a value where there is none


def begun(place: int) -> Any:
    """Return an attribute for what is there in what a session began with."""

    def get(session: Fields) -> Any:
        return session._begun[place]

    def put(session: Fields, value: Any) -> None:
        session._begun[place] = value

    return property(get, put)


class Changes(msgspec.Struct, frozen=True):
    """What a request did to the fields of its session."""

    sets: dict[str, bytes]
    deletes: list[str]
    ops: list[Op]

    def __bool__(self) -> bool:
        return bool(self.sets or self.deletes or self.ops)


class _LikeDict(dict[str, Any]):
    """What a session says that it is: a dict to all that ask by ``isinstance``.

    It is none to C code, which would read a dict's own storage: without loading anything,
    without ``Vary``, and past what is overridden here. The ``json`` module is such code; its
    error shows this class's name, so the name says what to write.
    """

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Let IPython show what ``repr`` does: of any other dict it shows the values."""
        printer.text(repr(self))


_LikeDict.__name__ = _LikeDict.__qualname__ = "Session (write session.to_dict())"


class Fields(Values, MutableMapping[str, Any]):
    """The values of a session, as its mapping; what else can be done to them is the subclass's."""

    __slots__ = ()

    _fields: Mapping[str, bytes] = begun(FIELDS)  # as they were loaded, or stored since
    _values: dict[str, Any] = begun(VALUES)  # decoded or assigned, as the application sees them
    _baselines: dict[str, bytes] = begun(BASELINES)  # of mutable values handed out: as they were

    _encode = staticmethod(encode)
    _encode_again = staticmethod(encode_again)
    _decode = staticmethod(decode)

    def _begin(
        self, fields: Mapping[str, bytes], refusal: Exception | None = None, *more: Any
    ) -> None:
        """Begin with these fields, unless another thread of the request was first.

        To extend is one indivisible step, and what comes second is where nobody looks.

        :param refusal: why they cannot be changed, if they cannot.
        :param more: what its kind knows of them beside.
        """
        self._begun.extend((fields, refusal, {}, {}, *more))

    def _begin_anew(self) -> None:
        """Go on without any fields, with nothing changed: for whoever may change the session."""
        self._values, self._baselines = {}, {}
        self._indexed = None
        self._renew = self._destroyed = False
        self._drop_changes()
        self._fields = {}

    @property
    def _refusal(self) -> Exception | None:
        """Why it cannot be changed, or could not be loaded."""
        refusal: Exception | None = self._begun[REFUSAL] if self._begun else self._failure
        return refusal

    def _drop_changes(self) -> None:
        self._assigned = self._added = self._ops = NOTHING
        self._dropped = NO_NAMES
        self._is_cleared = False
        self._regenerate = None

    # How it is reached: everything below goes through these.

    def _read(self) -> Mapping[str, bytes]:
        """Return the loaded fields; every first look at the session comes by here (R20)."""
        if not self._accessed:
            if self._closed:  # no Vary can be sent any more
                raise SessionClosedError("the session's first use")
            self._accessed = True
        begun = self._begun
        if not begun:
            self._fetch()
        fields: Mapping[str, bytes] = begun[FIELDS]
        return fields

    def _write(self, operation: str) -> None:
        self._write_key(operation)
        self._is_plain = False

    def _write_key(self, operation: str) -> Mapping[str, bytes]:
        if self._closed:
            raise SessionClosedError(operation)
        fields = self._read()
        if (refusal := self._refusal) is not None:
            raise refusal
        return fields

    def _decoded(self, key: str, raw: bytes) -> Any:
        """Return a loaded value; if it is none, the whole record is void (R32), and MISSING."""
        try:
            return decode(raw) if key[:1] == RESERVED else self._decode(raw, key)
        except ValueError as error:
            self._give_up(error)
            return MISSING

    def _give_up(self, error: ValueError) -> None:
        """Go on without the record, which cannot be read."""
        self._keep_own()
        self._void(error)

    def _keep_own(self) -> None:
        """Forget what was loaded; what this request assigned, added and counted itself stays."""
        self._ops = {key: op for key, op in self._ops.items() if isinstance(op, Incr)}
        counted = {key: op.amount for key, op in self._ops.items() if isinstance(op, Incr)}
        self._values = {key: self._values[key] for key in self._assigned} | counted
        self._baselines = {}
        self._dropped = NO_NAMES
        self._fields = {}

    def _void(self, error: ValueError) -> None:
        """Give up the record, which cannot be read: from here on the session is a new one."""

    def _fetch(self) -> None:
        """Begin with the fields of the record, or with none. Called at the first touch."""
        raise SessionNotLoadedError

    # The mapping.

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
                member = MISSING
            if member is MISSING:
                raise KeyError(key)
        if not members:
            raise KeyError(key)
        return frozenset(members)

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

    # What else a dict has; each gives a plain dict, which is no part of the session.

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return _LikeDict

    def copy(self) -> dict[str, Any]:
        """Return a plain dict with the same values, as ``dict(session)`` does."""
        return dict(self)

    def to_dict(self) -> dict[str, Any]:
        """Return a plain dict for JSON, which shares nothing with the session.

        Tuples, sets and frozensets become lists (members of sets in the order of their stored
        bytes), Structs, dataclasses and enumerations what msgspec makes of them; all other values
        are as they are. Changes to it change nothing here. O(size).
        """
        return {key: jsonable(value) for key, value in self.items()}

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self) | dict(other) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(other) | dict(self) if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Any) -> Self:  # type: ignore[misc]
        self.update(other)
        return self

    def popitem(self) -> tuple[str, Any]:
        """Remove the last key and return it with its value, as a dict does."""
        for key in reversed(self):
            return key, self.pop(key)
        raise KeyError("popitem(): the session is empty")

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys())

    def __reduce_ex__(self, protocol: object) -> tuple[type, tuple[dict[str, Any]]]:
        """Copy, and pickle, as a plain dict: a session belongs to its request."""
        return dict, (dict(self),)

    def __repr__(self) -> str:
        """Say what it is without loading it, and without its values."""
        state = "loaded" if self._begun else "not loaded"
        return f"<{type(self).__name__} {state}{', closed' if self._closed else ''}>"

    # For the subclasses.

    def _changes(self) -> Changes:
        """Return what to store. O(values handed out)."""
        sets = self._sets()
        if not self._dropped and not self._ops and not self._is_cleared:
            return Changes(sets, [], [])
        ops = list(self._ops.values())
        if self._is_cleared:
            return Changes(sets, [], [Clear(), *ops])
        deletes = [name for name in self._dropped if name not in sets and name not in self._ops]
        return Changes(sets, deletes, ops)

    def _all_fields(self) -> dict[str, bytes]:
        """Return the fields as they are with the changes done."""
        changes = self._changes()
        fields = {k: v for k, v in self._fields.items() if k not in self._dropped}
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
        if not self._ops:
            self._ops = {}
        self._ops[op.field] = op

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
            self._baselines.pop(key, None)
        if self._assigned:
            self._assigned.pop(key, None)
        if self._ops:
            self._ops.pop(key, None)
        self._drop(key)
        for name in self._members(key):  # another request may have made a set of it meanwhile
            self._drop_own(name)

    def _drop(self, name: str) -> None:
        """Note that a field is gone, if it was loaded."""
        if name in self._fields:
            if not self._dropped:
                self._dropped = set()
            self._dropped.add(name)

    def _own(self, name: str) -> bytes | None:
        added = self._added.get(name)
        if added is not None:
            return added
        return None if name in self._dropped else self._fields.get(name)

    def _set_own(self, name: str, raw: bytes) -> None:
        if not self._added:
            self._added = {}
        self._added[name] = raw
        if self._dropped:
            self._dropped.discard(name)

    def _drop_own(self, name: str) -> None:
        if self._added:
            self._added.pop(name, None)
        self._drop(name)
