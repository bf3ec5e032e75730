"""A visitor's session as the soak uses it, whoever's it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol


class Kept(Protocol):
    """What a conversation does with its session."""

    def names(self) -> Iterable[str]:
        """Return the names of its values."""

    def get(self, name: str) -> Any:
        """Return a value."""

    def put(self, name: str, value: str) -> None:
        """Set a value."""

    def count(self) -> None:
        """Count the visit."""

    def hits(self) -> int | None:
        """Return how many were counted; None: two at once could not both be."""

    def flash(self, text: str) -> None:
        """Keep a message for the next page."""

    def flashed(self) -> list[str]:
        """Take the messages."""

    def end(self) -> None:
        """End the session."""
