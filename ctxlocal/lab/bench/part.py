"""What a kind of benchmark is: the jobs it consists of, and what becomes of their findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

CORE_LOCAL = "ctxlocal:Local"


@dataclass(frozen=True)
class Options:
    """What is to be measured.

    :param tables: names of tables; a part takes those that are its own.
    :param quick: fewer tables and samples; the figures are rougher, and the same otherwise.
    :param ours: ``module:name`` of the class in the rows of ours; tests put a broken one there.
    """

    tables: tuple[str, ...]
    quick: bool = False
    ours: str = CORE_LOCAL


@dataclass(frozen=True)
class BenchJob:
    """What one process measures.

    :param name: what a progress bar calls it.
    :param target: ``module:function`` of a generator function, which yields a dict for each step:
        under "found" what belongs in the report, under "left_out" rows with the module they lack;
        both may be missing.
    :param arguments: the function's, by name; anything that JSON has.
    :param steps: how many dicts it yields, or a few less.
    """

    name: str
    target: str
    arguments: dict[str, Any] = field(repr=False)
    steps: int


@dataclass(frozen=True)
class BenchPart:
    """A kind of benchmark.

    :param name: its name after ``--only``, and its key in the JSON.
    :param tables: the names of its tables, in order.
    :param quick_tables: those that a quick run takes if none is named.
    :param jobs: makes the jobs; ``Options.tables`` are all its own.
    :param gather: makes what the report has under ``name`` of all that the jobs found.
    :param draw: makes of that what a terminal shows.
    :param complaints: names in that what must not be: a foreign read of ours, say.
    """

    name: str
    tables: tuple[str, ...]
    quick_tables: tuple[str, ...]
    jobs: Callable[[Options], list[BenchJob]]
    gather: Callable[[list[Any]], Any]
    draw: Callable[[Any], Iterator[RenderableType]]
    complaints: Callable[[Any], list[str]]
