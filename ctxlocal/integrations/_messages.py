"""Messages that a framework keeps as one list: those of two requests that change it at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def merged(loaded: Sequence[Any], theirs: Sequence[Any], mine: Sequence[Any]) -> list[Any]:
    """Return what is to be kept: all that both have added, without what one of them has shown."""
    known = len(loaded)
    if list(mine[:known]) == list(loaded):
        return [*theirs, *mine[known:]]
    return [*(message for message in theirs if message not in loaded), *mine]
