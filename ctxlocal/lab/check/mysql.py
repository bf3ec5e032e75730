"""What of a MariaDB's or MySQL's settings endangers sessions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .finding import Finding, connections, judge, not_known
from .postgresql import Ask

LEAST_WAIT = 60  # seconds

# The two, and their versions, name some of them differently.
_NAMES = (
    "version",
    "sql_mode",
    "transaction_isolation",
    "tx_isolation",
    "innodb_flush_log_at_trx_commit",
    "wait_timeout",
    "read_only",
    "max_statement_time",
    "max_execution_time",
    "max_connections",
)
_ASK = "SHOW VARIABLES WHERE Variable_name IN ({})".format(
    ", ".join(f"'{name}'" for name in _NAMES)
)
_ASK_CLIENTS = "SHOW STATUS LIKE 'Threads_connected'"


def find_mysql(ask: Ask) -> tuple[str, list[Finding]]:
    """Return the engine with its version, and what was found."""
    told = dict(map(tuple, ask(_ASK)))
    clients = [int(count) for _, count in ask(_ASK_CLIENTS)]
    version = told.get("version", "")
    kind = "MariaDB" if "mariadb" in version.lower() else "MySQL"
    found = list(_judge(told, clients[0] if clients else None))
    return f"{kind} {version.partition('-')[0]}".rstrip(), found


def _judge(told: Mapping[str, str], clients: int | None) -> Iterator[Finding]:
    text = "It takes no writes. Give the address of the primary, or one that follows it."
    yield judge("read_only", told.get("read_only"), ("OFF", "0"), text)
    yield _strict(told.get("sql_mode"))
    text = (
        "The store sets READ COMMITTED where it matters. Its single statements run at this level, "
        "where more of them fail against others and are repeated."
    )
    level = told.get("transaction_isolation", told.get("tx_isolation"))
    fine = ("READ-COMMITTED", "REPEATABLE-READ")
    yield judge("transaction isolation", level, fine, text, "note")
    yield _flush(told.get("innodb_flush_log_at_trx_commit"))
    yield _statement_limit(told)
    yield _wait(told.get("wait_timeout"))
    yield connections(told.get("max_connections"), clients)


def _strict(mode: str | None) -> Finding:
    if mode is None:
        return not_known("sql_mode")
    is_strict = "STRICT_ALL_TABLES" in mode or "STRICT_TRANS_TABLES" in mode
    text = "What is too long for its column is cut off, and unreadable. Set STRICT_TRANS_TABLES."
    return judge("sql_mode", "strict" if is_strict else "not strict", ("strict",), text)


def _flush(value: str | None) -> Finding:
    whose = "the machine" if value == "2" else "the server"
    text = (
        f"A crash of {whose} loses what was acknowledged in the last second, and a logout can come "
        "undone. Set it to 1."
    )
    return judge("innodb_flush_log_at_trx_commit", value, ("1",), text)


def _statement_limit(told: Mapping[str, str]) -> Finding:
    name = "max_statement_time" if "max_statement_time" in told else "max_execution_time"
    if name not in told:
        return not_known(name)
    seconds = float(told[name]) / (1 if name == "max_statement_time" else 1000)
    if seconds:
        return Finding(name, f"{seconds:g} s")
    text = "The server gives up no statement, so a slow one holds its request. Set it to 5 s."
    return Finding(name, "0, no limit", "warning", text)


def _wait(value: str | None) -> Finding:
    if value is None:
        return not_known("wait_timeout")
    if int(value) >= LEAST_WAIT:
        return Finding("wait_timeout", f"{value} s")
    text = (
        "The server hangs up on what is idle for so long, and the next request has to connect "
        f"anew. Set {LEAST_WAIT} s or more."
    )
    return Finding("wait_timeout", f"{value} s", "note", text)
