"""Stored sessions with a schema: every field is there, with its default until it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..codec import IMMUTABLE
from ..fields import begun
from ..schema import Schema
from ..stores.protocol import RESERVED
from ..values.pure import MORE
from .session import AsyncStoredSession, StoredSession

if TYPE_CHECKING:
    from .held import Held

SETTLED = "\0settled\0"  #: and a field's name: it was deleted, migrate is not to bring it back


class TypedStoredSession(StoredSession):
    """A stored session whose keys and types are those of ``StoredSessions(schema=...)``.

    What the record holds beside them is not seen and not touched, but by ``clear()`` and
    ``destroy()``.
    """

    __slots__ = ()

    # The stored keys that the schema does not know, or not with that type; and what migrate made
    # of the record, and would make again.
    _adapted: tuple[set[str], dict[str, Any]] = begun(MORE + 5)

    @property
    def _misfits(self) -> set[str]:
        return self._adapted[0]

    @property
    def _migrated(self) -> dict[str, Any]:
        return self._adapted[1]

    @property
    def _schema(self) -> Schema[Any]:
        schema = self._sessions.schema
        assert schema is not None
        return schema

    def _encode(self, key: str, value: Any) -> bytes:
        return self._schema.encode(key, value)

    def _encode_again(self, key: str, value: Any, raw: bytes) -> bytes:
        return self._schema.encode(key, value)

    def _decode(self, raw: bytes, key: str = "") -> Any:
        return self._schema.decode(key, raw)

    def _begin_with(
        self,
        fields: Mapping[str, bytes],
        held: Held | None,
        refusal: Exception | None = None,
        overdue: Sequence[str] = (),
        adapted: object = None,
    ) -> None:
        schema = self._schema
        known = [key for key in fields if key[:1] != RESERVED]
        misfits = {key for key in known if not schema.fits(key, fields[key])}
        settled = {name[len(SETTLED) :] for name in fields if name.startswith(SETTLED)}
        migrated = schema.migrated(fields, misfits, settled)
        super()._begin_with(fields, held, refusal, overdue, (misfits, migrated))

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._forget_record()

    def _forget_record(self) -> None:
        """Forget what was made of it: its values are all the session's own from here on."""
        self._misfits.clear()
        self._migrated.clear()

    def _hand_out(self, key: str, value: Any) -> Any:
        """Show a value that is not stored: it will be when it is changed."""
        if type(value) not in IMMUTABLE:  # first: another thread that gets it may change it
            self._baselines.setdefault(key, self._encode(key, value))
        return self._values.setdefault(key, value)

    def __getitem__(self, key: str) -> Any:
        self._read()
        if key not in self._misfits or key in self._values:
            try:
                return super().__getitem__(key)
            except KeyError:
                pass
        if (field := self._schema.fields.get(key)) is None:
            raise KeyError(key)
        if key in self._migrated and self._own(SETTLED + key) is None:
            return self._hand_out(key, self._migrated[key])
        return self._hand_out(key, field.default())

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._misfits.discard(key)

    def __contains__(self, key: object) -> bool:
        if key in self._schema.fields:
            self._read()
            return True
        return super().__contains__(key) and key not in self._misfits

    def _keys(self) -> list[str]:
        keys = [key for key in super()._keys() if key not in self._misfits]
        return list(dict.fromkeys([*self._schema.fields, *keys]))

    def _remove(self, key: str) -> None:
        super()._remove(key)
        # Or it would come back: migrate is asked of a record that has what does not fit.
        may_come = self._misfits and self._schema.migrate is not None and key in self._schema.fields
        if may_come or key in self._migrated:
            self._set_own(SETTLED + key, b"1")

    def _taken(self, key: str, raw: bytes) -> Any:
        value = super()._taken(key, raw)
        return self._migrated.get(key) if value is None else value

    def _keep_own(self) -> None:
        super()._keep_own()
        self._forget_record()

    def clear(self) -> None:
        """Drop every value, as :meth:`Session.clear` does, and what the schema does not know."""
        super().clear()
        self._forget_record()

    def incr(self, key: str, amount: int = 1) -> int:
        """Add to an int field, as :meth:`Session.incr` does.

        :raises UnstorableValueError: there is no such field.
        :raises TypeError: the field's default is not 0, from which a store counts.
        """
        self._write("session.incr()")
        if self._schema.field(key).default() != 0:
            raise TypeError(
                f"session.incr({key!r}) counts from 0, but the field has another default"
            )
        is_migrated = key in self._migrated and key not in self._fields
        if is_migrated or key in self._misfits:  # the store has nothing to add to
            self[key] = self[key]
        return super().incr(key, amount)

    def pop_once(self, key: str, default: Any = None) -> Any:
        """Remove a key and return its value, as :meth:`Session.pop_once` does."""
        self._write("session.pop_once()")
        return super().pop_once(key, default) if key in self else default


class AsyncTypedStoredSession(TypedStoredSession, AsyncStoredSession):
    """The same under ASGI."""

    __slots__ = ()
