"""Rule: a check of a store whose docstring says what it checks, and what rules share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...sessions.stores.protocol import Answer, Result
from .._trial import Trial

SHORT = 1.0  # seconds that a record lives, where its end is waited for
LONGER = 1.25

REVOKED = Answer("revoked")
CONFLICT = Answer("conflict")


class Rule(NamedTuple):
    """A check, and what it needs."""

    check: Callable[[Trial], None]
    needs_clock: bool = False
    needs_loss: bool = False
    is_sync_only: bool = False  # it is about scan and stats, which AsyncStore has not


def rule(
    *, clock: bool = False, loss: bool = False, sync_only: bool = False
) -> Callable[[Callable[[Trial], None]], Rule]:
    """Make a function a rule."""
    return lambda check: Rule(check, clock, loss, sync_only)


def committed(*results: Result) -> Answer:
    """Return the answer of a commit with these results."""
    return Answer("committed", results)
