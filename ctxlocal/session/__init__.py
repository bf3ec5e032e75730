"""Sessions: what a visitor's requests have in common, kept so that nothing is lost.

The modules, each of which knows only those before it:

``errors``    what is raised
``protocol``  what a store has to do, ``token`` ids and what is made of them
``codec``     values as bytes, ``model`` Session, a dict that knows what changed
``event``     signals
``cookie``    its attributes, and reading it; ``keyring``, ``sealing``, ``signing`` protect it
``interface`` SessionInterface; ``stored`` and ``cookie_sessions`` implement it
``stores``    memory, SQLite, Redis, every SQL database; they know ``protocol`` alone
"""

from . import errors as errors
from . import event as event
from .codec import register as register
from .cookie import Cookie as Cookie
from .cookie import clear_site_data as clear_site_data
from .cookie_sessions import EncryptedCookieSessions as EncryptedCookieSessions
from .cookie_sessions import SignedCookieSessions as SignedCookieSessions
from .interface import SessionInterface as SessionInterface
from .model import Session as Session
from .stored import SessionInfo as SessionInfo
from .stored import StoredSessions as StoredSessions

__all__ = [
    "Cookie",
    "EncryptedCookieSessions",
    "Session",
    "SessionInfo",
    "SessionInterface",
    "SignedCookieSessions",
    "StoredSessions",
    "clear_site_data",
    "errors",
    "event",
    "register",
]
