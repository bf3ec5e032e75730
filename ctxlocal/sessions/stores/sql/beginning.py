"""What each connection of a store's own engine is told first: limits, and strictness."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any


def begin_postgresql(seconds: float) -> Callable[..., None]:
    """Return a listener for ``connect`` that sets the server's limit of a statement.

    A shorter one that is there stays. Nothing is set in a connection that a pooler shares with
    others, as pgbouncer does by transactions: it is known by another process than the one that
    answers. There nothing is prepared either, as what was prepared is not there the next time.
    """
    limit = (
        "SELECT pg_backend_pid() = {pid}, CASE WHEN pg_backend_pid() = {pid} AND "
        "current_setting('statement_timeout') = '0' "
        f"THEN set_config('statement_timeout', '{ceil(seconds * 1000)}', false) END"
    )

    def begin(connection: Any, record: Any) -> None:
        driver = record.driver_connection
        if hasattr(driver, "get_server_pid"):  # asyncpg
            pid = driver.get_server_pid()
        elif hasattr(driver, "info"):  # psycopg, psycopg2
            pid = driver.info.backend_pid
        else:
            return
        is_shared = not _ask(connection, limit.format(pid=pid))[0]
        if is_shared and hasattr(driver, "prepare_threshold"):
            driver.prepare_threshold = None

    return begin


def begin_mysql(seconds: float) -> Callable[..., None]:
    """Return a listener for ``connect`` that sets the limits of a statement and of its locks.

    And strict mode: what is too long for its column is refused, not cut off. Each server reads
    the comment that is for it, MariaDB or MySQL, which limits what only reads.
    """
    whole = ceil(seconds)
    settings = (
        "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), "
        f"lock_wait_timeout = {whole}, innodb_lock_wait_timeout = {whole} "
        f"/*M!100100 , max_statement_time = {seconds:g} */"
        f"/*!50708 , max_execution_time = {ceil(seconds * 1000)} */"
    )

    def begin(connection: Any, _: object) -> None:
        _ask(connection, settings)

    return begin


def _ask(connection: Any, statement: str) -> Any:
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None
    finally:
        cursor.close()
