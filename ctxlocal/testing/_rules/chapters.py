"""All rules, in the order in which they are checked."""

from __future__ import annotations

from . import commits, crowds, expiry, loading, moves, overview, renewals, users
from .rule import Rule

_CHAPTERS = (loading, commits, crowds, moves, users, expiry, overview, renewals)

RULES = tuple(
    each for chapter in _CHAPTERS for each in vars(chapter).values() if isinstance(each, Rule)
)
