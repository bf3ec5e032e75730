"""The goals, as data: what the figures are held against, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Python = tuple[int, int]


@dataclass(frozen=True)
class Goal:
    """A bound on a ratio of two rows (or on one row above another, in milliseconds).

    :param over: table and row of the figure above the line.
    :param under: table and row of the figure below it.
    :param bound: legal ratio: at least this where ``at_least``, else at most.
    :param difference: the figure is ``over`` minus ``under``, in ms, and not their ratio.
    :param since: first Python it holds for.
    :param until: last Python it holds for.
    """

    text: str
    over: tuple[str, str]
    under: tuple[str, str]
    bound: float
    at_least: bool = True
    difference: bool = False
    since: Python = (3, 10)
    until: Python = (3, 99)

    def holds_for(self, python: Python) -> bool:
        """Say whether the goal is one for this Python."""
        return self.since <= python <= self.until

    def scope(self) -> str:
        """Return the bound as the table shows it, with the Pythons it is for."""
        sign = "≥" if self.at_least else "≤"
        pythons = ""
        if self.since > (3, 10):
            pythons = f" (3.{self.since[1]} on)"
        elif self.until < (3, 99):
            pythons = f" (to 3.{self.until[1]})"
        return f"{sign} {self.bound:g}{pythons}"

    def figure(self, tables: Mapping[str, Any]) -> float | None:
        """Return the figure reached, None where a row is missing."""
        over, under = figure(tables, *self.over), figure(tables, *self.under)
        if over is None or under is None:
            return None
        return over - under if self.difference else over / under

    def is_met(self, reached: float) -> bool:
        """Say whether ``reached`` is within the bound."""
        return reached >= self.bound if self.at_least else reached <= self.bound


def figure(tables: Mapping[str, Any], table: str, row: str) -> float | None:
    """Return a row's figure, in ns (imports: ms), None where the row is missing."""
    found = tables.get(table, {}).get(row, {})
    value: float | None = found.get("ns", found.get("ms"))
    return value


def _faster(
    text: str,
    table: str,
    row: str,
    rival: str,
    bound: float,
    since: Python = (3, 10),
    until: Python = (3, 99),
) -> Goal:
    return Goal(text, (table, rival), (table, row), bound, since=since, until=until)


_LOCAL, _THEIRS = "ctxlocal.Local", "werkzeug.Local"
_PROXY = "ctxlocal.LocalProxy over a "
_VAR = "ContextVar"
_C_PROXIES = ("wrapt (C)", "lazy-object-proxy (C)")


def _at_most(text: str, table: str, row: str, bound: float) -> Goal:
    return Goal(text, (table, row), (table, _VAR), bound, at_least=False)


GOALS: dict[str, tuple[Goal, ...]] = {
    "pure": (
        _faster("get, times werkzeug's speed", "local-get", _LOCAL, _THEIRS, 6, until=(3, 11)),
        _faster("get, times werkzeug's speed", "local-get", _LOCAL, _THEIRS, 3, since=(3, 12)),
        _faster(
            "set of 10 attributes, times werkzeug's speed", "local-set-10", _LOCAL, _THEIRS, 1.2
        ),
        _faster(
            "set of 1000 attributes, times werkzeug's speed", "local-set-1000", _LOCAL, _THEIRS, 9
        ),
        _faster(
            "request mix, times werkzeug's speed", "request", _LOCAL, _THEIRS, 4, until=(3, 11)
        ),
        _faster(
            "request mix, times werkzeug's speed", "request", _LOCAL, _THEIRS, 1.7, since=(3, 12)
        ),
        Goal(
            "stack push+pop at depth 1000, times its cost at depth 1",
            ("stack-1000", "ctxlocal.LocalStack"),
            ("stack-1", "ctxlocal.LocalStack"),
            1.3,
            at_least=False,
        ),
        _faster(
            "proxy over a Local, attribute get, times the speed of wrapt's C",
            "proxy-attribute",
            _PROXY + "Local",
            "wrapt (C)",
            2,
        ),
        _faster(
            "proxy over a ContextVar, attribute get, times the speed of wrapt's C",
            "proxy-attribute",
            _PROXY + "ContextVar",
            "wrapt (C)",
            2,
        ),
        Goal(
            "import, ms above a bare interpreter",
            ("import", "ctxlocal"),
            ("import", "bare interpreter"),
            5,
            at_least=False,
            difference=True,
        ),
    ),
    "native": (
        _faster("get, times threading.local's speed", "local-get", _LOCAL, "threading.local", 2),
        *(
            _at_most(f"get, {strategy}, times ContextVar.get's time", "strategy-get", strategy, 1.1)
            for strategy in ("context", "thread", "greenlet, raw", "greenlet, gevent's")
        ),
        _faster(
            "set of 10 attributes, times ContextVar.set's speed", "local-set-10", _LOCAL, _VAR, 4
        ),
        Goal(
            "set of 1000 attributes, times the cost of 10",
            ("local-set-1000", _LOCAL),
            ("local-set-10", _LOCAL),
            1.3,
            at_least=False,
        ),
        _faster(
            "set of 1000 attributes, times werkzeug's speed", "local-set-1000", _LOCAL, _THEIRS, 100
        ),
        *(
            _faster(
                f"proxy over a Local, attribute get, times the speed of {rival}",
                "proxy-attribute",
                _PROXY + "Local",
                rival,
                15,
            )
            for rival in _C_PROXIES
        ),
        *(
            Goal(
                f"proxy over a Local, {what}, times the time of {rival}",
                (table, _PROXY + "Local"),
                (table, rival),
                bound,
                at_least=False,
            )
            for what, table, bound in (
                ("item get", "proxy-item", 1.6),
                ("int +", "proxy-add", 1.6),
                ("call", "proxy-call", 1),
                ("method call", "proxy-method", 1),
            )
            for rival in _C_PROXIES
        ),
        *(
            Goal(
                f"stack push+pop at depth {depth}, times a list's time",
                (f"stack-{depth}", "ctxlocal.LocalStack"),
                (f"stack-{depth}", "list"),
                2.2,
                at_least=False,
            )
            for depth in (1, 1000)
        ),
        *(
            _faster(
                f"{what} in a gevent greenlet, times gevent.local's speed",
                f"strategy-{what}",
                "greenlet, gevent's",
                "gevent.local, gevent's greenlet",
                6,
            )
            for what in ("get", "set")
        ),
        _faster(
            "request mix, times werkzeug's speed", "request", _LOCAL, _THEIRS, 15, until=(3, 11)
        ),
        _faster(
            "request mix, times werkzeug's speed", "request", _LOCAL, _THEIRS, 6, since=(3, 12)
        ),
        Goal(
            "import, ms above a bare interpreter",
            ("import", "ctxlocal"),
            ("import", "bare interpreter"),
            2,
            at_least=False,
            difference=True,
        ),
    ),
}
