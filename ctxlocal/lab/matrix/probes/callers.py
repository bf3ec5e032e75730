"""Code that runs in the middle of its caller: generators, signal handlers, finalisers."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from ctxlocal.lab.matrix.exchange import Callee
from ctxlocal.lab.matrix.place import Owner
from ctxlocal.lab.matrix.probe import Group

from .threads import THREAD_CONTEXT

group = Group("in the caller")
RUNS_WITHIN_S = 30


@group.probe("function call")
def call(callee: Callee) -> Iterator[None]:
    """Call it."""
    callee()
    yield


@group.probe("generator", note="each step runs as whoever asks for it")
def generator(callee: Callee) -> Iterator[None]:
    """Advance a generator."""

    def steps() -> Iterator[None]:
        callee()
        yield

    next(steps())
    yield


@group.probe("serialize_iterator", since=(3, 15), note="each step runs as whoever asks for it")
def serialize_iterator(callee: Callee) -> Iterator[None]:
    """Advance a generator that threads may share."""

    def steps() -> Iterator[None]:
        callee()
        yield

    newer: Any = threading
    next(newer.serialize_iterator(steps()))
    yield


@group.probe("signal handler", note="a handler runs as whatever it interrupts")
def signal_handler(callee: Callee) -> Iterator[None]:
    """Raise a signal."""
    before = signal.signal(signal.SIGINT, callee)
    try:
        signal.raise_signal(signal.SIGINT)
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _send(script: str) -> None:
    newer: Any = sys
    newer.remote_exec(os.getpid(), script)


@cache
def _without_remote_exec() -> str:
    try:
        _send(os.devnull)
    except (OSError, RuntimeError) as problem:
        return f"no process can be entered here: {problem}"
    return ""


waiting: list[Callee] = []  # for the script


@group.probe(
    "sys.remote_exec",
    since=(3, 14),
    note="a script runs as whatever it interrupts in the main thread",
    available=_without_remote_exec,
)
def remote_exec(callee: Callee) -> Iterator[None]:
    """Have a script run at the main thread's next safe point, as a debugger does."""
    waiting.append(callee)
    with TemporaryDirectory() as folder:
        script = Path(folder, "script.py")
        script.write_text(f"import sys; sys.modules[{__name__!r}].waiting.pop()()")
        _send(str(script))
        yield
        deadline = time.monotonic() + RUNS_WITHIN_S
        while waiting and time.monotonic() < deadline:
            time.sleep(0.001)


class _Dropped:
    """Something with a finaliser."""


@group.probe("weakref callback, finaliser", note="runs as whoever drops the last reference")
def finaliser(callee: Callee) -> Iterator[None]:
    """Drop an object."""
    dropped = _Dropped()
    weakref.finalize(dropped, callee)
    del dropped
    yield


@group.probe(
    "finaliser, dropped by a thread",
    thread=Owner.OTHER,
    context=THREAD_CONTEXT,
    note="runs as whoever drops the last reference",
)
def finaliser_elsewhere(callee: Callee) -> Iterator[None]:
    """Let another thread drop the object."""
    held = [_Dropped()]
    weakref.finalize(held[0], callee)
    worker = Thread(target=held.clear)
    worker.start()
    yield
    worker.join()
