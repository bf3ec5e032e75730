"""How figures are written, for people; anything that is no finite number is a dash."""

from __future__ import annotations

from collections.abc import Callable

MISSING = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
TOO_BIG = 1e18  # nothing that is measured here comes near


def number(value: object) -> float | None:
    """Return ``value`` as a float; None where it is no number that could have been measured."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < TOO_BIG else None  # a NaN is not


def _dash_or(write: Callable[[float], str]) -> Callable[[object], str]:
    def written(value: object) -> str:
        figure = number(value)
        return MISSING if figure is None else write(figure)

    return written


def _short(value: float) -> str:
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _scaled(value: float, steps: tuple[str, ...]) -> str:
    step = 0
    while abs(value) >= 1000 and step < len(steps) - 1:
        value /= 1000
        step += 1
    shown = f"{value:.0f}" if not step or abs(value) >= 100 else f"{value:.3g}"
    return f"{shown}{steps[step]}"


count = _dash_or(lambda value: f"{value:,.0f}")
nanoseconds = _dash_or(_short)
ratio = _dash_or(lambda value: f"{_short(value)}{TIMES}")
size = _dash_or(lambda value: _scaled(value, (" B", " kB", " MB", " GB")))
compact = _dash_or(lambda value: _scaled(value, ("", "k", "M", "G", "T")))
seconds = _dash_or(lambda value: f"{value:.0f} s" if value >= 10 else f"{value:.1f} s")
