"""Where sessions in a store keep their records: memory, SQLite, any SQL database, Redis.

``protocol`` says what a store has to do. Each module needs what its store needs, and no more.
``url`` opens stores by their URLs, whose keys ``query`` names; ``plugins`` are stores of others.

May import: ``errors``, ``local``, ``sessions.errors``.
"""

from .plugins import register_store as register_store

__all__ = ["register_store"]
