"""Stored sessions with a schema: every field is there, with its default until it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .codec import IMMUTABLE
from .schema import Schema
from .stored_session import AsyncStoredSession, StoredSession


class TypedStoredSession(StoredSession):
    """A stored session whose keys and types are those of ``StoredSessions(schema=...)``."""

    __slots__ = ("_migrated",)

    @property
    def _schema(self) -> Schema[Any]:
        schema = self._sessions.schema
        assert schema is not None
        return schema

    def _encode(self, key: str, value: Any) -> bytes:
        return self._schema.encode(key, value)

    def _decode(self, raw: bytes, key: str = "") -> Any:
        return self._schema.decode(key, raw)

    def _begin(self, fields: Mapping[str, bytes]) -> None:
        super()._begin(fields)
        self._migrated: set[str] = set()  # keys that migrate= set, and this request did not
        if not (misfits := self._schema.misfits(fields)):
            return
        values = self._schema.migrated(fields, misfits)
        self._dropped.update(misfits)
        for key, value in (values or {}).items():
            raw = self._encode(key, value)
            if fields.get(key) != raw:
                self._remove(key)
                self._values[key] = value
                self._assigned[key] = raw if type(value) in IMMUTABLE else None
                self._migrated.add(key)

    def _keep_own(self) -> None:
        for key in self._migrated:
            self._assigned.pop(key, None)
        super()._keep_own()

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._migrated.discard(key)

    def __getitem__(self, key: str) -> Any:
        try:
            return super().__getitem__(key)
        except KeyError:
            if (field := self._schema.fields.get(key)) is None:
                raise
        value = self._values[key] = field.default()
        if type(value) not in IMMUTABLE:
            self._baselines[key] = self._encode(key, value)
        return value

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self._schema.fields

    def _keys(self) -> list[str]:
        return list(dict.fromkeys([*self._schema.fields, *super()._keys()]))

    def incr(self, key: str, amount: int = 1) -> int:
        """Add to an int field, as :meth:`Session.incr` does.

        :raises TypeError: the field's default is not 0, from which a store counts.
        """
        field = self._schema.fields.get(key)
        if field is not None and field.default() != 0:
            raise TypeError(
                f"session.incr({key!r}) counts from 0, but the field has another default"
            )
        return super().incr(key, amount)


class AsyncTypedStoredSession(TypedStoredSession, AsyncStoredSession):
    """The same under ASGI."""

    __slots__ = ()
