"""A store in any database that SQLAlchemy speaks to."""

from .store import AsyncSQLStore as AsyncSQLStore
from .store import SQLStore as SQLStore

__all__ = ["AsyncSQLStore", "SQLStore"]
