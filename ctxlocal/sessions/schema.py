"""Typed sessions: the fields of a msgspec Struct or a dataclass are the session's keys.

Each value is encoded on its own and decoded as its field's type, so tuples, sets, nested
Structs and all else that msgspec knows come back as they were. What msgspec would change
(the zone of a datetime, a tuple in a field of any type) is encoded as in a session without
a schema. What it would change even then is refused.

A record is never made to fit. Fields that the schema does not know, or not with that type,
stay as they are stored, for the worker of another version that wrote them; a field that
does not fit has its default, or what ``migrate`` makes of the record, until it is assigned.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar, cast, get_type_hints
from uuid import UUID

import msgspec

from .codec import INT_STARTS, check_limits, decode, encode, unpack
from .errors import SessionConfigError, UnstorableValueError, with_article
from .sameness import is_same
from .scalars import Problem
from .session import Session
from .stores.protocol import RESERVED

T = TypeVar("T")
Migrate = Callable[[dict[str, Any]], Mapping[str, Any]]

_BINARY = (bytes, bytearray, memoryview)  # no text becomes one of them
_EXACT = (bytes, datetime, date, time, timedelta, Decimal, UUID)  # our codec has them

_log = logging.getLogger("ctxlocal.sessions")
_pack = msgspec.msgpack.Encoder().encode


class _Field(NamedTuple):
    kind: Any
    unpack: Callable[[bytes], Any]
    default: Callable[[], Any]

    def decode(self, raw: bytes) -> Any:
        """Return the value of stored bytes, as the field's type.

        :raises ValueError: they are none of it.
        """
        if raw[:1] in INT_STARTS:
            number = decode(raw)
            return number if self.kind is int else self._converted(number)
        check_limits(raw)
        try:
            return self.unpack(raw)
        except Exception:  # tagged, where msgspec wants it plain
            return self._converted(decode(raw))

    def _converted(self, value: Any) -> Any:
        try:
            return msgspec.convert(value, self.kind, builtin_types=_BINARY)
        except msgspec.ValidationError as error:  # no ValueError in old versions
            raise ValueError(str(error)) from None
        except (ValueError, RecursionError, MemoryError):
            raise
        except Exception as error:  # members that cannot be hashed, a Struct's own refusal
            raise ValueError(f"not a stored value ({type(error).__name__})") from None


class Schema(Generic[T]):
    """What the keys of a session are, and the types of their values.

    :param kind: a msgspec Struct or a dataclass whose every field has a default: a record
        that was stored before the field was added takes it.
    :param migrate: takes the values of a record that does not fit, as lists, dicts and so
        on, and returns a dict with the values of fields that are not stored, or do not fit;
        what else is in it changes nothing. It is called whenever such a record is loaded,
        until every field is stored or was deleted: what it returns is stored when it is
        changed, not before, so that workers of the former version read what they wrote.
    :raises SessionConfigError: another kind of class, a field without a default, or an annotation
        that cannot be evaluated, or that msgspec cannot decode.
    """

    def __init__(self, kind: type[T], migrate: Migrate | None = None) -> None:
        self.kind = kind
        self.migrate = migrate
        self.fields = _fields_of(kind)
        self._told: set[str] = set()  # fields of which the log says that they do not fit

    def encode(self, key: str, value: Any) -> bytes:
        """Return the bytes of a field's value.

        :raises UnstorableValueError: there is no such field, or the value is not of its type.
        """
        field = self.field(key)
        is_int = type(value) is int
        if is_int and field.kind is int:
            return encode(key, value)
        try:
            if not is_int:
                raw = _pack(value)
                if is_same(value, field.decode(raw)):
                    return raw
        except (TypeError, ValueError, OverflowError, RecursionError, Problem):
            pass  # what msgspec cannot store by itself
        return self._encode_tagged(key, field, value)

    def _encode_tagged(self, key: str, field: _Field, value: Any) -> bytes:
        try:
            raw = _encode_anything(key, value)
            back = field.decode(raw)
        except UnstorableValueError:
            raise
        except (TypeError, ValueError, RecursionError) as error:
            raise UnstorableValueError(
                key, f"it does not fit its type in {self.kind.__name__} ({error})"
            ) from None
        if not is_same(value, back):
            name = with_article(type(value).__name__)
            raise UnstorableValueError(key, f"{name} does not come back as it was")
        return raw

    def field(self, key: str) -> _Field:
        """Return the field of a key.

        :raises UnstorableValueError: there is none.
        """
        field = self.fields.get(key)
        if field is None:
            raise UnstorableValueError(
                key,
                f"{self.kind.__name__} has no such field",
                f"Its fields are {', '.join(self.fields)}.",
            )
        return field

    def decode(self, key: str, raw: bytes) -> Any:
        """Return a field's value.

        :raises ValueError: the bytes are none of its type.
        """
        return self.fields[key].decode(raw)

    def fits(self, key: str, raw: bytes) -> bool:
        """Whether the bytes are a value of that field, if there is one."""
        try:
            self.decode(key, raw)
        except (KeyError, ValueError):
            return False
        return True

    def migrated(
        self, fields: Mapping[str, bytes], misfits: set[str], settled: set[str]
    ) -> dict[str, Any]:
        """Return the values of fields that are missing in a record, or do not fit.

        What ``migrate`` raises is the application's, and nothing stored is touched then.

        :param misfits: the stored keys that the schema does not know, or not with that type.
        :param settled: fields whose values are not wanted any more.
        :raises UnstorableValueError: ``migrate`` returned a value that is not of its field's type.
        :raises TypeError: it returned no dict.
        """
        wanted = {key for key in self.fields if key not in fields or key in misfits} - settled
        if not misfits or not wanted:
            return {}
        if self.migrate is None:
            self._tell(misfits & wanted)
            return {}
        returned = self.migrate(_values(fields))
        if not isinstance(returned, Mapping):
            name = with_article(type(returned).__name__)
            raise TypeError(f"migrate of {self.kind.__name__} returns a dict; it returned {name}")
        return {key: self._fitted(key, returned[key]) for key in wanted if key in returned}

    def _fitted(self, key: str, value: Any) -> Any:
        """Return the value as its field's type: ``migrate`` may return what it was given."""
        try:
            return self.decode(key, _encode_anything(key, value))
        except (TypeError, ValueError, RecursionError) as error:
            kind = self.kind.__name__
            raise UnstorableValueError(
                key, f"what migrate returned does not fit its type in {kind} ({error})"
            ) from None

    def _tell(self, misfits: set[str]) -> None:
        new = sorted(misfits - self._told)
        if new:
            self._told.update(new)
            _log.warning(
                "%s: stored %s does not fit: it is kept, and shown as the default",
                self.kind.__name__,
                ", ".join(new),
            )

    def view(self, session: Session) -> T:
        """Return the session as an object with the schema's attributes.

        :param session: a session, or a proxy of one: then each use looks at the current one.
        """
        return cast(T, _View(session, self))


class _View:
    """Reads and writes attributes as keys of a session."""

    __slots__ = ("__schema", "__session")

    def __init__(self, session: Session, schema: Schema[Any]) -> None:
        object.__setattr__(self, "_View__session", session)
        object.__setattr__(self, "_View__schema", schema)

    def __getattr__(self, name: str) -> Any:
        if name not in self.__schema.fields:
            raise AttributeError(f"{self.__schema.kind.__name__} has no field {name!r}", name=name)
        return self.__session[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__schema.fields:
            raise AttributeError(f"{self.__schema.kind.__name__} has no field {name!r}", name=name)
        self.__session[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self.__schema.fields:
            raise AttributeError(f"{self.__schema.kind.__name__} has no field {name!r}", name=name)
        del self.__session[name]

    def __repr__(self) -> str:
        return f"<{self.__schema.kind.__name__} in {self.__session!r}>"


def _encode_anything(key: str, value: Any) -> bytes:
    """Return the bytes of a value, Structs and the like as dicts of what they hold."""
    try:
        return encode(key, value)
    except UnstorableValueError as problem:
        try:
            plain = msgspec.to_builtins(value, builtin_types=_EXACT)
        except (TypeError, ValueError, RecursionError):
            raise problem from None
        return encode(key, plain)


def _values(fields: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the values of an application's stored fields, without those that are none."""
    found = {}
    for key, raw in fields.items():
        if key[:1] != RESERVED:
            with suppress(ValueError):
                found[key] = decode(raw)
    return found


def _fields_of(kind: type) -> dict[str, _Field]:
    try:
        found = _listed(kind)
    except NameError as error:
        raise SessionConfigError(
            "schema",
            f"{error}, which {kind.__name__} is annotated with. Import or define it where the "
            "program runs, not for type checkers alone",
        ) from error
    without = [name for name, (_, default) in found.items() if default is None]
    if without:
        raise SessionConfigError(
            "schema",
            f"{', '.join(without)} of {kind.__name__} has no default, which sessions stored "
            "before it was added would need",
        )
    return {
        name: _Field(type_, _decoder(kind, name, type_), default)
        for name, (type_, default) in found.items()
        if default is not None
    }


def _listed(kind: type) -> dict[str, tuple[Any, Callable[[], Any] | None]]:
    """Return the types of a schema's fields, and what makes their defaults."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        listed = msgspec.structs.fields(kind)
        return {f.name: (f.type, _default(f, msgspec.NODEFAULT)) for f in listed}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return {
            f.name: (hints[f.name], _default(f, dataclasses.MISSING))
            for f in dataclasses.fields(kind)
        }
    raise SessionConfigError("schema", f"{kind!r} is no msgspec Struct and no dataclass")


def _decoder(kind: type, name: str, type_: Any) -> Callable[[bytes], Any]:
    try:
        return msgspec.msgpack.Decoder(type_, ext_hook=unpack).decode
    except TypeError as error:
        raise SessionConfigError(
            "schema",
            f"{kind.__name__}.{name} is annotated with what msgspec cannot decode, and so no "
            f"session could be loaded: {error}",
        ) from error


def _default(field: Any, missing: object) -> Callable[[], Any] | None:
    if field.default_factory is not missing:
        factory: Callable[[], Any] = field.default_factory
        return factory
    if field.default is missing:
        return None
    value = field.default
    return lambda: value
