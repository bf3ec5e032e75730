"""Stores of others by URL: what a scheme opens, registered here or by an installed package.

A package names what opens its stores in an entry point, whose name is the scheme:

    [project.entry-points."ctxlocal.stores"]
    dynamodb = "dynamo_sessions"

It is imported when a URL of that scheme is opened, and not before. Ours are looked for first, so
no package takes one of them.
https://packaging.python.org/en/latest/specifications/entry-points/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ..errors import SessionConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from .protocol import Store

GROUP = "ctxlocal.stores"
#: What begins our own schemes; a ``+`` and more may follow each.
OURS = (
    *("memory", "sqlite", "redis", "rediss", "unix"),
    *("postgres", "postgresql", "mysql", "mariadb"),
)
_registered: dict[str, Opener] = {}
_is_scheme = re.compile(r"[a-z][a-z0-9+.-]*").fullmatch  # RFC 3986, 3.1


class Opener(Protocol):
    """What makes stores of URLs: any object with this function, as a module.

    It may have ``open_async_store(url)``, too, which returns an
    :class:`~ctxlocal.sessions.stores.protocol.AsyncStore`. Without it the store is run in threads
    where an asynchronous one is wanted.
    """

    def open_store(self, url: str) -> Store:
        """Return the store that a URL names, which connects when it is first used.

        Its ``name``, and the text of an error, hold no password.

        :raises SessionConfigError: the URL cannot be used.
        """


def register_store(scheme: str, opener: Opener) -> None:
    """Let ``open_store(url)``, ``open_async_store(url)`` and ``ctxlocal sessions`` know a scheme.

    For this process; a package that others install has an entry point in the group
    ``ctxlocal.stores`` instead, which the command line finds too. What is registered counts
    before these, and the last before those of the same scheme.

    :param scheme: what stands before ``://``, in small letters.
    :param opener: an object, as a module, with the function ``open_store(url)`` and, if it has an
        asynchronous store, ``open_async_store(url)``; see :class:`Opener`.
    :raises SessionConfigError: the scheme is ours, or none; the object has no such function.
    """
    if not _is_scheme(scheme):
        raise SessionConfigError("scheme", f"{scheme!r} is none: small letters, digits, + . -")
    if is_ours(scheme):
        raise SessionConfigError("scheme", f"{scheme!r} is ctxlocal's own; choose another")
    _refuse_useless(opener, scheme)
    _registered[scheme] = opener


def is_ours(scheme: str) -> bool:
    """Whether a scheme is one of ours, or one that ours may be one day."""
    return scheme.partition("+")[0] in OURS


def opener_of(scheme: str) -> Opener | None:
    """Return what opens the URLs of a scheme; None if nothing does.

    :raises SessionConfigError: it cannot be imported, or two packages have that scheme.
    """
    if (registered := _registered.get(scheme)) is not None:
        return registered
    found = {each.value: each for each in _entries() if each.name == scheme}
    if not found:
        return None
    if len(found) > 1:
        problem = f"{' and '.join(sorted(found))} both open {scheme}://; uninstall one"
        raise SessionConfigError("url", problem)
    return _load(*found.values())


def known() -> Sequence[str]:
    """Return the schemes that others have brought."""
    return sorted({*_registered, *(each.name for each in _entries())})


def _entries() -> Sequence[EntryPoint]:
    from importlib.metadata import entry_points  # 10 ms, for those alone who need it

    return [each for each in entry_points(group=GROUP) if not is_ours(each.name)]


def _load(entry: EntryPoint) -> Opener:
    try:
        opener: Opener = entry.load()
    except Exception as error:  # whatever an import may raise
        problem = f"what opens {entry.name}:// cannot be imported: {entry.value}, {_of(entry)}"
        reason = f"{type(error).__name__}: {error}"
        raise SessionConfigError("url", f"{problem}: {reason}") from error
    _refuse_useless(opener, entry.name)
    return opener


def _of(entry: EntryPoint) -> str:
    return f"of {entry.dist.name} {entry.dist.version}" if entry.dist else "of an unknown package"


def _refuse_useless(opener: object, scheme: str) -> None:
    if not callable(getattr(opener, "open_store", None)):
        raise SessionConfigError(
            "opener", f"what opens {scheme}:// needs a function open_store(url); got {opener!r}"
        )
