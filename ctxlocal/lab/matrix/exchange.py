"""What a creator and its callees see of each other's values.

The creator sets, starts the callee, sets again and reads; the callee reads and
sets. Each step goes through a Local, a LocalStack and a LocalProxy, which have
to agree. A second callee tells whether anything of the first one is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from ctxlocal import Local, LocalProxy, LocalStack, is_bound, unwrap

from .place import Relation

View = dict[str, str | None]
"""What each kind of object shows, under its name; None is nothing."""


class Kit(Protocol):
    """The objects under test. ``ident`` is what they were made with."""

    ident: Any

    def write(self, value: str) -> None:
        """Set ``value`` for the current owner."""

    def write_later(self, value: str) -> None:
        """Set ``value`` in a second place, which tells when it became visible."""

    def read(self) -> View:
        """What the current owner has."""

    def read_later(self) -> str | None:
        """What the current owner has in the second place."""


class CoreKit:
    """A Local, a LocalStack and a LocalProxy under one strategy."""

    def __init__(self, ident: Any) -> None:
        self.ident = ident
        self.local = Local(ident=ident)
        self.stack: LocalStack[str] = LocalStack(ident=ident)
        self.proxy: Any = LocalProxy(self.local, "value")

    def write(self, value: str) -> None:
        """Set the attribute behind the proxy and push on the stack."""
        self.local.value = value
        self.stack.push(value)

    def write_later(self, value: str) -> None:
        """Set another attribute."""
        self.local.later = value

    def read(self) -> View:
        """Read all three."""
        return {
            "Local": getattr(self.local, "value", None),
            "LocalStack": self.stack.top,
            "LocalProxy": unwrap(self.proxy) if is_bound(self.proxy) else None,
        }

    def read_later(self) -> str | None:
        """Read the other attribute."""
        later: str | None = getattr(self.local, "later", None)
        return later


class ProbeError(Exception):
    """The probe did not do what it is there for, so that nothing is known."""


@dataclass
class Sight:
    """What one callee saw before it set anything, and after."""

    before: View
    after: View
    later: str | None


class Callee:
    """The work that is started: it reads and sets, and keeps what it saw.

    Call it with any arguments, once, from wherever the probe says.
    """

    def __init__(self, kit: Kit, nth: int) -> None:
        self.kit = kit
        self.nth = nth
        self.sight: Sight | None = None
        self.failure: BaseException | None = None

    def __call__(self, *_: object) -> None:
        """Do the work."""
        try:
            self.sight = self.look()
        except Exception as failure:  # in a callback nobody else would hear of it
            self.failure = failure

    def look(self) -> Sight:
        """Read, set and read again."""
        before, later = self.kit.read(), self.kit.read_later()
        self.kit.write(f"callee {self.nth}")
        return Sight(before, self.kit.read(), later)

    def result(self) -> Sight:
        """What the callee saw.

        :raises ProbeError: it failed, was never run, or does not see what it has set.
        """
        if self.failure is not None:
            raise ProbeError(f"the callee raised {self.failure!r}") from self.failure
        if self.sight is None:
            raise ProbeError("the callee was never run")
        if set(self.sight.after.values()) != {f"callee {self.nth}"}:
            raise ProbeError(f"the callee set its value, and then saw {self.sight.after}")
        return self.sight


SyncStart = Callable[[Callee], AbstractContextManager[None]]
AsyncStart = Callable[[Callee], AbstractAsyncContextManager[None]]


class Exchange:
    """One creator and its callees, one after the other."""

    def __init__(self, kit: Kit, times: int) -> None:
        self._kit = kit
        self._times = times
        self._sights: list[Sight] = []
        self._came_back: list[View] = []

    def run(self, start: SyncStart) -> None:
        """Be the creator."""
        for callee in self._turns():
            with start(callee):
                self._kit.write_later(f"creator {callee.nth}")

    async def run_async(self, start: AsyncStart) -> None:
        """Be the creator, as a coroutine."""
        for callee in self._turns():
            async with start(callee):
                self._kit.write_later(f"creator {callee.nth}")

    def _turns(self) -> Iterator[Callee]:
        # A generator runs as whoever asks for its next item: here always the creator.
        for nth in range(self._times):
            self._kit.write(f"creator {nth}")
            callee = Callee(self._kit, nth)
            yield callee
            self._sights.append(callee.result())
            self._came_back.append(self._kit.read())

    def relation(self) -> tuple[Relation, str]:
        """Judge what was seen; with what speaks against a plain verdict, or ""."""
        kinds = {kind: self._relation_of(kind) for kind in self._came_back[0]}
        relations = set(kinds.values())
        if len(relations) == 1:
            relation = relations.pop()
            return relation, self._details(relation)
        return Relation("LEAK", True), "; ".join(f"{k}: {r.creator}" for k, r in kinds.items())

    def _relation_of(self, kind: str) -> Relation:
        seen = [sight.before[kind] for sight in self._sights]
        down = [value == f"creator {nth}" for nth, value in enumerate(seen)]
        up = [view[kind] == f"callee {nth}" for nth, view in enumerate(self._came_back)]
        later = any(sight.later == f"creator {n}" for n, sight in enumerate(self._sights))
        if all(down) and all(up):
            return Relation("shared", True)
        strange = [value for value, own in zip(seen, down, strict=True) if value and not own]
        if any(up) or later or any(down) != all(down):
            return Relation("LEAK", bool(strange))
        return Relation("snapshot" if all(down) else "isolated", bool(strange))

    def _details(self, relation: Relation) -> str:
        if relation.creator != "LEAK" and relation.creator == relation.word:
            return ""
        turns = list(zip(self._sights, self._came_back, strict=True))
        sight, back = turns[-1]
        nth = len(turns) - 1
        return f"callee {nth} saw {sight.before['Local']!r}, its creator then {back['Local']!r}"
