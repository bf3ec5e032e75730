"""A store in any database that SQLAlchemy speaks to.

``store`` is what sessions call, blocking or not; ``steps`` has the statements of both.
"""

from .store import AsyncSQLStore as AsyncSQLStore
from .store import SQLStore as SQLStore

__all__ = ["AsyncSQLStore", "SQLStore"]
