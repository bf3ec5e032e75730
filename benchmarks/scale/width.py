"""What it costs to have many Locals, many attributes of one Local, and deep stacks."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from time import perf_counter
from typing import Any

from ctxlocal.lab.bench.rival import load

from .clock import hot_ns, middle, once_ns
from .memory import allocated_bytes

Figures = dict[str, float]
_SAMPLES = 100


def locals_under(strategy: str) -> Callable[[int], Figures]:
    """Return what measures a number of Locals, each of which holds one value, under a strategy."""

    def measure(count: int) -> Figures:
        core = load("ctxlocal")
        core.ident.set_default(strategy)
        return Context().run(_locals, core, count)

    return measure


def _locals(core: Any, count: int) -> Figures:
    flow = load("ctxlocal.flow")
    all_of_them = [core.Local() for _ in range(count)]
    for one in all_of_them:
        one.value = count
    some = random.Random(count).choices(all_of_them, k=_SAMPLES)
    frame = flow.Frame()
    return {
        "get": hot_ns("local.value", local=some[0]),
        "set": hot_ns("local.value = a; local.value = b", local=some[0]) / 2,
        "cold get": middle(once_ns(partial(getattr, one, "value")) for one in some),
        "set in a copy": middle(_set_in_copy(one, "value") for one in some),
        "new frame": hot_ns("Frame()", Frame=flow.Frame),
        "frame step": hot_ns("run(int)", run=frame.run),
        "snapshot": hot_ns("snapshot()", snapshot=flow.snapshot),
    }


def _set_in_copy(local: Any, name: str) -> int:
    context = copy_context()
    return context.run(once_ns, lambda: setattr(local, name, context))


def change_of_default(count: int) -> Figures:
    """Return ms of changing the default while a number of Locals hold nothing any more."""
    core = load("ctxlocal")
    all_of_them = [core.Local() for _ in range(count)]
    for one in all_of_them:
        one.value = count
        core.release_local(one)
    start = perf_counter()
    core.ident.set_default("thread")
    return {"change, ms": (perf_counter() - start) * 1e3}


def attributes(count: int) -> Figures:
    """Measure one Local with a number of attributes, in a Context of its own."""
    return Context().run(_attributes, load("ctxlocal"), count)


def _attributes(core: Any, count: int) -> Figures:
    local = core.Local()
    names = [f"attribute_{number}" for number in range(count)]
    for name in names:
        setattr(local, name, count)
    middle_name = names[count // 2]
    return {
        "get": hot_ns(f"local.{middle_name}", local=local),
        "set": hot_ns(f"local.{middle_name} = a; local.{middle_name} = b", local=local) / 2,
        "set in a copy": middle(_set_in_copy(local, middle_name) for _ in range(_SAMPLES)),
        "iterate": middle(once_ns(lambda: list(local)) for _ in range(_SAMPLES)),
        "release": middle(_release_all(core, local, names) for _ in range(10)),
    }


def _release_all(core: Any, local: Any, names: list[str]) -> int:
    def run() -> int:
        for name in names:
            setattr(local, name, core)
        return once_ns(lambda: core.release_local(local))

    return Context().run(run)


def attributes_space(count: int) -> Figures:
    """Return bytes an owner takes for each of its attributes."""
    local = load("ctxlocal").Local()
    names = [f"attribute_{number}" for number in range(count)]

    def fill() -> None:
        for name in names:
            setattr(local, name, count)

    Context().run(fill)  # what belongs to the Local, whoever holds it
    before, context = allocated_bytes(), Context()
    context.run(fill)
    return {"bytes": (allocated_bytes() - before) / count}


def depth(count: int) -> Figures:
    """Measure a stack with so many objects on it, in a Context of its own."""
    return Context().run(_depth, load("ctxlocal"), count)


def _depth(core: Any, count: int) -> Figures:
    stack = core.LocalStack()
    _push(stack, count)
    return {
        "push+pop": hot_ns("push(a); pop()", push=stack.push, pop=stack.pop),
        "top": hot_ns("stack.top", stack=stack),
        "push in a copy": middle(_push_in_copy(stack) for _ in range(_SAMPLES)),
        "release": middle(_release_stack(core, stack, count) for _ in range(10)),
    }


def _push(stack: Any, count: int) -> None:
    for _ in range(count):
        stack.push(stack)


def _push_in_copy(stack: Any) -> int:
    return copy_context().run(once_ns, lambda: stack.push(stack))


def _release_stack(core: Any, stack: Any, count: int) -> int:
    def run() -> int:
        _push(stack, count)
        return once_ns(lambda: core.release_local(stack))

    return Context().run(run)


def depth_space(count: int) -> Figures:
    """Return bytes that each object on a stack takes."""
    stack = load("ctxlocal").LocalStack()
    before, context = allocated_bytes(), Context()
    context.run(_push, stack, count)
    return {"bytes": (allocated_bytes() - before) / count}


def locals_space(count: int) -> Figures:
    """Return bytes a Local takes, and what an owner takes for its one value in each."""
    core = load("ctxlocal")

    def fill(all_of_them: list[Any]) -> None:
        for one in all_of_them:
            one.value = count

    Context().run(fill, [core.Local()])  # what the first one alone takes
    before = allocated_bytes()
    all_of_them = [core.Local() for _ in range(count)]
    Context().run(fill, all_of_them)
    made, context = allocated_bytes(), Context()
    context.run(fill, all_of_them)
    return {
        "bytes a Local": (made - before) / count,
        "bytes a value": (allocated_bytes() - made) / count,
    }
