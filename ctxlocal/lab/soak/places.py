"""Where a request keeps its secret, and looks for what others have left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from ...local import Local, LocalStack
from ...web.context import g, has_request_context
from .ledger import Ledger

#: Set inside of a request's frame, which has to keep it there.
inside: ContextVar[str | None] = ContextVar("soak_inside", default=None)
#: Set around it, where servers keep it for a connection's or a worker's next request.
outside: ContextVar[str | None] = ContextVar("soak_outside", default=None)


VARIABLE, OUTSIDE = "ContextVar", "variable of the server's"  # as the ledger calls them


class Places:
    """A Local, a LocalStack, ``g`` and a plain context variable, with a secret in each.

    :param make_local: makes the Local; a soak may be sabotaged.
    :param hides_variables: whether a request is to find no foreign context variable: Django's
        middleware hands them through.
    """

    def __init__(
        self,
        ledger: Ledger,
        make_local: Callable[[], Any] = Local,
        *,
        hides_variables: bool = True,
    ) -> None:
        self.ledger = ledger
        self._hides_variables = hides_variables
        self._local = make_local()
        self._stack = LocalStack[str]()

    def look_around(self, visit: str, secret: str) -> None:
        """Before any middleware: nothing of an earlier request may be here."""
        self._note_stale(visit, "before the middleware", self._left())
        if has_request_context():
            self.ledger.wrong("stale_values", f"{visit} found a request context of another")
        if outside.get() is not None:
            self.ledger.server_leaked()
        outside.set(secret)

    def look_inside(self, visit: str) -> None:
        """At the start of a view: not even what the server has kept may be here."""
        self._note_stale(visit, "in its frame", self._left())
        kept = [(OUTSIDE, outside.get()), ("g", next(iter(g), None))]
        self._note_stale(visit, "in its frame", [pair for pair in kept if pair[1] is not None])

    def write(self, secret: str) -> None:
        """Put the secret in every place."""
        self._local.secret = g.secret = secret
        self._stack.push(secret)
        inside.set(secret)

    def check(self, visit: str, secret: str) -> None:
        """Every place has to hold this secret."""
        for place, found in self._held():
            if found != secret:
                self.ledger.wrong("foreign_reads", f"{visit} read {found!r} from its {place}")

    def check_free(self, visit: str, secret: str) -> None:
        """For work that was started without a word: what is here is nobody's, or its creator's."""
        for place, found in self._left():
            if found != secret:
                self.ledger.wrong("foreign_reads", f"{visit} found {found!r} in its {place}")

    def write_own(self, secret: str) -> None:
        """Put a secret where no request is needed, for work that a request has started."""
        self._local.secret = secret
        inside.set(secret)

    def check_own(self, visit: str, secret: str) -> None:
        """What :meth:`write_own` has written has to be there."""
        for place, found in (("Local", self._secret()), (VARIABLE, inside.get())):
            if found != secret:
                self.ledger.wrong("foreign_reads", f"{visit} read {found!r} from its {place}")

    def _secret(self) -> Any:
        return getattr(self._local, "secret", None)

    def _held(self) -> Iterator[tuple[str, Any]]:
        yield "Local", self._secret()
        yield "LocalStack", self._stack.top
        yield VARIABLE, inside.get()
        yield "g", g.get("secret")

    def _left(self) -> list[tuple[str, Any]]:
        found = [
            ("Local", self._secret()),
            ("LocalStack", self._stack.top),
            (VARIABLE, inside.get()),
        ]
        return [pair for pair in found if pair[1] is not None]

    def _note_stale(self, visit: str, where: str, found: list[tuple[str, Any]]) -> None:
        for place, value in found:
            if place in (VARIABLE, OUTSIDE) and not self._hides_variables:
                continue
            self.ledger.wrong("stale_values", f"{visit} found {value!r} in its {place} {where}")
