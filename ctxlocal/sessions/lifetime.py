"""How long a session lives: the defaults, and what settings are refused."""

from __future__ import annotations

from datetime import timedelta

from .errors import SessionConfigError

DAY = 24 * 60 * 60
IDLE_TIMEOUT = 14 * DAY
ABSOLUTE_TIMEOUT = 90 * DAY
TOUCH_INTERVAL = 60


def check_lifetime(
    idle: float, absolute: float, touch: float | None, most: float = float("inf")
) -> float:
    """Refuse times that contradict each other, and return the touch interval; all in seconds.

    :param touch: None is 60, or a tenth of ``idle`` where that is less.
    :param most: what ``absolute`` may be.
    :raises SessionConfigError: they do.
    """
    times = {"idle_timeout": idle, "absolute_timeout": absolute}
    if touch is not None:
        times["touch_interval"] = touch
    for setting, value in times.items():
        _check_number(setting, value)
    if not 1 <= idle <= absolute:
        problem = f"{idle!r} is not between 1 second and absolute_timeout, {absolute!r}"
        raise SessionConfigError("idle_timeout", problem)
    if not absolute <= most or absolute == float("inf"):
        raise SessionConfigError("absolute_timeout", f"{absolute!r} seconds are over {most!r}")
    if touch is None:
        return min(TOUCH_INTERVAL, idle / 10)
    if not 0 <= touch < idle:
        problem = f"{touch!r} is not from 0 to idle_timeout, {idle!r}"
        raise SessionConfigError("touch_interval", problem)
    return touch


def idle_of(raw: bytes | None, default: float) -> float:
    """Return after how many seconds without use a session ends, by its own field of that.

    :param raw: the field; None where it has none.
    :param default: the settings' ``idle_timeout``; also for what is no number.
    """
    try:
        return default if raw is None else float(raw)
    except ValueError:
        return default


def time_field(when: float) -> bytes:
    """Return a time as a field holds it: to the millisecond, and never a later one.

    Each request reads it, and of all its digits ``float`` would take three times as long.
    """
    return repr(when * 1000 // 1 / 1000).encode()


def renewed_after(idle: float, idle_timeout: float, touch_interval: float) -> float:
    """Return for how many seconds a session that is only read is not renewed.

    :param idle: after how many without use it ends; the other two are the settings'.
    """
    return touch_interval if idle >= idle_timeout else min(touch_interval, idle / 10)


def _check_number(setting: str, value: object) -> None:
    if isinstance(value, timedelta):
        problem = f"{value!r} is no number of seconds; use .total_seconds()"
        raise SessionConfigError(setting, problem)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SessionConfigError(setting, f"{value!r} is no number of seconds")
