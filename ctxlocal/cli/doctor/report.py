"""Facts and findings together: what the doctor returns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ctxlocal.lab.servers.kinds import KINDS

from .advice import LEVELS, Finding, advise
from .facts import Facts, gather

Verdict = Literal["broken", "isolates", "not judged"]


@dataclass(frozen=True)
class Diagnosis:
    """The diagnosis of one process; what is worst comes first among its findings."""

    facts: Facts
    findings: tuple[Finding, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing was found that breaks isolation."""
        return not any(finding.level == "error" for finding in self.findings)

    @property
    def verdict(self) -> Verdict:
        """Whether something breaks isolation, or what was judged isolates; if anything was."""
        levels = {finding.level for finding in self.findings}
        if "error" in levels:
            return "broken"
        return "isolates" if "ok" in levels else "not judged"

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {"healthy": self.is_healthy, "verdict": self.verdict, **asdict(self)}


def diagnose(*, server: str | None = None, ignore: frozenset[str] = frozenset()) -> Diagnosis:
    """Look at this process and judge.

    It reads the application's default, as the first write of a Local would.

    :param server: "asyncio", "trio", "gevent", "eventlet" or "threads": the kind of server that the
        application is meant to run in; None judges by what runs here now.
    :param ignore: modules that are none of the application's.
    :raises ValueError: there is no such server.
    """
    if server is not None and server not in KINDS:
        raise ValueError(f"server is {server!r}; expected one of {', '.join(KINDS)}, or None.")
    facts = gather(ignore)
    findings = sorted(advise(facts, server), key=lambda finding: LEVELS.index(finding.level))
    return Diagnosis(facts, tuple(findings))
