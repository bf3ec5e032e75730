"""What of a PostgreSQL's settings endangers sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .finding import Finding, connections, judge, not_known

Ask = Callable[[str], Sequence[Any]]

_SETTINGS = (
    "server_version",
    "synchronous_commit",
    "synchronous_standby_names",
    "fsync",
    "full_page_writes",
    "statement_timeout",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "max_connections",
)
_ASK_SETTINGS = "SELECT name, setting FROM pg_settings WHERE name IN ({})".format(
    ", ".join(f"'{name}'" for name in _SETTINGS)
)
# Of what others do everybody is told that they are there.
_ASK_STATE = (
    "SELECT pg_is_in_recovery(), (SELECT count(*) FROM pg_stat_activity WHERE backend_type = "
    "'client backend'), (SELECT count(*) FROM pg_stat_replication)"
)

_YES: Mapping[bool | None, str] = {True: "yes", False: "no"}


def find_postgresql(ask: Ask) -> tuple[str, list[Finding]]:
    """Return the engine with its version, and what was found."""
    settings = dict(map(tuple, ask(_ASK_SETTINGS)))
    in_recovery, clients, standbys = next(iter(ask(_ASK_STATE)), (None, None, None))
    version = settings.get("server_version", "").partition(" ")[0]
    found = list(_judge(settings.get, _YES.get(in_recovery), standbys))
    found.append(connections(settings.get("max_connections"), clients))
    return f"PostgreSQL {version}".rstrip(), found


def _judge(
    setting: Callable[[str], str | None], in_recovery: str | None, standbys: int | None
) -> Iterator[Finding]:
    text = "A standby takes no writes. Give the address of the primary, or one that follows it."
    yield judge("in recovery", in_recovery, ("no",), text)
    name = "default_transaction_read_only"
    text = "Nothing can be written: every change of a session is a 503. Set it to off for the role."
    yield judge(name, setting(name), ("off",), text)
    if in_recovery != "yes":
        yield _synchronous(setting, standbys)
    text = "A crash of the machine can destroy the whole database. Set it to on."
    yield judge("fsync", setting("fsync"), ("on",), text)
    text = "A crash of the machine can leave pages torn. Set it to on."
    yield judge("full_page_writes", setting("full_page_writes"), ("on",), text)
    yield _statement_timeout(setting("statement_timeout"))
    name = "default_transaction_isolation"
    text = (
        "The store sets READ COMMITTED where it matters. Its single statements run at this level, "
        "where more of them fail against others and are repeated."
    )
    yield judge(name, setting(name), ("read committed",), text, "note")


def _synchronous(setting: Callable[[str], str | None], standbys: int | None) -> Finding:
    name, value = "synchronous_commit", setting("synchronous_commit")
    if value is None:
        return not_known(name)
    if value == "off":
        text = (
            "A crash loses what was acknowledged in the last 0.6 s, and a logout can come undone. "
            "Set it to on, in the store's URL or for the role."
        )
        return Finding(name, value, "warning", text)
    is_waiting = value != "local" and bool(setting("synchronous_standby_names"))
    return Finding(name, value) if standbys is None else _replicated(value, is_waiting, standbys)


def _replicated(value: str, is_waiting: bool, standbys: int) -> Finding:
    name = "synchronous_commit"
    if is_waiting and standbys:
        return Finding(name, f"{value}, waits for a standby")
    if is_waiting:
        text = (
            "No commit is acknowledged while the standbys of synchronous_standby_names are away. "
            "Start one, or take them out."
        )
        return Finding(name, f"{value}, waits for a standby that is away", "warning", text)
    if standbys:
        text = (
            "No commit waits for a standby. One that takes over may lack the last ones, a logout "
            "among them. Set synchronous_standby_names, and synchronous_commit to on."
        )
        return Finding(name, f"{value}, waits for no standby", "warning", text)
    text = "There is no standby: nothing takes over where this machine fails."
    return Finding(name, f"{value}, no standby", "note", text)


def _statement_timeout(value: str | None) -> Finding:
    name = "statement_timeout"
    if value is None:
        return not_known(name)
    if value != "0":
        return Finding(name, f"{int(value) / 1000:g} s")
    text = (
        "The server gives up no statement, so a slow one holds its request. Behind a pooler set it "
        "for the role: ALTER ROLE ... SET statement_timeout = '5s'."
    )
    return Finding(name, "0, no limit", "warning", text)
