"""Sessions: what a visitor's requests have in common, kept so that nothing is lost.

``session`` is the dict that a view sees, and ``fields`` knows what changed in it, on ``values``,
which has two twins; ``codec`` makes bytes of values, ``schema`` checks them; ``cookie`` has the
cookie's name and attributes.
``in_store`` and ``in_cookie`` are the two ways of keeping them, both of ``interface``; ``stores``
are the places, which know nothing of sessions.

May import: ``errors``, ``local``.
"""

from . import errors as errors
from . import events
from .codec import register as register
from .cookie import Cookie as Cookie
from .cookie import clear_site_data as clear_site_data
from .in_cookie.sessions import EncryptedCookieSessions as EncryptedCookieSessions
from .in_cookie.sessions import SignedCookieSessions as SignedCookieSessions
from .in_store.sessions import SessionInfo as SessionInfo
from .in_store.sessions import StoredSessions as StoredSessions
from .interface import SessionInterface as SessionInterface
from .session import Session as Session

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
    "events",
    "register",
]
