"""The kinds of servers, by what runs their requests at once, and what tells these apart.

``doctor`` judges by the kind, ``soak`` starts the servers of each (catalogue.py), and ``demo``
serves its shop by one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..matrix.place import Context, Owner, Place


@dataclass(frozen=True)
class Kind:
    """One kind of server.

    :param request: where a request runs, seen from the one before it.
    :param strategies: those made for it, of all that isolate its requests; the default first.
    """

    request: Place
    strategies: tuple[str, ...]


_GREENLET = Place(greenlet=Owner.OTHER, context=Context.OWN)
KINDS = {
    "asyncio": Kind(Place(task=Owner.OTHER, context=Context.COPY), ("context", "task")),
    "trio": Kind(Place(context=Context.COPY), ("context",)),
    "gevent": Kind(_GREENLET, ("context", "gevent")),
    "eventlet": Kind(_GREENLET, ("context", "eventlet")),
    "threads": Kind(Place(thread=Owner.OTHER, context=Context.OWN), ("context", "thread")),
}
LOOPS = ("asyncio", "trio")
