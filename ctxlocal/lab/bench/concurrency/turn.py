"""What an owner does when it is its turn: read its value, verify each read, set another one.

The loop is compiled for each library, so that CPython specialises it for that one alone. The time
of the reads and sets is taken inside the turn and so has no switch in it; what it has of the clock
and the comparisons is in the same turn over a plain variable too, and goes by subtraction.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

SETS, READS = 5, 20  # as in the micro benchmarks' request
OPERATIONS = SETS + READS

Access = Literal["attribute", "variable", "plain"]
GET = {"attribute": "shared.value", "variable": "shared.get()", "plain": "value"}
SET = {"attribute": "shared.value = {}", "variable": "shared.set({})", "plain": "value = {}"}

# Values alternate: ContextVar.set of the object that is already there does less.
VALUES = "ba" * (SETS // 2) + "b"

TEMPLATE = """
{coroutine}def owner(is_first, book, shared, switch):
    clock = book.clock
    a, b = object(), object()
    value = a
    for number, (turns, is_shared) in enumerate(book.phases):
        if is_first:
            book.marks.append(book.mark())
        note = book.notes[number].append
        foreign = 0
        if is_shared:
{shared}
        else:
{plain}
        book.foreign += foreign
        {suspend}switch()
    if is_first:
        book.marks.append(book.mark())
"""
LOOP = """
            {first}
            for _ in range(turns):
                {suspend}switch()
                start = clock()
{reads}
{sets}
                note(clock() - start)
                a, b = b, a
"""


class Nowhere:
    """Takes notes that nobody needs, and no memory for them."""

    def append(self, note: int) -> None:
        """Do nothing."""


@dataclass
class Book:
    """What a crowd does, and what it noted.

    The owners take turns in one order, and each does the phases one after the other. A phase ends
    with a turn in which nothing is done, so that when the first owner comes to the next phase, all
    others have finished the last.

    :param phases: the number of turns, and whether they are over what is shared or over a plain
        variable.
    :param mark: what the first owner notes when all have finished a phase: the time, or memory.
    :param notes: for each phase, what is told the nanoseconds of each turn of each owner.
    """

    phases: Sequence[tuple[int, bool]]
    mark: Callable[[], int]
    notes: Sequence[list[int] | Nowhere]
    clock: Callable[[], int] = time.perf_counter_ns
    marks: list[int] = field(default_factory=list)
    foreign: int = 0

    def added(self, phase: int) -> int:
        """Return what a phase added to the mark: its time with all switches, or its memory."""
        return self.marks[phase + 1] - self.marks[phase]


def traced_bytes() -> int:
    """Return how much memory Python's allocators gave out and did not get back.

    The native twin, greenlet and CPython itself allocate there too; ``tracemalloc`` has to be on.
    """
    return tracemalloc.get_traced_memory()[0]


def compiled(access: Access, *, is_coroutine: bool) -> Any:
    """Return the function, or coroutine function, of an owner."""
    suspend = "await " if is_coroutine else ""
    source = TEMPLATE.format(
        coroutine="async " if is_coroutine else "",
        suspend=suspend,
        shared=_loop(access, suspend),
        plain=_loop("plain", suspend),
    )
    space: dict[str, Any] = {}
    exec(compile(source, f"<a turn of {access}>", "exec"), space)
    return space["owner"]


def _loop(access: Access, suspend: str) -> str:
    indent = "\n" + " " * 16
    read = f"{indent}if {GET[access]} is not a:{indent}    foreign += 1"
    return LOOP.format(
        first=SET[access].format("a"),
        suspend=suspend,
        reads=read * READS,
        sets="".join(indent + SET[access].format(value) for value in VALUES),
    )
