"""What the commands print: whole summaries, lines that fit, and one line where it cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ctxlocal.cli.commands import ctxlocal
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from tests.support.patience import PATIENCE_S

FULL = Path("/dev/full")
SUMMARY = 60  # characters
PRINTING = {
    "help": ["--help"],
    "version": ["--version"],
    "help of a command": ["soak", "--help"],
    "doctor": ["doctor"],
    "doctor as JSON": ["doctor", "--json"],
    "matrix": ["matrix", "--only", "function call", "--strategy", "thread"],
    "matrix as JSON": ["matrix", "--only", "function call", "--strategy", "thread", "--json", "-"],
    "bench": ["bench", "--quick", "--table", "stack-1"],
    "bench as JSON": ["bench", "--quick", "--table", "stack-1", "--json", "-"],
    "sessions list": ["sessions", "list", "--store", "sqlite:///s.db"],
    "sessions list as JSON": ["sessions", "list", "--store", "sqlite:///s.db", "--json"],
    "sessions stats": ["sessions", "stats", "--store", "sqlite:///s.db"],
    "sessions check": ["sessions", "check", "sqlite:///s.db"],
    "sessions check as JSON": ["sessions", "check", "sqlite:///s.db", "--json"],
}


def all_commands(
    command: click.Command = ctxlocal, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from all_commands(inner, (*path, name))


@pytest.mark.parametrize("path", [path for path, _ in all_commands()], ids=" ".join)
def test_help_is_within_80_columns(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(ctxlocal, [*path, "--help"], prog_name="ctxlocal")
    assert shown.exit_code == 0
    assert [line for line in shown.output.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("path", [path for path, _ in all_commands() if path], ids=" ".join)
def test_summary_is_whole(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = dict(all_commands())[path].help or ""
    summary = text.partition("\n\n")[0]
    shown = CliRunner().invoke(ctxlocal, [*path[:-1], "--help"]).output
    assert len(summary) <= SUMMARY
    (line,) = [line for line in shown.splitlines() if line.split()[:1] == [path[-1]]]
    assert line.split(maxsplit=1)[1] == summary


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = SQLiteStore(str(tmp_path / "s.db"))
    store.stats()  # which makes the file
    store.close()
    return tmp_path


def printed(
    arguments: list[str], folder: Path, output: int, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ctxlocal", *arguments],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
        timeout=PATIENCE_S,
    )


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="needs a full disk")
@pytest.mark.parametrize("arguments", PRINTING.values(), ids=PRINTING)
def test_a_full_disk_is_told_in_one_line(arguments: list[str], folder: Path) -> None:
    with FULL.open("w") as full:
        done = printed(arguments, folder, full.fileno())
    assert done.stderr == "Error: <stdout>: No space left on device\n"
    assert done.returncode == 2


@pytest.mark.skipif(not FULL.exists(), reason="needs a full disk")
def test_a_full_disk_is_told_where_nothing_is_buffered(folder: Path) -> None:
    with FULL.open("w") as full:
        done = printed(["doctor"], folder, full.fileno(), PYTHONUNBUFFERED="1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", PRINTING.values(), ids=PRINTING)
def test_a_reader_that_wants_no_more_hears_nothing(arguments: list[str], folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = printed(arguments, folder, writer)
    finally:
        os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 1


@pytest.mark.parametrize(
    "arguments",
    [PRINTING[name] for name in ("doctor", "matrix", "bench", "sessions list", "sessions check")],
    ids=" ".join,
)
def test_no_line_ends_in_blanks(arguments: list[str], folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ctxlocal", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=PATIENCE_S,
    )
    assert done.stdout
    assert [line for line in done.stdout.split("\n") if line != line.rstrip()] == []
