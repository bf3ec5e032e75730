"""The reference twin of Values: what most requests do with the values of a session."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..codec import IMMUTABLE
from ..errors import UnstorableValueError
from ..stores.protocol import MEMBER, RESERVED, Op

if TYPE_CHECKING:
    from collections.abc import Callable

# What was changed, where nothing was: all sessions share them, so nothing can be put into them.
# Most requests change a key or none, and do without four containers.
NOTHING: Any = MappingProxyType({})
NO_NAMES: Any = frozenset()


# What is where in what a session began with, which is put into its list in one step.
FIELDS, REFUSAL, VALUES, BASELINES, MORE = range(5)


class Values:
    """Values by key, decoded when first asked for, and what was done to them since.

    The rest of what a session's mapping needs is in :class:`~ctxlocal.sessions.fields.Fields`.
    """

    __slots__ = (
        "__weakref__",
        "_accessed",
        "_added",
        "_assigned",
        "_begun",
        "_closed",
        "_cookies",
        "_destroyed",
        "_dropped",
        "_failure",
        "_indexed",
        "_is_cleared",
        "_is_plain",
        "_member_names",
        "_ops",
        "_regenerate",
        "_renew",
        "_sessions",
    )

    _assigned: dict[str, bytes | None]  # keys set; None: encode it later
    _added: dict[str, bytes]  # fields of our own that were set
    _dropped: set[str]  # loaded fields that are gone
    _ops: dict[str, Op]  # by key

    _member_names: list[str]

    if TYPE_CHECKING:  # what Fields has for these methods
        _encode: Callable[[str, Any], bytes]
        _encode_again: Callable[[str, Any, bytes], bytes]
        _decode: Callable[..., Any]
        _baselines: dict[str, bytes]

        def _read(self) -> Mapping[str, bytes]: ...
        def _write_key(self, operation: str) -> Mapping[str, bytes]: ...
        def _hand_out_set(self, key: str) -> frozenset[Any]: ...
        def _remove(self, key: str) -> None: ...
        def _give_up(self, error: ValueError) -> None: ...

    def __init__(self, sessions: Any = None, cookies: str = "") -> None:
        self._sessions = sessions  # what opened it
        self._cookies = cookies  # the request's Cookie header, not looked at yet
        self._accessed = self._closed = False
        self._is_plain = True  # nothing was done but to read, set and delete keys
        self._failure: Exception | None = None  # why it could not be loaded
        self._begun: list[Any] = []  # what it began with when it was loaded; empty: it was not
        # All below is as it has to be when it is loaded: to set it then would take away what
        # another thread of the request, which was faster, has done by now.
        self._indexed: Mapping[str, bytes] | None = None  # the fields that _member_names are of
        self._renew = self._destroyed = self._is_cleared = False
        # Each of these four is made when something is noted in it.
        self._assigned = self._added = self._ops = NOTHING
        self._dropped = NO_NAMES
        self._regenerate: float | None = None  # the grace, if asked for

    def __getitem__(self, key: str) -> Any:
        begun = self._begun
        if not begun or not self._accessed:
            self._read()
        values = begun[VALUES]
        if key in values:
            return values[key]
        raw = begun[FIELDS].get(key)
        if raw is None or key in self._dropped or key[:1] == RESERVED:
            return self._hand_out_set(key)
        try:
            value = self._decode(raw, key)
            if type(value) not in IMMUTABLE:
                self._baselines.setdefault(key, self._encode_again(key, value, raw))
        except ValueError as error:
            self._give_up(error)
            raise KeyError(key) from None
        except UnstorableValueError:  # another program stored it
            self._give_up(ValueError("not a stored value (none that we would store)"))
            raise KeyError(key) from None
        return values.setdefault(key, value)  # one object, also when threads ask at once

    def __setitem__(self, key: str, value: Any) -> None:
        begun = self._begun
        if not begun or not self._accessed or self._closed or begun[REFUSAL] is not None:
            self._write_key("session[...] = ...")
        if type(key) is not str or key[:1] == RESERVED or not key.isascii():
            key = plain_key(key)
        raw = self._encode(key, value)  # refuse here, where the mistake is, what cannot be stored
        if self._ops or begun[BASELINES] or self._added or MEMBER in "".join(begun[FIELDS]):
            self._remove(key)
        begun[VALUES][key] = value
        assigned = self._assigned
        if not assigned:
            self._assigned = assigned = {}
        assigned[key] = raw if type(value) in IMMUTABLE else None

    def _sets(self) -> dict[str, bytes]:
        """Return what to store of what was set, or changed within. O(values handed out)."""
        sets = self._added.copy() if self._added else {}
        begun = self._begun
        values, baselines = begun[VALUES], begun[BASELINES]
        for key, raw in self._assigned.items():
            sets[key] = self._encode(key, values[key]) if raw is None else raw
        # Another thread may be reading: it notes what a value was, then gives out the value.
        for key, before in baselines.copy().items() if baselines else ():
            if key in values and (now := self._encode(key, values[key])) != before:
                sets[key] = now
        return sets


def plain_key(key: object) -> str:
    """Return a key as a plain str.

    :raises TypeError: it is no str.
    :raises ValueError: it begins with NUL, or holds a lone surrogate.
    """
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
