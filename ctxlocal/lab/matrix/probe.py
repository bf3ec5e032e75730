"""What a probe is: one way of starting work, and the group of ways it belongs to."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from inspect import isasyncgenfunction
from typing import Any, TypeVar

from .exchange import Callee, Exchange
from .place import Place, Relation, promise

Way = Callable[[Callee], "Iterator[None] | AsyncIterator[None]"]
WayT = TypeVar("WayT", bound=Way)
Creator = Callable[[Exchange, Any], None]


def plain_creator(exchange: Exchange, start: Any) -> None:
    """Be a creator in the main thread, outside any task and greenlet."""
    exchange.run(start)


@dataclass(frozen=True)
class Probe:
    """One way of starting work.

    ``start`` makes a context manager of a callee: entering starts it, leaving
    waits for it. ``place`` says where it runs, ``times`` how many callees there
    are one after the other, ``since`` the Python that is needed; ``available``
    gives the reason why this platform cannot run it, or "".
    """

    group: Group
    way: str
    start: Any
    place: Place
    times: int
    since: tuple[int, int]
    note: str
    available: Callable[[], str]

    def promise(self, strategy: str) -> Relation:
        """What ``strategy`` promises here."""
        return promise(self.place, strategy, in_task=self.group.in_task)

    def why_not(self) -> str:
        """Why the probe cannot run here; "" where it can."""
        if sys.version_info < self.since:
            return "needs Python {}.{}".format(*self.since)
        return self.group.why_not() or self.available()

    def run(self, kit: Any) -> tuple[Relation, str]:
        """Run it, in this process, and judge."""
        exchange = Exchange(kit, self.times)
        self.group.creator(exchange, self.start)
        return exchange.relation()


@dataclass(frozen=True)
class Group:
    """The ways that one library has; they run in one process of their own.

    ``needs`` are the packages, ``patch`` is run before anything else is
    imported, ``creator`` runs an exchange where the library wants it.
    """

    name: str
    needs: tuple[str, ...] = ()
    patch: str = ""
    creator: Creator = plain_creator
    in_task: bool = False
    probes: list[Probe] = field(default_factory=list, compare=False, repr=False)

    def why_not(self) -> str:
        """Why no probe of the group can run here; "" where they can."""
        for package in self.needs:
            if find_spec(package) is None:
                return f"{package} is not installed"
        return ""

    def probe(
        self,
        way: str,
        *,
        times: int = 2,
        since: tuple[int, int] = (3, 10),
        note: str = "",
        available: Callable[[], str] = str,
        **place: Any,
    ) -> Callable[[WayT], WayT]:
        """Register a generator: it starts the callee, yields once, and waits for the callee."""

        def register(function: WayT) -> WayT:
            manager: Any = asynccontextmanager if isasyncgenfunction(function) else contextmanager
            where = Place(**place)
            self.probes.append(
                Probe(self, way, manager(function), where, times, since, note, available)
            )
            return function

        return register
