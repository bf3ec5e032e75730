"""What was measured, as a number and as text."""

from __future__ import annotations

MISSING = "-"
TOO_BIG = 1e18  # nothing that is measured here comes near


def measured(value: object) -> float | None:
    """Return ``value`` as a float; None where it is no number that could have been measured."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < TOO_BIG else None  # a NaN is not


def number(value: float | None) -> str:
    """Return ``value`` with two to three digits that mean something."""
    if value is None:
        return MISSING
    if abs(value) >= 9.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 0.95 else f"{value:.2f}"
