"""The parts of ``ctxlocal prove``, one after the other under one set of progress bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Advance = Callable[[float], None]
INTERRUPTED = 130
PARTS = ("matrix", "soak", "control", "bench")  # the names of what can be measured


class Unfinished(Exception):
    """A part came to an early end; its cause says why.

    ``partial`` is the part's result as far as it came.
    """

    def __init__(self, partial: dict[str, Any]) -> None:
        self.partial = partial
        super().__init__(f"ended early with {', '.join(partial)}")


@dataclass(frozen=True)
class ProofPart:
    """Something to measure.

    ``run`` calls what it is given with the number of steps done, of which there are ``length``
    in all, and returns the result; :class:`Unfinished` carries a partial one.
    """

    name: str
    length: float
    run: Callable[[Advance], dict[str, Any]]


@dataclass
class Outcome:
    """The results of the parts, and why some are not there in full.

    ``status`` is the exit status of what interrupted them, 0 where nothing did.
    """

    results: dict[str, Any]
    missing: dict[str, str]
    status: int = 0


def run_all(parts: Sequence[ProofPart], console: Console) -> Outcome:
    """Run each part and keep what it gave.

    A part that fails costs its own result; an interruption ends them all.
    """
    outcome = Outcome({}, {})
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        bars = {
            part.name: progress.add_task(part.name, total=part.length, start=False)
            for part in parts
        }
        for part in parts:
            if outcome.status:
                outcome.missing[part.name] = "not started: interrupted before"
                continue
            bar = bars[part.name]
            progress.start_task(bar)
            _run(part, partial(progress.advance, bar), outcome)
            progress.stop_task(bar)
    return outcome


def _run(part: ProofPart, advance: Advance, outcome: Outcome) -> None:
    try:
        outcome.results[part.name] = part.run(advance)
    except Unfinished as unfinished:
        outcome.results[part.name] = unfinished.partial
        _explain(part, unfinished.__cause__ or unfinished, outcome)
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        _explain(part, error, outcome)


def _explain(part: ProofPart, error: BaseException, outcome: Outcome) -> None:
    if isinstance(error, Exception):
        outcome.missing[part.name] = f"{type(error).__name__}: {error}"
        return
    outcome.missing[part.name] = "interrupted"
    code = getattr(error, "code", INTERRUPTED)  # a SystemExit's tells which signal it was
    outcome.status = code if isinstance(code, int) and code else INTERRUPTED
