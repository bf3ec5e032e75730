"""A store in one SQLite file."""

from .store import SQLiteStore as SQLiteStore

__all__ = ["SQLiteStore"]
