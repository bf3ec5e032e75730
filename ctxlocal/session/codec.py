"""How a session's values become bytes, and back: the one codec of every store and cookie.

An ``int`` becomes ASCII decimal, so that a store can add to it where it lies; all else is
msgpack (https://msgpack.org), whose first byte is then never ``-`` or a digit. What does
not come back as it was, a subclass too, is refused when it is assigned. Types beyond
msgpack's are registered, each under a number of its own that is written with the value;
datetime, date, UUID, Decimal and Markup are.

Nothing here runs code that the bytes name: it is safe on hostile input (never pickle).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from ..errors import MissingDependencyError
from .errors import SessionConfigError, UnstorableValueError, with_article
from .protocol import MAX_INT, MIN_INT

try:
    import msgspec
    from markupsafe import Markup
except ImportError as error:
    raise MissingDependencyError("ctxlocal.session", error.name or "msgspec", "sessions") from error

T = TypeVar("T")

MAX_DEPTH = 64  #: containers within containers, in a value that is stored or decoded
MAX_BYTES = 16 * 1024 * 1024  #: of one decoded value

#: Types whose values nobody can change; all others are compared again when the session is saved.
IMMUTABLE = frozenset(
    {str, int, float, bool, NoneType, bytes, datetime, date, UUID, Decimal, Markup, frozenset}
)

_PLAIN = frozenset({str, int, float, bool, NoneType, bytes})
_BASES = (str, int, float, bytes, dict, list)
_STORABLE = (
    "Store str, int, float, bool, None, bytes, datetime, date, UUID, Decimal, Markup, and lists "
    "and dicts (with str keys) of these, or register the type with ctxlocal.session.register()."
)
_USE_A_SET = "Use a list, or session.add_to_set(), which loses nothing others add."
_CONTAINER_STARTS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
_INT_STARTS = frozenset(b"%c" % first for first in b"-0123456789")


class _Custom(NamedTuple):
    code: int
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Any]


class _Problem(Exception):
    """Why a value cannot be stored, and what to do."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem, hint)


_by_type: dict[type, _Custom] = {}
_by_code: dict[int, _Custom] = {}


def register(
    kind: type[T], code: int, pack: Callable[[T], bytes], unpack: Callable[[bytes], T]
) -> None:
    """Make values of exactly the type ``kind`` storable, wherever they stand in a value.

    ``unpack(pack(value))`` has to equal ``value``. Call it before the first session opens,
    in every process that shares the store.

    :param code: from 16 to 127, written with each value; never use it for another type later.
    :raises SessionConfigError: the code or the type is taken, or out of range.
    """
    if not 16 <= code <= 127:
        raise SessionConfigError("code", f"{code!r} is not from 16 to 127 (0 to 15 are our own)")
    if code in _by_code or kind in _by_type or kind in _PLAIN:
        raise SessionConfigError("code", f"{code!r} or {kind!r} is registered already")
    _register(kind, code, pack, unpack)


def _register(
    kind: type[T], code: int, pack: Callable[[T], bytes], unpack: Callable[[bytes], T]
) -> None:
    _by_type[kind] = _by_code[code] = _Custom(code, pack, unpack)


_register(datetime, 1, lambda v: v.isoformat().encode(), lambda b: datetime.fromisoformat(_text(b)))
_register(date, 2, lambda v: v.isoformat().encode(), lambda b: date.fromisoformat(_text(b)))
_register(UUID, 3, lambda v: v.bytes, lambda b: UUID(bytes=b))
_register(Decimal, 4, lambda v: str(v).encode(), lambda b: Decimal(_text(b)))
_register(Markup, 5, lambda v: str.__str__(v).encode(), lambda b: Markup(_text(b)))


def _text(raw: bytes) -> str:
    return bytes(raw).decode()


def _unpack(code: int, data: memoryview) -> Any:
    return _by_code[code].unpack(bytes(data))


_pack = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ext_hook=_unpack).decode


def encode(key: str, value: Any) -> bytes:
    """Return the bytes of ``value``. O(size).

    :param key: the session key, for the error.
    :raises UnstorableValueError: it would not come back as it was.
    """
    kind = type(value)
    if kind is int and MIN_INT <= value <= MAX_INT:
        return b"%d" % value
    try:
        raw = _pack(value if kind is str else _storable(value, 0))
    except _Problem as problem:
        raise UnstorableValueError(key, *problem.args) from None
    except ValueError as error:
        reason = f"msgpack refused it ({type(error).__name__})"
        if kind is str:
            reason = "the str holds a lone surrogate"
        raise UnstorableValueError(key, reason) from None
    if len(raw) > MAX_BYTES:  # decode would refuse it
        raise UnstorableValueError(key, f"{len(raw)} bytes are over {MAX_BYTES}")
    return raw


def decode(raw: bytes, key: str = "") -> Any:
    """Return the value of bytes that :func:`encode` made. O(size).

    :param key: not looked at; a schema's decoder goes by it.
    :raises ValueError: they are none, too many, or nested too deep.
    """
    if type(raw) is not bytes:  # a store's mistake
        raise ValueError(f"not a stored value (a {type(raw).__name__})")
    if raw[:1] in _INT_STARTS:
        return int(raw) if raw.isdigit() and len(raw) < 19 else _decode_int(raw)
    if len(raw) > MAX_DEPTH:
        check_limits(raw)
    try:
        return _decode(raw)
    except Exception as error:  # a registered type's unpack may raise anything
        raise ValueError(f"not a stored value ({type(error).__name__})") from None


def _decode_int(raw: bytes) -> int:
    if len(raw) > 20:
        raise ValueError("not a stored value (an integer beyond 64 bits)")
    try:
        number = int(raw)  # takes more than we write ("1_0", "1 "), which is harmless
    except ValueError:  # its message holds the bytes
        raise ValueError("not a stored value (no integer)") from None
    if not MIN_INT <= number <= MAX_INT:
        raise ValueError("not a stored value (an integer beyond 64 bits)")
    return number


def check_limits(raw: bytes) -> None:
    """Refuse bytes that are too many or nested too deep, before anything is decoded.

    :raises ValueError: they are.
    """
    if len(raw) > MAX_BYTES:
        raise ValueError(f"not a stored value ({len(raw)} bytes are over {MAX_BYTES})")
    # As deep as containers begin, at most; text and bytes are counted too, so look closer then.
    if len(raw) - len(raw.translate(None, _CONTAINER_STARTS)) > MAX_DEPTH and _is_deep(raw):
        raise ValueError(f"not a stored value (nested deeper than {MAX_DEPTH})")


def _is_deep(raw: bytes) -> bool:
    """Walk msgpack without building anything; what is cut short is the decoder's to refuse."""
    open_containers: list[int] = []  # how many items each still lacks
    at, end = 0, len(raw)
    while at < end:
        at, items = _step(raw, at)
        if items:
            open_containers.append(items)
            if len(open_containers) > MAX_DEPTH:
                return True
            continue
        while open_containers:
            open_containers[-1] -= 1
            if open_containers[-1]:
                break
            open_containers.pop()
    return False


# How long what follows the first byte is: fixed, or told by a length of so many bytes (plus more).
_FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_FIXED |= {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_COUNTED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_COUNTED |= {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_ITEMS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def _step(raw: bytes, at: int) -> tuple[int, int]:
    """Return where the next object's head ends (a scalar's: its end) and how many items it has."""
    first = raw[at]
    at += 1
    if first < 0x80 or first >= 0xE0:
        return at, 0
    if first < 0xA0:
        return at, (first & 0x0F) * (2 if first < 0x90 else 1)
    if first < 0xC0:
        return at + (first & 0x1F), 0
    if first in _ITEMS:
        width, each = _ITEMS[first]
        return at + width, int.from_bytes(raw[at : at + width], "big") * each
    if first in _COUNTED:
        width, more = _COUNTED[first]
        return at + width + more + int.from_bytes(raw[at : at + width], "big"), 0
    return at + _FIXED.get(first, 0), 0


def _storable(value: Any, depth: int) -> Any:
    """Return ``value`` as msgpack can hold it."""
    kind = type(value)
    if kind in _PLAIN:
        if kind is float and value != value:
            raise _Problem("a NaN does not equal itself", "Use None.")
        if kind is int and not MIN_INT <= value <= MAX_INT:
            raise _Problem("an int beyond 64 bits", "Store it as a str.")
        return value
    if depth >= MAX_DEPTH:
        raise _Problem(f"it is nested deeper than {MAX_DEPTH}, or contains itself")
    if kind is list:
        return _storable_list(value, depth + 1)
    if kind is dict:
        return _storable_dict(value, depth + 1)
    if (custom := _by_type.get(kind)) is not None:
        if kind is Decimal and value.is_nan():
            raise _Problem("a NaN does not equal itself", "Use None.")
        return msgspec.msgpack.Ext(custom.code, custom.pack(value))
    raise _refused(value)


def _refused(value: Any) -> _Problem:
    kind = type(value)
    name = with_article(kind.__name__)
    if kind is tuple:
        return _Problem(f"{name} would come back as a list", "Use a list.")
    if kind in (set, frozenset):
        return _Problem(f"{name} does not come back as it was", _USE_A_SET)
    for base in _BASES:
        if isinstance(value, base):  # to be registered, if it is wanted back
            plain = "its .value" if isinstance(value, Enum) else f"{base.__name__}() of it"
            return _Problem(
                f"{name} would come back as {with_article(base.__name__)}",
                f"Store {plain}, or register the type with ctxlocal.session.register().",
            )
    return _Problem(f"{name} does not come back as it was", _STORABLE)


def _storable_list(value: list[Any], depth: int) -> list[Any]:
    return [_storable(item, depth) for item in value]


def _storable_dict(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    for key in value:
        if type(key) is not str:
            name = with_article(type(key).__name__)
            raise _Problem(f"a dict's key is {name}, not a str", "Use keys of str.")
    return {key: _storable(item, depth) for key, item in value.items()}
