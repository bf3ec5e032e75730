"""Everything that a check has found of a store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from ...sessions.stores.protocol import Store
from ..stores import explain
from .contract import RoundTrip, Trial, try_contract
from .finding import LEVELS, Finding

AHEAD = 1.0  # seconds, which a clock may be wrong by
# Each needs its store's package; so they are imported when such a store is there.
_ENGINES = {"RedisStore": ".redis", "SQLStore": ".sql", "SQLiteStore": ".sqlite"}


@dataclass(frozen=True)
class Check:
    """What was found; what is worst comes first."""

    store: str
    engine: str
    round_trips: tuple[RoundTrip, ...]
    findings: tuple[Finding, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether there is no warning."""
        return self.count("warning") == 0

    def count(self, level: str) -> int:
        """Return how many findings are of a level."""
        return sum(finding.level == level for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {"healthy": self.is_healthy, **asdict(self)}


def check(store: Store, url: str) -> Check:
    """Try a store, and ask its server for its settings.

    :param url: the store's, whose secrets no finding repeats.
    :raises StoreUnavailableError: it cannot be asked at all.
    """
    trial = try_contract(store)
    engine, settings = _ask(store)
    if trial.error is not None and all(each.level == "not known" for each in settings):
        raise trial.error
    found = [*_of_trial(trial, url), *settings]
    found.sort(key=lambda finding: LEVELS.index(finding.level))
    return Check(store.name, engine, tuple(trial.round_trips()), tuple(found))


def _ask(store: Store) -> tuple[str, list[Finding]]:
    """Return a store's engine and what was found of it; of a store of somebody's own nothing."""
    for kind in type(store).__mro__:
        if (module := _ENGINES.get(kind.__name__)) is not None:
            found: tuple[str, list[Finding]] = import_module(module, __package__).find(store)
            return found
    return type(store).__name__, []


def _of_trial(trial: Trial, url: str) -> Iterator[Finding]:
    yield _contract(trial, url)
    if trial.repeats:
        text = "The server, or the way to it, lost answers, or refused them for a while."
        yield Finding("repetitions", str(trial.repeats), "note", text)
    if abs(trial.ahead) > AHEAD:
        way = "ahead" if trial.ahead > 0 else "behind"
        text = "Sessions end too early or too late by that. Let all machines keep time by NTP."
        value = f"{abs(trial.ahead):.1f} s {way}"
        yield Finding("the server's clock", value, "warning", text)


def _contract(trial: Trial, url: str) -> Finding:
    if trial.broken is not None:
        text = f"This does not hold: {trial.broken}. Sessions lose what they were told is kept."
        return Finding("contract", "broken", "warning", text)
    if trial.error is not None:
        return Finding("contract", "not tried", "warning", f"{explain(trial.error, url)}.")
    return Finding("contract", f"kept in {len(trial.calls)} calls")
