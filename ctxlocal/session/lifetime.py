"""How long a session lives: the defaults, and what settings are refused (R9)."""

from __future__ import annotations

from .errors import SessionConfigError

DAY = 24 * 60 * 60
IDLE_TIMEOUT = 14 * DAY
ABSOLUTE_TIMEOUT = 90 * DAY
TOUCH_INTERVAL = 60


def check_lifetime(idle: float, absolute: float, touch: float, most: float = float("inf")) -> None:
    """Refuse times that contradict each other; all are in seconds.

    :param most: what ``absolute_timeout`` may be.
    :raises SessionConfigError: they do.
    """
    if not 1 <= idle <= absolute:
        problem = f"{idle!r} is not between 1 second and absolute_timeout, {absolute!r}"
        raise SessionConfigError("idle_timeout", problem)
    if not absolute <= most or absolute == float("inf"):
        raise SessionConfigError("absolute_timeout", f"{absolute!r} seconds are over {most!r}")
    if not 0 <= touch < idle:
        problem = f"{touch!r} is not from 0 to idle_timeout, {idle!r}"
        raise SessionConfigError("touch_interval", problem)
