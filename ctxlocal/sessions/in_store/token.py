"""Session ids and what is made of them: the store's keys, the names in logs, commit ids."""

from __future__ import annotations

import os
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import blake2b
from itertools import count

try:  # before CPython 3.12: of a text this short in three quarters of the time of OpenSSL's
    from _sha256 import sha256  # type: ignore[import-not-found]
except ImportError:
    from hashlib import sha256

_KEY = re.compile(r"[0-9a-f]{64}")


def new_id() -> str:
    """Return a session id: 256 bits from the operating system's CSPRNG (OWASP)."""
    return urlsafe_b64encode(os.urandom(32))[:43].decode()


def id_finder(name: str) -> Callable[[str], list[str]]:
    """Return what finds, in a Cookie header, the values of the cookie ``name`` that can be ids.

    A value of any other form is not even looked up. There may be several. A ``;``
    ends a cookie wherever it stands, quoted or not: what
    :func:`~ctxlocal.sessions.cookie.scan` finds, in half its time.
    """
    # 43 characters are 256 bits in base64url, without padding.
    pattern = rf"(?:^|;)[ \t]*{re.escape(name)}=[ \t]*([A-Za-z0-9_-]{{43}})(?=[ \t]*(?:;|\Z))"
    return re.compile(pattern).findall


def key_of(session_id: str) -> str:
    """Return the store's key: SHA-256 in hexadecimal, so that a store never sees an id."""
    key: str = sha256(session_id.encode()).hexdigest()
    return key


def is_key(text: object) -> bool:
    """Whether ``text`` has the form of a store's key."""
    return isinstance(text, str) and _KEY.fullmatch(text) is not None


def log_name(key: str) -> str:
    """Return what names a session in this process's logs: a salted hash of its key."""
    return blake2b(key.encode(), key=_process.salt, digest_size=6).hexdigest()


def commit_id() -> str:
    """Return an id that no other commit has, in this process or another."""
    return f"{_process.name}{next(_process.commits)}"


class _Process:
    """What tells this process from others; made anew in a forked child."""

    def __init__(self) -> None:
        self.salt = os.urandom(16)
        self.name = urlsafe_b64encode(os.urandom(9)).decode()  # 16 of them are kept in each record
        self.commits = count()


_process = _Process()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.__init__)  # type: ignore[misc]
