"""A visitor's session that is one of ours."""

from __future__ import annotations

from typing import Any

from ...sessions.session import Session
from ...web.context import session


class Ours:
    """A session of ours.

    :param session: or a proxy of one; that of the request context.
    """

    def __init__(self, session: Session = session) -> None:
        self._session = session

    def names(self) -> list[str]:
        """Return the names of its values."""
        return list(self._session)

    def get(self, name: str) -> Any:
        """Return a value."""
        return self._session[name]

    def put(self, name: str, value: str) -> None:
        """Set a value."""
        self._session[name] = value

    def count(self) -> None:
        """Count the visit; no increment is lost."""
        self._session.incr("hits")

    def hits(self) -> int:
        """Return how many were counted."""
        hits: int = self._session.get("hits", 0)
        return hits

    def flash(self, text: str) -> None:
        """Keep a message."""
        self._session.flash(text)

    def flashed(self) -> list[str]:
        """Take the messages."""
        return [text for _, text in self._session.get_flashed()]

    def end(self) -> None:
        """End the session."""
        self._session.destroy()
