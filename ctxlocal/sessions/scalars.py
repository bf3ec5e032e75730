"""The scalar types beyond msgpack's: under which code each is written, and as which bytes.

A datetime is its wall time, its fold and its zone: what comes back has the same clock, the
same rules for summer time and the same ``repr``. The plain ones, naive or with a nameless
offset, are ISO 8601 text; the others msgpack of ``(text, fold, zone)``, whose first byte no
such text has. A zone is ``[offset]`` or ``[offset, name]`` of :class:`datetime.timezone`,
or ``[key, offset]`` of :class:`zoneinfo.ZoneInfo`, offsets in microseconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, NamedTuple
from uuid import UUID, SafeUUID
from zoneinfo import ZoneInfo

import msgspec
from markupsafe import Markup

Zone = list[str | int | None]
Moment = tuple[str, int, Zone | None]

_MICROSECOND = timedelta(microseconds=1)
_MOMENT_START = b"\x93"  # an array of three

_log = logging.getLogger("ctxlocal.sessions")
_pack = msgspec.msgpack.Encoder().encode
_unpack_moment = msgspec.msgpack.Decoder(Moment).decode  # of these types alone: no depth
_unpack_integers = msgspec.msgpack.Decoder(tuple[int, int, int]).decode


class Scalar(NamedTuple):
    """How values of one type become bytes, and back; ``unpack`` may raise anything."""

    code: int
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Any]


class Problem(Exception):
    """Why a value cannot be stored, and what to do."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem, hint)


class UnknownZone(tzinfo):
    """A zone that another machine knew under ``key``, and this one does not.

    The datetime keeps the offset that it had there, and is stored again under the key.
    """

    def __init__(self, key: str, offset: timedelta | None) -> None:
        self.key = key
        self._offset = offset

    def utcoffset(self, when: datetime | None) -> timedelta | None:
        """Return the stored offset, at any time; None of a time without a date."""
        return self._offset

    def dst(self, when: datetime | None) -> timedelta:
        """Return 0: the rules are not known here."""
        return timedelta(0)

    def tzname(self, when: datetime | None) -> str:
        """Return the key."""
        return self.key

    def __repr__(self) -> str:
        return f"UnknownZone({self.key!r}, {self._offset!r})"

    def __reduce__(self) -> tuple[type[UnknownZone], tuple[str, timedelta | None]]:
        return UnknownZone, (self.key, self._offset)


def _pack_moment(value: datetime | time) -> bytes:
    zone = _zone(value)
    if not value.fold and (zone is None or _is_iso(zone)):
        return value.isoformat().encode()
    return _pack((value.replace(tzinfo=None).isoformat(), value.fold, zone))


def _zone(value: datetime | time) -> Zone | None:
    zone: Any = value.tzinfo
    if zone is None:
        return None
    if type(zone) is timezone:
        _, *names = arguments = zone.__getinitargs__()  # type: ignore[attr-defined]
        if all(type(name) is str for name in names):
            return [arguments[0] // _MICROSECOND, *names]
    elif (type(zone) is ZoneInfo and _is_found_again(zone)) or type(zone) is UnknownZone:
        offset = value.utcoffset()
        return [zone.key, None if offset is None else offset // _MICROSECOND]
    raise Problem(
        f"a {type(value).__name__}'s tzinfo, {type(zone).__name__!r}, does not come back as it was",
        "Use zoneinfo.ZoneInfo(key) or datetime.timezone.",
    )


def _is_iso(zone: Zone) -> bool:
    """Whether ISO text holds it; CPython 3.11 reads an offset under a second back as none."""
    offset = zone[0]
    return len(zone) == 1 and isinstance(offset, int) and offset % 1_000_000 == 0


def _is_found_again(zone: ZoneInfo) -> bool:
    """Whether its key leads to it, not to another of that key, with which it is not compared."""
    return zone.key is not None and ZoneInfo(zone.key) is zone


def _moment(kind: Any, raw: bytes) -> Any:
    """Return the datetime or time, as ``kind`` says, that was packed."""
    if raw[:1] != _MOMENT_START:
        return kind.fromisoformat(raw.decode())
    text, fold, zone = _unpack_moment(raw)
    return kind.fromisoformat(text).replace(fold=fold, tzinfo=_zone_of(zone))


def _zone_of(stored: Zone | None) -> tzinfo | None:
    if stored is None:
        return None
    first: Any
    first, *rest = stored
    if not isinstance(first, str):
        return timezone(timedelta(microseconds=first), *rest)  # type: ignore[arg-type]
    try:
        return ZoneInfo(first)
    except (KeyError, ValueError, OSError):  # of a key that is a directory, OSError
        _warn_of_unknown_zone()
        offset: Any = rest[0]
        fixed = None if offset is None else timezone(timedelta(microseconds=offset))
        return UnknownZone(first, fixed and fixed.utcoffset(None))  # within a day, or an error


@lru_cache
def _warn_of_unknown_zone() -> None:
    _log.warning(
        "a stored datetime is of a time zone that this machine does not know: it keeps its offset "
        "here, and its zone where that is known. Install the package tzdata."
    )


def _pack_uuid(value: UUID) -> bytes:
    if value.is_safe is SafeUUID.unknown:
        return value.bytes
    return value.bytes + (b"s" if value.is_safe is SafeUUID.safe else b"u")


def _unpack_uuid(raw: bytes) -> UUID:
    how = {b"": SafeUUID.unknown, b"s": SafeUUID.safe, b"u": SafeUUID.unsafe}
    return UUID(bytes=raw[:16], is_safe=how[raw[16:]])


def _pack_decimal(value: Decimal) -> bytes:
    if value.is_nan():
        raise Problem("a NaN does not equal itself", "Use None.")
    return str(value).replace("e", "E").encode()  # which of them, a decimal context says


def _unpack_decimal(raw: bytes) -> Decimal:
    value = Decimal(raw.decode())
    if value.is_nan():
        raise ValueError("a NaN, which is never stored")
    return value


def _pack_timedelta(value: timedelta) -> bytes:
    return _pack((value.days, value.seconds, value.microseconds))


SCALARS: dict[type, Scalar] = {
    datetime: Scalar(1, _pack_moment, partial(_moment, datetime)),
    date: Scalar(2, lambda v: v.isoformat().encode(), lambda b: date.fromisoformat(b.decode())),
    UUID: Scalar(3, _pack_uuid, _unpack_uuid),
    Decimal: Scalar(4, _pack_decimal, _unpack_decimal),
    Markup: Scalar(5, lambda v: str.__str__(v).encode(), lambda b: Markup(b.decode())),
    time: Scalar(6, _pack_moment, partial(_moment, time)),
    timedelta: Scalar(7, _pack_timedelta, lambda b: timedelta(*_unpack_integers(b))),
}
