"""The versions of other libraries that an integration is for."""

from __future__ import annotations

from importlib.metadata import version

from ..errors import CtxLocalError


class UnsupportedVersionError(CtxLocalError, ImportError):
    """A library that is installed is older than what an integration has been tried with."""


def require(distribution: str, lowest: str, instead: str) -> None:
    """Refuse an older version of a library.

    :param distribution: its name.
    :param lowest: numbers with points between.
    :param instead: what to do without an upgrade.
    :raises UnsupportedVersionError: it is older.
    """
    found = version(distribution)
    if _numbers(found) < _numbers(lowest):
        raise UnsupportedVersionError(
            f"This integration is for {distribution} from {lowest} on, and {found} is installed. "
            f"pip install -U {distribution}; {instead}"
        )


def _numbers(text: str) -> tuple[int, ...]:
    parts = []
    for part in text.split("."):
        if not part.isdecimal():  # 2.0rc1: near enough
            break
        parts.append(int(part))
    return tuple(parts)
