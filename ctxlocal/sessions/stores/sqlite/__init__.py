"""A store in one SQLite file.

``store`` is what sessions call; ``file`` opens the database, and notices where it was replaced.
"""

from .store import SQLiteStore as SQLiteStore

__all__ = ["SQLiteStore"]
