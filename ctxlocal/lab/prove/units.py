"""How figures are written, for people; anything that is no finite number is a dash."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..figures import measured

MISSING = EN_DASH = "\N{EN DASH}"
ABOUT = "\N{ALMOST EQUAL TO}\N{NARROW NO-BREAK SPACE}"
TIMES = "\N{MULTIPLICATION SIGN}"
DIGITS = 2  # at most, of a figure that varies from run to run by more than within one
FEWEST_PLACES, MOST_PLACES = -18, 3  # after the point


def _dash_or(write: Callable[[float], str]) -> Callable[[object], str]:
    def written(value: object) -> str:
        figure = measured(value)
        return MISSING if figure is None else write(figure)

    return written


def supported(value: object, spread: float = 0.0) -> str:
    """Write no more digits of ``value`` than its spread supports, and no more than two.

    The first one is always there.
    """
    figure = measured(value)
    if figure is None:
        return MISSING
    if figure == 0:
        return "0"
    first = _decade(figure)
    last = first - DIGITS + 1
    if spread > 0:
        last = min(max(last, _decade(2 * spread)), first)  # the last digit is off by 5 at most
    places = min(max(-last, FEWEST_PLACES), MOST_PLACES)
    return f"{round(figure, places):,.{max(places, 0)}f}"


def _decade(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def band(low: object, high: object) -> str:
    """Write what a figure is between: as one, marked as rough, where two digits show no more."""
    ends = list(dict.fromkeys(supported(end) for end in (low, high) if measured(end) is not None))
    if not ends:
        return MISSING
    return f"{ABOUT}{ends[0]}" if len(ends) == 1 else EN_DASH.join(ends)


def _scaled(value: float, steps: tuple[str, ...]) -> str:
    step = 0
    while abs(value) >= 1000 and step < len(steps) - 1:
        value /= 1000
        step += 1
    shown = f"{value:.0f}" if not step or abs(value) >= 100 else f"{value:.3g}"
    return f"{shown}{steps[step]}"


count = _dash_or(lambda value: f"{value:,.0f}")
size = _dash_or(lambda value: _scaled(value, (" B", " kB", " MB", " GB")))
compact = _dash_or(lambda value: _scaled(value, ("", "k", "M", "G", "T")))
seconds = _dash_or(lambda value: f"{value:.0f} s" if value >= 10 else f"{value:.1f} s")
