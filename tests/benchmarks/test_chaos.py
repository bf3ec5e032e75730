"""The chaos run: that scenes run, and that the accounting sees what a store forgets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.ledger import Account, Ledger
from benchmarks.chaos.tables import BLOCKS, Chaos
from benchmarks.chaos.trial import SESSIONS, WRITERS, Scene, try_out
from benchmarks.render import ROOT, main
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import Answer, Change, Incr, Record

PAGE = ROOT / "docs/promises.md"
MINUTE = 60.0


class Watched(MemoryStore):
    """Knows which sessions there are, and which were ended."""

    def __init__(self) -> None:
        super().__init__()
        self.counting: set[str] = set()
        self.ended: list[str] = []

    def commit(
        self, key: str, generation: int, change: Change, ttl: float, base: Record | None = None
    ) -> Answer:
        self.counting.add(key)
        return super().commit(key, generation, change, ttl, base)

    def delete(self, key: str) -> bool:
        was_there = super().delete(key)
        self.ended.append(key)
        return was_there

    def add(self, amount: int) -> None:
        """Change every counter, unseen by the writers."""
        for number, key in enumerate(sorted(self.counting)):
            change = Change(f"{amount} {number}", ops=[Incr("n", amount)])
            super().commit(key, 0, change, MINUTE)

    def close(self) -> None:
        """Stay, as a server does."""

    def bring_back(self) -> None:
        """Undo a logout."""
        super().create(self.ended[0], {}, MINUTE)

    def drop(self) -> None:
        """Lose the sessions."""
        for key in self.counting:
            super().delete(key)


def tried(strike: Callable[[Watched], None]) -> Mapping[str, Any]:
    store = Watched()
    return try_out(Scene(lambda: store, [lambda: strike(store)]), 0.4)


def test_a_store_that_keeps_its_word_is_not_accused() -> None:
    found = tried(lambda store: None)
    assert found["acknowledged"] > WRITERS * SESSIONS
    assert found["ended"] >= WRITERS
    assert (found["lost"], found["doubled"], found["returned"]) == (0, 0, 0)
    assert found["errors"] == 0


def test_acknowledged_commits_that_are_forgotten_are_seen() -> None:
    found = tried(lambda store: store.add(-2))
    assert (found["lost"], found["doubled"]) == (2 * WRITERS * SESSIONS, 0)


def test_commits_that_count_twice_are_seen() -> None:
    found = tried(lambda store: store.add(1))
    assert (found["lost"], found["doubled"]) == (0, WRITERS * SESSIONS)


def test_a_logout_that_is_undone_is_seen() -> None:
    assert tried(Watched.bring_back)["returned"] == 1


def test_sessions_that_are_gone_are_lost_with_all_that_they_counted() -> None:
    found = tried(Watched.drop)
    assert WRITERS * SESSIONS <= found["lost"] < found["acknowledged"]
    assert found["doubled"] == 0


@pytest.mark.parametrize(
    ("answers", "stored", "lost", "doubled"),
    [
        ([1, 2, 3], 3, 0, 0),
        ([1, 2, 3], 2, 1, 0),
        ([1, 2, 3], 4, 0, 1),
        ([1, 2, 2], 2, 1, 0),  # the next answer tells, though the last one is there
        ([1, 2, 4], 4, 0, 1),
        ([1, None, 2], 2, 0, 0),  # what had no answer may have counted
        ([1, None, 3], 3, 0, 0),
        ([1, None, 4], 4, 0, 1),
        ([1, None], 2, 0, 0),
        ([1, None], 0, 1, 0),
    ],
)
def test_an_account_tells_what_is_lost_and_what_is_doubled(
    answers: list[int | None], stored: int, lost: int, doubled: int
) -> None:
    account = Account()
    for answer in answers:
        if answer is None:
            account.give_up()
        else:
            account.acknowledge(answer)
    account.compare(stored)
    assert (account.lost, account.doubled) == (lost, doubled)


def test_the_time_in_which_a_writer_was_dead_is_no_waiting() -> None:
    ledger = Ledger()
    ledger.note("made", "a")
    ledger.interrupt()
    ledger.last = -1000.0
    ledger.note("counted", "a", 1)
    assert ledger.longest == 0
    ledger.last -= 1000
    ledger.note("counted", "a", 2)
    assert ledger.longest > 999


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.skipif(sys.platform == "win32", reason="the servers are started the POSIX way")
def test_the_command_tries_scenes_out(tmp_path: Path) -> None:
    pytest.importorskip("pyperf")
    output = tmp_path / "results.json"
    scenes = "sqlite-killed", "redis-killed", "redis-demoted-wait"
    command = [sys.executable, "-m", "benchmarks.chaos", "--seconds=1", f"--output={output}"]
    command += [f"--only={scene}" for scene in scenes]
    environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = json.loads(output.read_text())
    assert str(tmp_path) not in output.read_text()
    assert tuple(document["scenes"]) == scenes
    for found in document["scenes"].values():
        assert found["acknowledged"] > 0
        assert (found["lost"], found["doubled"], found["returned"]) == (0, 0, 0)


def make_document() -> dict[str, Any]:
    scene = {
        **{"what": "Redis: it is killed", "acknowledged": 25162, "lost": 1, "doubled": 0},
        **{"ended": 1200, "returned": 2, "errors": 30, "longest_s": 2.345},
    }
    return {
        "command": "python -m benchmarks.chaos",
        "date": "2026-01-31",
        "implementation": "pure",
        "python": "3.11.7",
        "machine": {"cpu_model_name": "A CPU", "cpu_count": 2, "platform": "Linux"},
        "versions": {"redis": "8.1.0"},
        "seconds": 12,
        "scenes": {"redis-killed": scene},
        "left_out": {"mariadb-killed": "mariadbd"},
    }


def test_docs_show_every_block() -> None:
    text = PAGE.read_text("utf-8")
    assert [name for name in BLOCKS if f"<!-- benchmarks:begin {name} -->" not in text] == []


def test_each_scene_is_a_row(tmp_path: Path, write_pages: Callable[[Path, str, str], None]) -> None:
    results = tmp_path / "benchmarks/results/chaos/pure-cpython311.json"
    results.parent.mkdir(parents=True)
    write_pages(tmp_path, "docs/promises.md", "chaos")
    results.write_text(json.dumps(make_document()))
    assert main(["--root", str(tmp_path)]) == 0
    text = (tmp_path / "docs/promises.md").read_text()
    assert "| Redis: it is killed | 25,162 | 1 | 0 | 1,200 | 2 | 30 | 2.3 |" in text
    assert main(["--root", str(tmp_path), "--check"]) == 0


def test_runs_say_what_was_left_out() -> None:
    rendered = BLOCKS["chaos-runs"]([Chaos(make_document())])
    assert "  - left out: mariadb-killed (no mariadbd)\n" in rendered
