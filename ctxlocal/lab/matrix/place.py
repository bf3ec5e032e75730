"""Where a callee runs, as seen from its creator, and what each strategy promises there.

No promise is written down by hand. A probe states facts (another greenlet, on
the same thread, with a context of its own); who the owner is follows from them
and from the strategy; and the same owner means shared values, a copied Context
a snapshot, anything else isolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from ctxlocal.ident.named import KINDS

STRATEGIES = (*KINDS, "callable")

CreatorRelation = Literal["isolated", "snapshot", "shared", "LEAK"]


class Owner(Enum):
    """Which thread, greenlet or task it is that the callee runs in."""

    SAME = auto()  # the creator's
    OTHER = auto()  # a new one for each callee
    REUSED = auto()  # not the creator's, but one for all callees: a pool's worker
    NONE = auto()  # none at all: a callback of the loop, outside any task


class Context(Enum):
    """Which contextvars Context the callee runs in."""

    SAME = auto()  # the creator's
    COPY = auto()  # a copy of the creator's, made at the start
    COPIED_BACK = auto()  # a copy, and what the callee has set is set in the creator's too
    OWN = auto()  # that of the thread or greenlet which the callee runs in


class Process(Enum):
    """Which process the callee runs in. Another interpreter is as new as a new process."""

    SAME = auto()
    FORKED = auto()
    NEW = auto()


@dataclass(frozen=True)
class Place:
    """Where the callee runs. What is not given is the creator's own."""

    thread: Owner = Owner.SAME
    greenlet: Owner = Owner.SAME
    task: Owner = Owner.SAME
    context: Context = Context.SAME
    process: Process = Process.SAME


@dataclass(frozen=True)
class Relation:
    """Who shares values with a callee.

    ``creator`` is what the callee has to do with its creator's values;
    ``siblings`` whether it sees the sets of the callees before it.
    """

    creator: CreatorRelation
    siblings: bool

    @property
    def is_among_siblings(self) -> bool:
        """Whether the callees share values that their creator does not."""
        return self.siblings and self.creator != "shared"

    @property
    def word(self) -> str:
        """The relation in one word: values that anybody else sees are shared."""
        return "shared" if self.siblings else self.creator


def promise(place: Place, strategy: str, *, in_task: bool = False) -> Relation:
    """Derive what ``strategy`` promises about a callee in ``place``.

    :param in_task: the creator is itself an asyncio task.
    """
    if place.process is not Process.SAME:
        # The forking thread's memory is copied with everything in it; a new process has none.
        return Relation("snapshot" if place.process is Process.FORKED else "isolated", False)
    creator = _owner(Place(), strategy, 0, in_task)
    first, second = (_owner(place, strategy, nth, in_task) for nth in (1, 2))
    if first == creator:
        return Relation("shared", True)
    if strategy == "context" and place.context is Context.COPIED_BACK:
        return Relation("shared", True)
    if strategy == "context" and place.context is Context.COPY:
        return Relation("snapshot", False)
    return Relation("isolated", first == second)


def surprise(place: Place, relation: Relation) -> str:
    """Say how ``relation`` differs from what one expects without knowing strategies, or "".

    One expects that work in the creator's own thread, greenlet and task sees the creator's
    values and is seen, and that any other has values of its own, which at most began as a copy.
    "shared": other work sees them all the same. "lost": in the creator's own thread, greenlet
    and task sets do not come back to it.
    """
    own = (place.thread, place.greenlet, place.task, place.process)
    is_own = own == (Owner.SAME, Owner.SAME, Owner.SAME, Process.SAME)
    is_shared = relation.word == "shared"
    if is_own == is_shared:
        return ""
    return "lost" if is_own else "shared"


def _owner(place: Place, strategy: str, nth: int, in_task: bool) -> str:
    """Name the owner of the callee ``nth``; 0 is the creator."""
    thread = _numbered("thread", place.thread, nth, "thread 0")
    greenlet = _numbered("greenlet", place.greenlet, nth, thread)
    same_task = "task 0" if in_task and thread == "thread 0" else thread
    task = _numbered("task", place.task, nth, same_task)
    if place.task is Owner.NONE:
        task = thread
    owners = {
        "thread": thread,
        "greenlet": greenlet,
        "task": task,
        # The matrix's callable returns the task if there is one, else the greenlet.
        "callable": task if task.startswith("task") else greenlet,
        "context": _context(place.context, nth, greenlet),
    }
    return owners[strategy]


def _numbered(kind: str, owner: Owner, nth: int, same: str) -> str:
    if owner is Owner.OTHER:
        return f"{kind} {nth}"
    return f"{kind} of the pool" if owner is Owner.REUSED else same


def _context(context: Context, nth: int, greenlet: str) -> str:
    if context is Context.SAME:
        return "context 0"
    return f"context of {greenlet}" if context is Context.OWN else f"context {nth}"
