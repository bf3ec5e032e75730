"""What was found of one setting, and whether it endangers sessions."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Level = Literal["warning", "note", "not known", "fine"]
LEVELS = ("warning", "note", "not known", "fine")  #: the worst first

NOT_TOLD = "The server does not tell this user."


@dataclass(frozen=True)
class Finding:
    """A setting and its verdict; a warning says what can happen, and what to do.

    ``nodes`` are those of a cluster that are so, empty where all are.
    """

    name: str
    value: str
    level: Level = "fine"
    text: str = ""
    nodes: tuple[str, ...] = ()


def not_known(name: str) -> Finding:
    """Return what is said of a setting that the server does not tell."""
    return Finding(name, "", "not known", NOT_TOLD)


def judge(
    name: str, value: str | None, fine: Container[str], text: str, level: Level = "warning"
) -> Finding:
    """Return what is to be said of a value.

    :param value: None where the server does not tell it.
    :param fine: the values that endanger nothing.
    :param text: what can happen by any other, and what to do.
    """
    if value is None:
        return not_known(name)
    return Finding(name, value) if value in fine else Finding(name, value, level, text)


def connections(limit: str | None, used: int | None) -> Finding:
    """Return what is to be said of a database's clients."""
    name = "max_connections"
    if limit is None or used is None:
        return not_known(name)
    value = f"{limit}, {used} in use"
    if used < 0.8 * int(limit):
        return Finding(name, value)
    text = "Soon none is left, and requests are a 503. Raise it, or give the stores smaller pools."
    return Finding(name, value, "warning", text)


def merged(found: Sequence[tuple[str, Iterable[Finding]]]) -> list[Finding]:
    """Make one of what several nodes, by their names, have alike."""
    nodes: dict[Finding, list[str]] = {}
    for node, findings in found:
        for finding in findings:
            nodes.setdefault(finding, []).append(node)
    return [
        finding if len(of) == len(found) else replace(finding, nodes=tuple(of))
        for finding, of in nodes.items()
    ]
