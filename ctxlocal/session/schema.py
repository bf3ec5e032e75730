"""Typed sessions: the fields of a msgspec Struct or a dataclass are the session's keys.

Each value is encoded on its own and decoded as its field's type, so tuples, sets, nested
Structs and all else that msgspec knows come back as they were.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar, cast, get_type_hints

import msgspec

from .codec import check_limits, decode, encode
from .errors import SessionConfigError, UnstorableValueError, with_article
from .model import Session
from .protocol import RESERVED

T = TypeVar("T")
Migrate = Callable[[dict[str, Any]], Mapping[str, Any]]

_log = logging.getLogger("ctxlocal.session")
_pack = msgspec.msgpack.Encoder().encode


class _Field(NamedTuple):
    decode: Callable[[bytes], Any]
    default: Callable[[], Any]
    is_int: bool


class Schema(Generic[T]):
    """What the keys of a session are, and the types of their values.

    :param kind: a msgspec Struct or a dataclass whose every field has a default: a record
        that was stored before the field was added takes it.
    :param migrate: takes the values of a record that does not fit, as lists, dicts and so
        on, and returns the values to go on with. Without one, what does not fit takes its default.
    :raises SessionConfigError: another kind of class, or a field without a default.
    """

    def __init__(self, kind: type[T], migrate: Migrate | None = None) -> None:
        self.kind = kind
        self.migrate = migrate
        self.fields = _fields_of(kind)

    def encode(self, key: str, value: Any) -> bytes:
        """Return the bytes of a field's value.

        :raises UnstorableValueError: there is no such field, or the value is not of its type.
        """
        field = self.fields.get(key)
        if field is None:
            raise UnstorableValueError(
                key,
                f"{self.kind.__name__} has no such field",
                f"Its fields are {', '.join(self.fields)}.",
            )
        if field.is_int and type(value) is int:
            return encode(key, value)  # a counter: a store adds to it
        try:
            raw = _pack(value)
            back = field.decode(raw)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise UnstorableValueError(
                key, f"it does not fit its type in {self.kind.__name__} ({error})"
            ) from None
        is_subclass = isinstance(value, type(back)) and type(back) is not type(value)
        if back != value or is_subclass:
            name = with_article(type(value).__name__)
            raise UnstorableValueError(key, f"{name} does not come back as it was")
        return raw

    def decode(self, key: str, raw: bytes) -> Any:
        """Return a field's value.

        :raises ValueError: the bytes are none of its type.
        """
        field = self.fields[key]
        if field.is_int:
            number = decode(raw)
            return number if type(number) is int else field.decode(raw)
        check_limits(raw)
        return field.decode(raw)

    def misfits(self, fields: Mapping[str, bytes]) -> list[str]:
        """Return the stored keys that the schema does not know, or not with that type."""
        found = []
        for key, raw in fields.items():
            if key[:1] == RESERVED:
                continue
            try:
                self.decode(key, raw)
            except (KeyError, ValueError):
                found.append(key)
        return found

    def migrated(self, fields: Mapping[str, bytes], misfits: list[str]) -> Mapping[str, Any] | None:
        """Return the values to go on with; None to go on with what fits.

        What ``migrate`` raises is the application's, and nothing stored is touched then.
        """
        if self.migrate is None:
            _log.warning("%s: stored %s does not fit", self.kind.__name__, ", ".join(misfits))
            return None
        return self.migrate({k: decode(raw) for k, raw in fields.items() if k[:1] != RESERVED})

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
        self.__session.pop(name, None)

    def __repr__(self) -> str:
        return f"<{self.__schema.kind.__name__} in {self.__session!r}>"


def _fields_of(kind: type) -> dict[str, _Field]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        listed = msgspec.structs.fields(kind)
        found = {f.name: (f.type, _default(f, msgspec.NODEFAULT)) for f in listed}
    elif isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        found = {
            f.name: (hints[f.name], _default(f, dataclasses.MISSING))
            for f in dataclasses.fields(kind)
        }
    else:
        raise SessionConfigError("schema", f"{kind!r} is no msgspec Struct and no dataclass")
    without = [name for name, (_, default) in found.items() if default is None]
    if without:
        raise SessionConfigError(
            "schema",
            f"{', '.join(without)} of {kind.__name__} has no default, which sessions stored "
            "before it was added would need",
        )
    return {
        name: _Field(msgspec.msgpack.Decoder(type_).decode, default, type_ is int)
        for name, (type_, default) in found.items()
        if default is not None
    }


def _default(field: Any, missing: object) -> Callable[[], Any] | None:
    if field.default_factory is not missing:
        factory: Callable[[], Any] = field.default_factory
        return factory
    if field.default is missing:
        return None
    value = field.default
    return lambda: value
