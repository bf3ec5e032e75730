"""Instruction counts: what is counted works, and what has become dearer is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.instructions import before, count, run
from benchmarks.instructions.kinds import BARE_WSGI, KINDS
from benchmarks.instructions.ledger import BLOCKS, Counts, changes, differences
from benchmarks.render import ROOT

PLAIN, SIGNED = "WSGI, no session", "WSGI, signed cookie, read+write"


def make_counts(**changed: Any) -> Counts:
    """Return figures of a bare request and of two others."""
    document = {
        "implementation": "native",
        "python": "3.11.7",
        "architecture": "x86_64",
        "build": "3.11.7 (main) [GCC]",
        "libc": "glibc 2.36",
        "machine": {"cpu_model_name": "A CPU"},
        "versions": {"werkzeug": "3.1.9"},
        "counted": {BARE_WSGI: 4_000.0, PLAIN: 44_000.0, SIGNED: 104_000.0},
        "above": {PLAIN: BARE_WSGI, SIGNED: BARE_WSGI},
    }
    return Counts(document | changed)


def test_kinds_have_names_of_their_own_and_bare_ones_that_are_counted() -> None:
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names)
    assert {kind.above for kind in KINDS} - {None} <= set(names)


def test_a_cost_is_what_a_kind_has_above_its_bare_one() -> None:
    assert make_counts().costs == {BARE_WSGI: 4_000.0, PLAIN: 40_000.0, SIGNED: 100_000.0}
    assert f"| {PLAIN} | 40,000 |\n" in BLOCKS["instructions"]([make_counts()])


def test_a_change_within_the_tolerance_is_none() -> None:
    before = {"a": 1000.0, "b": 1000.0, "c": 1000.0, "d": 1000.0, "gone": 1000.0}
    now = {"a": 1029.0, "b": 971.0, "c": 1031.0, "d": 969.0, "new": 1000.0}
    assert changes(before, now) == {"c": pytest.approx(0.031), "d": pytest.approx(-0.031)}


def test_dearer_fails_and_cheaper_asks_to_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    was = {PLAIN: 40_000.0, SIGNED: 100_000.0}
    assert run._tell(was, was) == 0
    assert "--update" not in capsys.readouterr().out
    assert run._tell(was, was | {PLAIN: 30_000.0}) == 0
    assert "cheaper than the figures say: write them by --update" in capsys.readouterr().out
    assert run._tell(was, was | {SIGNED: 104_000.0}) == 1
    assert f"dearer: {SIGNED}; " in capsys.readouterr().out


def test_another_build_or_library_or_processor_makes_figures_incomparable() -> None:
    assert list(differences(make_counts(), make_counts(date="later"))) == []
    now = make_counts(versions={"werkzeug": "3.2.0"}, machine={"cpu_model_name": "Another"})
    assert list(differences(make_counts(), now)) == [
        "processor Another, where the figures have A CPU",
        "werkzeug 3.2.0, where the figures have 3.1.9",
    ]
    assert len(list(differences(make_counts(), make_counts(build="3.11.7 (mine)")))) == 1


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="an sdist has no history")
def test_figures_that_are_incomparable_are_counted_again_with_the_package_they_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(before, "implementation", lambda: "pure")  # nothing is built

    def look(tree: Path) -> dict[str, float]:
        assert (tree / "ctxlocal/__init__.py").is_file()
        assert (tree / "ctxlocal").resolve() != (ROOT / "ctxlocal").resolve()
        assert (tree / "benchmarks").samefile(ROOT / "benchmarks")
        return {PLAIN: 1.0}

    monkeypatch.setattr(before, "count", look)
    assert before.count_again(ROOT / "README.md") == {PLAIN: 1.0}
    with pytest.raises(count.CountingError, match=r"^no commit has no-such-file\.json$"):
        before.count_again(ROOT / "no-such-file.json")


def test_a_kind_that_is_not_served_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counted = {kind.name: 1.0 for kind in KINDS if kind.name != PLAIN}
    monkeypatch.setattr(run, "gap", lambda: None)
    monkeypatch.setattr(run, "count", lambda: counted)
    monkeypatch.setattr(run, "_refuse_without_figures", lambda: None)  # this Python may have none
    assert run.main([]) == 1
    assert capsys.readouterr().err == f"instructions: not served: {PLAIN}\n"


@pytest.mark.parametrize(("environment", "status"), [({}, 0), ({"CI": "true"}, 1)])
def test_without_valgrind_it_says_so_and_fails_under_ci(
    environment: dict[str, str],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("CI", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(run, "gap", lambda: "valgrind")
    assert run.main([]) == status
    assert capsys.readouterr().err == "instructions are not counted: valgrind is missing\n"


@pytest.mark.slow
@pytest.mark.skipif(count.gap() is not None, reason="nothing can be counted here")
def test_every_kind_is_served(tmp_path: Path) -> None:
    counter = tmp_path / "counter.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", counter, count.COUNTER], check=True)
    # Without valgrind, where nothing is counted.
    command = [sys.executable, "-m", "benchmarks.instructions.counted", str(counter), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
