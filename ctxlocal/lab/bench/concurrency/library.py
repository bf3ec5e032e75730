"""What is shared: a Local of ours, and what one could use instead, under the owners it isolates."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ..rival import has_native_twin, load
from .crowd import KINDS
from .turn import Access

PLAIN, OURS, CONTROL = "plain variable", "ctxlocal.Local", "threading.local"
ALL = tuple(KINDS)
_PURE = "ctxlocal.local.pure.local:Local"


@dataclass(frozen=True)
class Library:
    """One row.

    :param path: ``module:name`` of the class; "" for what an owner has of its own anyway.
    :param kinds: the kinds of owners among which it is measured.
    :param takes_ident: it is one of ours, which is told the strategy.
    """

    name: str
    path: str
    kinds: tuple[str, ...] = ALL
    access: Access = "attribute"
    takes_ident: bool = False

    @property
    def needs(self) -> str:
        """The module without which the row is left out."""
        return self.path.partition(":")[0]

    def make(self, ident: str) -> Any:
        """Make what is shared."""
        if self.access == "plain":
            return None
        if self.access == "variable":
            return ContextVar[object]("value")
        module, _, name = self.path.partition(":")
        made = getattr(load(module), name)
        return made(ident=ident) if self.takes_ident else made()


def libraries(kind: str, ours: str) -> list[Library]:
    """Return the rows of a kind of owners, ours first.

    threading.local is there among greenlets and tasks too, which it does not isolate: it shows that
    a foreign read would be seen.
    """
    rows = [
        Library(OURS, ours, takes_ident=True),
        *([Library(f"{OURS} (pure)", _PURE, takes_ident=True)] if has_native_twin() else []),
        Library("ContextVar", "contextvars:ContextVar", access="variable"),
        Library(CONTROL, "threading:local"),
        Library("gevent.local", "gevent.local:local", kinds=("greenlets", "gevent")),
        Library("werkzeug.Local", "werkzeug.local:Local"),
        Library("asgiref.Local", "asgiref.local:Local"),
        Library(PLAIN, "builtins:object", access="plain"),
    ]
    return [row for row in rows if kind in row.kinds]
