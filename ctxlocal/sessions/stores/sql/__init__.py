"""A store in any database that SQLAlchemy speaks to.

``store`` is what sessions call, blocking or not; ``steps`` has the statements of both,
``tables`` what they are about; ``connecting`` makes engines of URLs, whose keys ``driver`` looks
at, by what ``beginning`` tells each connection and ``within`` bears of silence.
"""

from .store import AsyncSQLStore as AsyncSQLStore
from .store import SQLStore as SQLStore
from .tables import Tables as Tables
from .tables import make_tables as make_tables

__all__ = ["AsyncSQLStore", "SQLStore", "Tables", "make_tables"]
