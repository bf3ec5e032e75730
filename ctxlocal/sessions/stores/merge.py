"""What a commit does to a record's fields, for stores that merge in Python."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .protocol import MAX_INT, MIN_INT, Change, Clear, Expect, Incr, Op, Result, Take

# What Redis' HINCRBY takes, so that every store agrees: no sign but "-", no leading zeros.
_is_decimal = re.compile(rb"0|-?[1-9][0-9]{0,18}").fullmatch


def merge(values: dict[str, bytes], change: Change) -> tuple[Result, ...] | None:
    """Do a change to ``values`` in place, in the contract's order; return its operations' results.

    None is a conflict: nothing of the commit may be kept, and ``values`` is to be thrown away.
    """
    ops = change.ops
    if not ops:  # as most commits are
        for name in change.deletes:
            values.pop(name, None)
        values.update(change.sets)
        return ()
    for op in ops:
        if type(op) is Expect and values.get(op.field) != op.value:
            return None
    if clears(ops):
        values.clear()
    for name in change.deletes:
        values.pop(name, None)
    values.update(change.sets)
    return _operate(values, ops)


def _operate(values: dict[str, bytes], ops: Sequence[Op]) -> tuple[Result, ...] | None:
    results: list[Result] = []
    for op in ops:
        result: Result = None
        if type(op) is Incr:
            if (result := add(values.get(op.field), op.amount)) is None:
                return None
            values[op.field] = b"%d" % result
        elif type(op) is Take:
            result = values.pop(op.field, None)
        results.append(result)
    return tuple(results)


def add(raw: bytes | None, amount: int) -> int | None:
    """Return the sum; None if ``raw`` is no integer, or either is beyond 64 bits."""
    if raw is None:
        raw = b"0"
    if not _is_decimal(raw):
        return None
    number = int(raw)
    total = number + amount
    return total if MIN_INT <= number <= MAX_INT and MIN_INT <= total <= MAX_INT else None


def clears(ops: Sequence[Op]) -> bool:
    """Whether the commit begins a new generation."""
    return Clear in map(type, ops)
