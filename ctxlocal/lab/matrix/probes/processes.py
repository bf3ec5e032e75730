"""Child processes, of which a forked one has a copy of its parent's memory; and interpreters."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent import futures
from dataclasses import asdict
from typing import Any

from ctxlocal.errors import MissingDependencyError
from ctxlocal.lab.matrix.exchange import Callee, Sight
from ctxlocal.lab.matrix.place import Process
from ctxlocal.lab.matrix.probe import Group

ANSWERS_WITHIN_S = 30


def _without_fork() -> str:
    return "" if hasattr(os, "fork") else "no fork on this platform"


group = Group("processes")
FORKED: dict[str, Any] = {
    "process": Process.FORKED,
    "note": "a copy of the forking thread's memory",
    "available": _without_fork,
}


@group.probe("os.fork", **FORKED)
def fork(callee: Callee) -> Iterator[None]:
    """Fork."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer_and_exit(callee, writer)
    yield
    os.close(writer)
    with open(reader, "rb") as answer:
        callee.sight = Sight(**json.load(answer))
    os.waitpid(child, 0)


def _answer_and_exit(callee: Callee, writer: int) -> None:
    try:
        os.write(writer, json.dumps(asdict(callee.look())).encode())
    finally:
        os._exit(0)  # nothing of the parent may run a second time


def _answer(connection: Any, callee: Callee) -> None:
    connection.send(asdict(callee.look()))


@group.probe("multiprocessing, fork", **FORKED)
def multiprocessing_fork(callee: Callee) -> Iterator[None]:
    """Start a process by forking."""
    context: Any = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    child = context.Process(target=_answer, args=(theirs, callee), daemon=True)
    child.start()
    yield
    _take_answer(callee, child, mine)


def _answer_from_kit(connection: Any, kit: type[Any], ident: Any, nth: int) -> None:
    _answer(connection, Callee(kit(ident), nth))


def _started_anew(callee: Callee, method: str) -> Iterator[None]:
    context: Any = multiprocessing.get_context(method)
    mine, theirs = context.Pipe()
    kit = callee.kit
    child = context.Process(
        target=_answer_from_kit, args=(theirs, type(kit), kit.ident, callee.nth), daemon=True
    )
    child.start()
    yield
    _take_answer(callee, child, mine)


@group.probe("multiprocessing, spawn", process=Process.NEW)
def multiprocessing_spawn(callee: Callee) -> Iterator[None]:
    """Start a process from nothing, which makes its Locals anew."""
    yield from _started_anew(callee, "spawn")


@group.probe("multiprocessing, forkserver", process=Process.NEW, available=_without_fork)
def multiprocessing_forkserver(callee: Callee) -> Iterator[None]:
    """Have a process forked from a clean one."""
    yield from _started_anew(callee, "forkserver")


def _look_anew(kit: type[Any], ident: Any, nth: int) -> dict[str, Any] | None:
    try:
        return asdict(Callee(kit(ident), nth).look())
    except MissingDependencyError:
        return None


def _take_look(callee: Callee, sight: dict[str, Any] | None) -> None:
    if sight is None:
        ident = callee.kit.ident
        raise MissingDependencyError(
            f"The identity strategy {ident!r} in another interpreter", ident, ident
        )
    callee.sight = Sight(**sight)


INTERPRETER: dict[str, Any] = {
    "since": (3, 14),
    "process": Process.NEW,
    "note": "another interpreter of the process makes its Locals anew",
}


@group.probe("InterpreterPoolExecutor", **INTERPRETER)
def interpreter_pool(callee: Callee) -> Iterator[None]:
    """Run in an interpreter of its own, which shares no object with this one."""
    newer: Any = futures
    kit = callee.kit
    with newer.InterpreterPoolExecutor(1) as pool:
        job = pool.submit(_look_anew, type(kit), kit.ident, callee.nth)
        yield
        _take_look(callee, job.result())


@group.probe("Interpreter.call", **INTERPRETER)
def interpreter_call(callee: Callee) -> Iterator[None]:
    """Call a function in another interpreter, in the thread that calls."""
    newer: Any = importlib.import_module("concurrent.interpreters")

    kit = callee.kit
    other = newer.create()
    _take_look(callee, other.call(_look_anew, type(kit), kit.ident, callee.nth))
    yield
    other.close()


def _take_answer(callee: Callee, child: Any, connection: Any) -> None:
    if connection.poll(ANSWERS_WITHIN_S):
        callee.sight = Sight(**connection.recv())
    else:
        child.kill()
    child.join()
