"""Held: the record that a session is of, as one request knows it, and the id that leads to it."""

from __future__ import annotations

import msgspec

from ..errors import StoreUnavailableError
from ..fields import Changes
from ..session import CURRENT
from ..stores.protocol import Expect, Record
from .token import commit_id


class Held(msgspec.Struct):
    """A record, and what this request asked of it last and had no answer to."""

    id: str
    key: str
    record: Record
    limit: float  #: when the record ends, however much it is used
    commit: tuple[str, Changes] | None = None  #: its id, if it had no answer, and what it was
    move: tuple[str, dict[str, bytes]] | None = None  #: the new id, and the fields, likewise

    def guard(self, seen: Record) -> tuple[Expect, ...]:
        """Return what holds as long as the cookie may be sent; nothing if it is an old id's (R3).

        Another request may renew the id until this one's commit is there, and the browser
        would go back to the old id, if it were sent after the new one.
        """
        current = seen.values.get(CURRENT)
        if current is None or current == mark(self.key):
            return (Expect(CURRENT, current),)
        return ()

    def renew(self, now: float, ttl: float) -> None:
        """Note that the record was used, and nothing else."""
        self.record = msgspec.structs.replace(self.record, touched=now, expires=now + ttl)

    def name_commit(self, changes: Changes, store: str) -> str:
        """Return the commit's id: of one that was never answered, if it is tried again.

        :raises StoreUnavailableError: one that was not answered may have counted.
        """
        name = commit_id()
        if self.commit is not None:
            former_name, former = self.commit
            if former == changes:
                name = former_name
            elif former.ops:  # it may have counted, and what is new cannot be told from it
                raise StoreUnavailableError(store, "commit")
        self.commit = name, changes
        return name


def mark(key: str) -> bytes:
    """Return by what a record shows that ``key`` is its own; of it no key, nor id, can be had."""
    return key[:16].encode()
