"""Facts and findings together: what the doctor returns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .advice import REQUESTS, Finding, advise
from .facts import Facts, gather


@dataclass(frozen=True)
class Report:
    """The diagnosis of one process."""

    facts: Facts
    findings: tuple[Finding, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing was found that breaks isolation."""
        return not any(finding.level == "error" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {"healthy": self.is_healthy, **asdict(self)}


def diagnose(*, server: str | None = None, ignore: frozenset[str] = frozenset()) -> Report:
    """Look at this process and judge.

    It reads the application's default, as the first write of a Local would.

    :param server: "asyncio", "trio", "gevent", "eventlet" or "threads": where the
        application is meant to run; None judges by what runs here now.
    :param ignore: modules whose place in the import order means nothing.
    :raises ValueError: there is no such server.
    """
    if server is not None and server not in REQUESTS:
        raise ValueError(f"server is {server!r}; expected one of {', '.join(REQUESTS)}, or None.")
    facts = gather(ignore)
    return Report(facts, tuple(advise(facts, server)))
