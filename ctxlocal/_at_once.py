"""at_once: what is written once, as a coroutine, for those who wait and for those who cannot."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

R = TypeVar("R")


_REFUSAL = "A coroutine waits that was to be done at once."


def at_once(coroutine: Coroutine[Any, Any, R], refusal: str = _REFUSAL) -> R:
    """Return what a coroutine returns that never waits: what it awaits blocks instead.

    Costs what driving a generator does. What blocks within may switch greenlets.

    :param refusal: the text of the error.
    :raises RuntimeError: the coroutine waits; it was closed.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: R = stop.value
        return result
    coroutine.close()
    raise RuntimeError(refusal)
