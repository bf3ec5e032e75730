"""What ``ctxlocal prove`` measured, and the verdict on it.

The document is what ``--json`` writes: ``command``, ``date``, ``seconds``, what :mod:`.origin`
tells, the results of the parts under their names (``matrix``, ``soak``, ``control``, ``bench``; a
part that did not run is absent or None), and ``missing``, which gives the reason for each part
that is not there in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..figures import measured
from ..matrix.report import Cell, MatrixReport
from ..soak.report import VIOLATIONS

Document = Mapping[str, Any]
Finding = tuple[str, str]
"""What was found, and where."""
NOTHING: Finding = ("isolation", "nothing that ran measures it")
UNFINISHED = ("failed", "interrupted")
NOT_RUN = "not run"
# How the control breaks what is soaked, and what the soak has to see of it.
CONTROLS = {"shared-dict": "foreign_reads", "store-forgets": "lost_updates"}


def matrix_of(document: Document) -> MatrixReport:
    """Return the matrix; without a cell where it did not run."""
    matrix = document.get("matrix") or {}
    return MatrixReport([Cell(**cell) for cell in matrix.get("cells", ())])


def runs_of(document: Document, part: str = "soak") -> list[dict[str, Any]]:
    """Return a part's runs of servers, those that were not possible among them."""
    return list((document.get(part) or {}).get("runs") or ())


def controls_of(document: Document) -> list[dict[str, Any]]:
    """Return the sabotaged runs, without those that were not possible."""
    return [run for run in runs_of(document, "control") if run.get("outcome") != NOT_RUN]


def is_caught(run: Mapping[str, Any]) -> bool:
    """Whether a sabotaged run showed what it had to."""
    return (measured(run.get(CONTROLS.get(str(run.get("sabotage")), ""))) or 0) > 0


def violations_in(run: Mapping[str, Any]) -> int:
    """Count what one run of a server must not show."""
    return int(sum(measured(run.get(kind)) or 0 for kind in VIOLATIONS))


@dataclass(frozen=True)
class Verdict:
    """What the evidence says.

    ``violations`` is what breaks a promise, ``gaps`` what could not be shown.
    ``is_about_isolation`` is False where nothing but the control ran.
    """

    sentence: str
    violations: list[Finding]
    gaps: list[Finding]
    is_about_isolation: bool = True

    @property
    def state(self) -> str:
        """The verdict in a word: "violated", "incomplete", "clean"; "caught" of a control alone."""
        if self.violations:
            return "violated"
        if self.gaps:
            return "incomplete"
        return "clean" if self.is_about_isolation else "caught"

    @property
    def status(self) -> int:
        """The exit status, where nothing interrupted the command."""
        return 0 if self.state in ("clean", "caught") else 1


def judge(document: Document) -> Verdict:
    """Return the verdict on all that was measured."""
    matrix, runs, controls = matrix_of(document), runs_of(document), controls_of(document)
    foreign = list(_foreign_reads(document))
    violations = [*matrix.complaints(), *map(_complaint, filter(_is_violated, runs)), *foreign]
    missing = document.get("missing") or {}
    gaps = list(missing.items())
    gaps += [(run["outcome"], _where(run)) for run in runs if run.get("outcome") in UNFINISHED]
    gaps += [_answers_missed(run) for run in runs if _has_errors_alone(run)]
    missed = [run for run in controls if not is_caught(run)]
    gaps += map(_missed, missed)
    said = [*_cells_said(matrix), *_requests_said(runs), *_owners_said(document)]
    control = list(_controls_said(controls, len(missed)))
    if said:
        is_blind = any(run.get("outcome") not in UNFINISHED for run in missed)
        opening = _opening(violations, gaps, is_blind=is_blind)
        return Verdict(f"{opening}{_joined([*said, *control])}.", violations, gaps)
    if control:
        sentence = f"Isolation was not measured; {control[0]}."
        return Verdict(sentence, violations, gaps, is_about_isolation=False)
    return Verdict("Isolation was not measured.", violations, gaps or [NOTHING])


def _opening(violations: list[Finding], gaps: list[Finding], *, is_blind: bool) -> str:
    if violations:
        return "Isolation is violated: "
    if is_blind:
        return (
            "Nothing leaked in what ran, but the control was not caught, so this proves nothing: "
        )
    return "Nothing leaked in what ran, but not all of it ran: " if gaps else "Nothing leaked: "


def _joined(clauses: list[str]) -> str:
    *first, last = clauses
    return f"{', '.join(first)}, and {last}" if first else last


def _cells_said(matrix: MatrixReport) -> Iterator[str]:
    applicable = sum(cell.is_applicable for cell in matrix.cells)
    if broken := len(matrix.unexpected):
        yield f"{broken} of {plural(applicable, 'cell')} of the matrix break a promise"
    elif applicable:
        yield f"all {plural(applicable, 'cell')} of the matrix are as their strategy promises"


def _requests_said(runs: list[dict[str, Any]]) -> Iterator[str]:
    if requests := requests_in(runs):
        servers = len({run.get("server") for run in runs if measured(run.get("requests"))})
        found = plural(sum(map(violations_in, runs)), "violation")
        yield f"{plural(requests, 'request')} to {plural(servers, 'server')} showed {found}"


def _owners_said(document: Document) -> Iterator[str]:
    rows = _ours(document)
    if most := max((measured(row.get("count")) or 0 for row in rows), default=0):
        reads = sum(measured(row.get("foreign_reads")) or 0 for row in rows)
        found = f"{reads:,.0f} foreign reads" if reads else "no foreign read"
        yield f"one Local shared by up to {most:,.0f} owners at once showed {found}"


def _controls_said(controls: list[dict[str, Any]], missed: int) -> Iterator[str]:
    if controls:
        caught = len(controls) - missed
        verb = "was" if caught == 1 else "were"
        soaks = plural(len(controls), "soak")
        yield f"{caught} of {soaks} of deliberately broken code {verb} caught"


def requests_in(runs: list[dict[str, Any]]) -> int:
    """Count the requests of all runs."""
    return int(sum(measured(run.get("requests")) or 0 for run in runs))


def plural(number: int, noun: str) -> str:
    """Return the number with the noun, which takes an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _is_violated(run: Mapping[str, Any]) -> bool:
    if violations_in(run) > 0:
        return True
    return run.get("outcome") == "violations" and not _has_errors_alone(run)


def _has_errors_alone(run: Mapping[str, Any]) -> bool:
    """Whether all that is wrong are answers: one too late, on a busy machine, leaks nothing."""
    return (
        run.get("outcome") == "violations"
        and not violations_in(run)
        and bool(measured(run.get("errors")))
        and (run.get("memory") or {}).get("is_flat") is not False
    )


def _missed(run: Mapping[str, Any]) -> Finding:
    if run.get("outcome") in UNFINISHED:
        return str(run["outcome"]), f"control: {_where(run)}"
    wanted = VIOLATIONS.get(CONTROLS.get(str(run.get("sabotage")), ""), "violations")
    where = f"{_where(run)}: it showed no {wanted}, so what is clean here proves nothing"
    return "control not caught", where


def _answers_missed(run: Mapping[str, Any]) -> Finding:
    count = measured(run.get("errors")) or 0
    return f"wrong or missing answers: {count:,.0f}", _where(run)


def _complaint(run: Mapping[str, Any]) -> Finding:
    counted = {noun: measured(run.get(kind)) for kind, noun in VIOLATIONS.items()}
    found = [f"{noun}: {number:,.0f}" for noun, number in counted.items() if number]
    return ", ".join(found) or "violations", _where(run)


def _where(run: Mapping[str, Any]) -> str:
    names = [run.get(key) for key in ("server", "strategy", "store", "sabotage")]
    note = f" ({run['note']})" if run.get("note") else ""
    return ", ".join(str(name) for name in names if name) + note


def _foreign_reads(document: Document) -> Iterator[Finding]:
    for row in _ours(document):
        if reads := measured(row.get("foreign_reads")):
            where = f"{row['library']}, {row.get('count')} {row.get('owners')}"
            yield f"foreign reads: {reads:,.0f}", where


def _ours(document: Document) -> list[Mapping[str, Any]]:
    rows = (document.get("bench") or {}).get("concurrency") or ()
    return [row for row in rows if str(row.get("library")).startswith("ctxlocal.")]
