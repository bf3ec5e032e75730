"""One trial: writers, what strikes their servers, and what is stored when all is quiet again."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ctxlocal.sessions.errors import StoreUnavailableError
from ctxlocal.sessions.stores.protocol import Record, Store

from .ledger import Ledger
from .work import Work

ROOT = Path(__file__).parent.parent.parent
WRITERS = 8
SESSIONS = 4  # of each writer
PATIENCE_S = 90  # until every writer goes on after a strike


class Scene(NamedTuple):
    """Servers that run.

    :param open: makes a store on them.
    :param strikes: what is done to them, one after the other.
    :param url: of the store, if the writers are to be processes, which are what is struck.
    """

    open: Callable[[], Store]
    strikes: Sequence[Callable[[], object]]
    url: str | None = None


class _Thread:
    """A writer in this process."""

    def __init__(self, store: Store, stop: threading.Event) -> None:
        self.ledger = Ledger()
        self._work = Work(store, stop, self.ledger.note)
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work.run(_new_keys())
        except Exception as error:
            self._failure = error

    def end(self) -> None:
        self._thread.join()
        if self._failure is not None:
            raise RuntimeError("a writer got what no store may raise") from self._failure


class _Process:
    """A writer in a process of its own; :meth:`kill` starts another one in its place."""

    def __init__(self, url: str) -> None:
        self.ledger = Ledger()
        self._command = [sys.executable, "-m", "benchmarks.chaos.work", url, *_new_keys()]
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,))
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):  # else it was killed within
                    what, key, answer = line.split("\t")
                    self.ledger.note(what, key, int(answer))

    def kill(self) -> None:
        self.end()
        self._start()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self.ledger.interrupt()


def try_out(scene: Scene, seconds: float) -> dict[str, Any]:
    """Let writers write while the servers are struck; return what was told and what is there."""
    stop = threading.Event()
    store = scene.open()
    crew: list[_Thread] | list[_Process]
    if scene.url is None:
        crew = [_Thread(store, stop) for _ in range(WRITERS)]
        strikes = scene.strikes
    else:
        crew = processes = [_Process(scene.url) for _ in range(WRITERS)]
        strikes = [partial(_kill, processes)] * 3
    ledgers = [each.ledger for each in crew]
    try:
        for strike in strikes:
            time.sleep(seconds / (len(strikes) + 1))
            strike()
            _await(ledgers)
        time.sleep(seconds / (len(strikes) + 1))
        _await(ledgers)
    finally:
        stop.set()
        for each in crew:
            each.end()
        store.close()
    fresh = scene.open()
    returned = sum(_settle(fresh, ledger) for ledger in ledgers)
    fresh.close()
    return _sums(ledgers) | {"returned": returned}


def _kill(processes: Sequence[_Process]) -> None:
    for each in processes:
        each.kill()


def _await(ledgers: Sequence[Ledger]) -> None:
    """Return when every writer goes on."""
    since = time.monotonic()
    while any(ledger.last < since for ledger in ledgers):
        if time.monotonic() > since + PATIENCE_S:
            raise TimeoutError(f"the writers do not go on after {PATIENCE_S} s")
        time.sleep(0.05)


def _settle(store: Store, ledger: Ledger) -> int:
    """Hold a ledger against the store; return how many ended sessions are there again."""
    for key, account in ledger.accounts.items():
        record = _load(store, key)
        account.compare(0 if record is None else int(record.values.get("n", b"0")))
    return sum(_load(store, key) is not None for key in ledger.ended)


def _load(store: Store, key: str) -> Record | None:
    limit = time.monotonic() + PATIENCE_S
    while True:
        try:
            return store.load(key)
        except StoreUnavailableError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.1)


def _sums(ledgers: Sequence[Ledger]) -> dict[str, Any]:
    accounts = [account for ledger in ledgers for account in ledger.accounts.values()]
    return {
        "acknowledged": sum(account.acknowledged for account in accounts),
        "lost": sum(account.lost for account in accounts),
        "doubled": sum(account.doubled for account in accounts),
        "ended": sum(len(ledger.ended) for ledger in ledgers),
        "errors": sum(ledger.errors for ledger in ledgers),
        "longest_s": max(ledger.longest for ledger in ledgers),
    }


def _new_keys() -> list[str]:
    return [secrets.token_hex(32) for _ in range(SESSIONS)]
