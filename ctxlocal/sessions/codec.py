"""How a session's values become bytes, and back: the one codec of every store and cookie.

An ``int`` becomes ASCII decimal, so that a store can add to it where it lies; all else is
msgpack (https://msgpack.org), whose first byte is then never ``-`` or a digit. What does
not come back as it was, a subclass too, is refused when it is assigned. Types beyond
msgpack's are written with a number: the scalars with their own (``scalars.py``, and what is
registered), tuples, sets, frozensets, and dicts with other keys than ``str``, with that of
a tag around an array of what they hold, which a set has in the order of its members' bytes.

Nothing here runs code that the bytes name: it is safe on hostile input (never pickle).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, TypeVar
from uuid import UUID

from ..errors import MissingDependencyError
from .depth import TAGS, is_deep
from .errors import SessionConfigError, UnstorableValueError, with_article
from .stores.protocol import MAX_INT, MIN_INT

try:
    import msgspec
    from markupsafe import Markup

    from .scalars import SCALARS, Problem, Scalar
except ImportError as error:
    raise MissingDependencyError(
        "ctxlocal.sessions", error.name or "msgspec", "sessions"
    ) from error

T = TypeVar("T")

MAX_DEPTH = 64  #: containers within containers, in a value that is stored or decoded
MAX_BYTES = 16 * 1024 * 1024  #: of one decoded value

PLAIN = frozenset({str, int, float, bool, NoneType, bytes})  #: msgpack's scalars
_AS_IT_IS = frozenset({str, int, bool, NoneType, bytes})  # msgpack's, whatever the value
#: Types whose values nobody can change; all others are compared again when the session is saved.
IMMUTABLE = frozenset({*PLAIN, *SCALARS, frozenset})

_TUPLE, _SET, _FROZENSET, _DICT = TAGS
_CONTAINERS: frozenset[type] = frozenset({list, tuple, dict, set, frozenset})
_CALLABLE_BASES = (Markup, str, int, float, bytes, dict, list, tuple, set, frozenset)
_BASES = (*_CALLABLE_BASES, datetime, date, time, timedelta, UUID, Decimal)
_STORABLE = (
    "Store str, int, float, bool, None, bytes, datetime, date, time, timedelta, UUID, Decimal, "
    "Markup, and lists, tuples, dicts, sets and frozensets of these, or register the type with "
    "ctxlocal.sessions.register()."
)
_TOO_LARGE = "an int beyond 64 bits", "Store it as a str."
_CONTAINER_STARTS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
#: Bytes that begin so are an int at the top.
INT_STARTS = frozenset(b"%c" % first for first in b"-0123456789")
_AFTER_INTS = b":"  # above all that begins so; of what else we write, none is below

_by_type = SCALARS.copy()
_by_code = {scalar.code: scalar for scalar in SCALARS.values()}


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
    if code in _by_code or kind in _by_type or kind in PLAIN or kind in _CONTAINERS:
        raise SessionConfigError("code", f"{code!r} or {kind!r} is registered already")
    _by_type[kind] = _by_code[code] = Scalar(code, pack, unpack)


def unpack(code: int, data: memoryview) -> Any:
    """Return the value that an Ext holds; it may raise anything. A decoder's ``ext_hook``."""
    if code in TAGS:
        return _untagged(code, _decode_items(data))
    return _by_code[code].unpack(bytes(data))


def _untagged(code: int, items: list[Any]) -> Any:
    if code == _TUPLE:
        return tuple(items)
    if code == _DICT:
        return dict(zip(items[::2], items[1::2], strict=True))
    return set(items) if code == _SET else frozenset(items)


def _as_list(code: int, data: memoryview) -> Any:
    return _decode_untagged(data) if code in TAGS else None


_pack = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ext_hook=unpack).decode
_decode_items = msgspec.msgpack.Decoder(list[Any], ext_hook=unpack).decode  # no tag in a tag
_decode_untagged = msgspec.msgpack.Decoder(ext_hook=_as_list).decode


def encode(key: str, value: Any) -> bytes:
    """Return the bytes of ``value``. O(size).

    :param key: the session key, for the error.
    :raises UnstorableValueError: it would not come back as it was.
    """
    kind = type(value)
    if kind is int:
        if MIN_INT <= value <= MAX_INT:
            return b"%d" % value
        raise UnstorableValueError(key, *_TOO_LARGE)
    try:
        raw = _pack(value if kind is str else _storable(value, 0))
    except Problem as problem:
        raise UnstorableValueError(key, *problem.args) from None
    except UnicodeEncodeError:
        raise UnstorableValueError(key, "a str holds a lone surrogate") from None
    except OverflowError:
        raise UnstorableValueError(key, *_TOO_LARGE) from None
    except ValueError as error:  # a registered type's pack
        reason = f"its pack raised {with_article(type(error).__name__)}"
        raise UnstorableValueError(key, reason) from error
    if len(raw) > MAX_BYTES:  # decode would refuse it
        raise UnstorableValueError(key, f"{len(raw)} bytes are over {MAX_BYTES}")
    return raw


def encode_again(key: str, value: Any, raw: bytes) -> bytes:
    """Return the bytes of a value that was decoded from ``raw``, which mostly are the same.

    :raises ValueError: ``raw`` is foreign: a dict in it has other keys than str, and no tag.
    :raises UnstorableValueError: it is foreign in another way.
    """
    again = encode(key, value)
    if again != raw and _has_odd_keys(_decode_untagged(raw)):
        raise ValueError("not a stored value (a dict whose keys are not str)")
    return again


def _has_odd_keys(value: Any) -> bool:
    if type(value) is dict:
        return any(type(key) is not str for key in value) or any(map(_has_odd_keys, value.values()))
    return type(value) is list and any(map(_has_odd_keys, value))


def decode(raw: bytes, key: str = "") -> Any:
    """Return the value of bytes that :func:`encode` made. O(size).

    :param key: not looked at; a schema's decoder goes by it.
    :raises ValueError: they are none, too many, or nested too deep.
    """
    if type(raw) is not bytes:  # a store's mistake
        raise ValueError(f"not a stored value (a {type(raw).__name__})")
    if raw < _AFTER_INTS:
        if raw.isdigit() and len(raw) < 19:
            return int(raw)
        if raw[:1] in INT_STARTS:
            return _decode_int(raw)
    if len(raw) > MAX_DEPTH:
        check_limits(raw)
    try:
        return _decode(raw)
    except (RecursionError, MemoryError):  # of the caller's stack, not of the bytes
        raise
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
    starts = len(raw) - len(raw.translate(None, _CONTAINER_STARTS))
    if starts > MAX_DEPTH and is_deep(raw, MAX_DEPTH):
        raise ValueError(f"not a stored value (nested deeper than {MAX_DEPTH})")


def _storable(value: Any, depth: int) -> Any:
    """Return ``value`` as msgpack can hold it."""
    kind = type(value)
    if kind in PLAIN:
        if kind is float and value != value:
            raise Problem("a NaN does not equal itself", "Use None.")
        return value
    if depth >= MAX_DEPTH:
        raise Problem(f"it is nested deeper than {MAX_DEPTH}, or contains itself")
    if kind is list:
        return _storable_list(value, depth + 1)
    if kind is dict:
        return _storable_dict(value, depth + 1)
    if (scalar := _by_type.get(kind)) is not None:
        return msgspec.msgpack.Ext(scalar.code, scalar.pack(value))
    if kind is tuple:
        return _tagged(_TUPLE, _storable_list(value, depth + 1))
    if kind is set or kind is frozenset:
        members = sorted(_pack(_storable(member, depth + 1)) for member in value)
        return _tagged(_SET if kind is set else _FROZENSET, [*map(msgspec.Raw, members)])
    raise _refused(value)


def _tagged(code: int, items: list[Any]) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, _pack(items))


def _refused(value: Any) -> Problem:
    kind = type(value)
    name = with_article(kind.__name__)
    register = ", or register the type with ctxlocal.sessions.register()."
    for base in _BASES:
        if isinstance(value, base):  # to be registered, if it is wanted back
            plain = f"{base.__name__}() of it" if base in _CALLABLE_BASES else "a plain one"
            return Problem(
                f"{name} would come back as {with_article(base.__name__)}",
                f"Store {'its .value' if isinstance(value, Enum) else plain}{register}",
            )
    plain = _plain_of(value)
    hint = f"Store {plain}{register}" if plain else _STORABLE
    return Problem(f"{name} does not come back as it was", hint)


def _plain_of(value: object) -> str:
    """Return what gives the values of an object, as it is written; empty: nothing known."""
    if isinstance(value, (bytearray, memoryview)):
        return "bytes() of it"
    if isinstance(value, Mapping):  # a frozendict, of Python 3.15, is no dict
        return "dict() of it"
    if isinstance(value, Enum):
        return "its .value"
    if isinstance(value, msgspec.Struct):
        return "msgspec.structs.asdict() of it"
    if is_dataclass(value) and not isinstance(value, type):
        return "dataclasses.asdict() of it"
    return "its .model_dump()" if hasattr(type(value), "model_dump") else ""


def _storable_list(value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
    return [item if type(item) in _AS_IT_IS else _storable(item, depth) for item in value]


def _storable_dict(value: dict[Any, Any], depth: int) -> Any:
    for key in value:
        if type(key) is not str:
            items = [item for pair in value.items() for item in pair]
            return _tagged(_DICT, _storable_list(items, depth))
    return {
        key: item if type(item) in _AS_IT_IS else _storable(item, depth)
        for key, item in value.items()
    }
