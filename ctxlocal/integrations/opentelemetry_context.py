"""A context runtime for OpenTelemetry: the current span belongs to the owner of your strategy.

OpenTelemetry takes it where ``OTEL_PYTHON_CONTEXT=ctxlocal`` is in the environment. So spans follow
tasks, greenlets or threads as Locals do, and go with ``flow.bind`` and ContextThreadPoolExecutor;
and a span that ends in another task, thread or Context than it began in ends quietly, as that of a
generator does that somebody else closes. https://opentelemetry.io/docs/specs/otel/context/
"""

from __future__ import annotations

from .. import ident
from ..errors import MissingDependencyError
from ..local import LocalStack

try:
    # Of the package itself only this is there yet: it is just choosing its runtime.
    from opentelemetry.context.context import Context
except ImportError as error:
    raise MissingDependencyError(
        "ctxlocal.integrations.opentelemetry_context", "opentelemetry-api", "opentelemetry"
    ) from error


class Token:
    """An attached context, until it is detached: which, where, and whether it was."""

    __slots__ = ("context", "is_detached", "owner")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.owner = ident.current()
        self.is_detached = False


class Runtime:
    """What ``opentelemetry.context`` asks for the current context.

    An owner's tokens lie one above the other, and the topmost is current. One that is detached
    goes wherever it lies, so that ends in any order leave current what has not ended. Another
    owner that started with a copy of them, as a task does, keeps those it has.
    """

    def __init__(self) -> None:
        self._attached: LocalStack[Token] = LocalStack(name="opentelemetry")

    def attach(self, context: Context) -> Token:
        """Make a context the current one; return what :meth:`detach` takes. About 1 microsecond."""
        token = Token(context)
        self._attached.push(token)
        return token

    def get_current(self) -> Context:
        """Return the owner's current context; an empty one where none is attached."""
        while (top := self._attached.top) is not None:
            if not top.is_detached or top.owner != ident.current():
                return top.context
            self._attached.pop()  # another owner has detached it, which could not do this
        return _NOTHING

    def detach(self, token: Token) -> None:
        """Take a context away; in an owner that does not have it nothing changes. O(attached)."""
        token.is_detached = True
        above = []
        while (found := self._attached.pop()) not in (None, token):
            above.append(found)
        for other in reversed(above):
            self._attached.push(other)


_NOTHING = Context()
