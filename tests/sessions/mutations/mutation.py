"""A mutation: a mistake that somebody could make, or a line that seems not to be needed."""

from __future__ import annotations

from typing import NamedTuple


class Edit(NamedTuple):
    """A piece of code, as :mod:`.piece` has it, and what to put in its place."""

    old: str
    new: str
    within: str  #: the function, class or module, where there is one like it elsewhere


class Mutation(NamedTuple):
    """One way to break a requirement; several edits where one alone is caught by another line."""

    requirement: int
    breaks: str
    edits: tuple[Edit, ...]

    def __str__(self) -> str:
        return f"R{self.requirement} {self.breaks}"


def broken(requirement: int, breaks: str, *edits: Edit) -> Mutation:
    """Return a mutation."""
    return Mutation(requirement, breaks, edits)


def edit(old: str, new: str, *, within: str = "") -> Edit:
    """Return an edit."""
    return Edit(old, new, within)
