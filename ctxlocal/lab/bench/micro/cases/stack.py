"""LocalStack: a push and the pop that undoes it, on an empty stack and 999 deep."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ...rival import has_native_twin, load
from ..case import Case, Names


def _stack(module: str, depth: int) -> Names:
    stack = load(module).LocalStack()
    for number in range(depth - 1):
        stack.push(number)
    return {"stack": stack, "a": object()}


def _list(depth: int) -> Names:
    return {"stack": list(range(depth - 1)), "a": object()}


def _cases() -> Iterator[Case]:
    for depth in (1, 1000):
        table = f"stack-{depth}"
        both = ("stack.push(a); stack.pop()",)
        yield Case(
            table, "ctxlocal.LocalStack", both, partial(_stack, "ctxlocal", depth), ("ctxlocal",)
        )
        yield Case(
            table,
            "werkzeug.LocalStack",
            both,
            partial(_stack, "werkzeug.local", depth),
            ("werkzeug.local",),
        )
        if has_native_twin():
            pure = "ctxlocal.local.pure.stack"
            yield Case(
                table, "ctxlocal.LocalStack (pure)", both, partial(_stack, pure, depth), (pure,)
            )
        yield Case(table, "list", ("stack.append(a); stack.pop()",), partial(_list, depth))


CASES = tuple(_cases())
