"""Asking a SQL database for its settings, by the store's own connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from ..._at_once import at_once
from ...sessions.errors import StoreUnavailableError
from ...sessions.stores.forwarding import named
from ...sessions.stores.sql import SQLStore
from ...sessions.stores.sql.steps import Job, SQLSteps
from .finding import Finding
from .mysql import find_mysql
from .postgresql import find_postgresql


def find(store: SQLStore) -> tuple[str, list[Finding]]:
    """Ask the database; return the engine with its version, and what was found."""
    operations = store._operations
    dialect = operations._engine.dialect.name

    def ask(statement: str) -> Sequence[Any]:
        try:
            return at_once(_rows(operations, statement))
        except StoreUnavailableError:  # another that speaks like it has no such table, say
            return []

    if dialect == "postgresql":
        return find_postgresql(ask)
    if dialect in ("mysql", "mariadb"):
        return find_mysql(ask)
    return dialect, []


@named("check")
async def _rows(store: SQLSteps, statement: str) -> Sequence[Any]:
    """Return what a statement tells."""
    found: Sequence[Any] = await store._attempt(Job(lambda on: on.execute(text(statement)).all()))
    return found
