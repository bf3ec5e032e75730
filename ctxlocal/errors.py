"""Every error ctxlocal raises on purpose.

Each one is a :class:`CtxLocalError` and also the built-in that a caller would
expect there. What the message says stands in attributes too.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = [
    "CtxLocalError",
    "FrameBusyError",
    "FrameClosedError",
    "HubMismatchError",
    "IdentCallableError",
    "IdentInUseError",
    "MissingDependencyError",
    "ResolverError",
    "ScopeLostError",
    "UnboundAttributeError",
    "UnboundError",
    "UnknownIdentError",
    "WireError",
]


class CtxLocalError(Exception):
    """The root of all errors of this package.

    One may be pickled, as a pool of processes does: it comes back with its text, and with its
    attributes but for objects of the process that it was raised in, which are None then.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by a call of the class, as other exceptions are: a text is no argument of ours.
        told = {
            name: value if isinstance(value, _PLAIN) else None for name, value in vars(self).items()
        }
        return _remade, (type(self), self.args, told)


_PLAIN = (str, int, float, tuple, list)  # a list has the notes


def _remade(kind: type[CtxLocalError], args: tuple[Any, ...], told: dict[str, Any]) -> Any:
    error = kind.__new__(kind)
    error.args = args
    vars(error).update(told)
    return error


class UnknownIdentError(CtxLocalError, ValueError):
    """An identity strategy was asked for that does not exist.

    ``ident`` is what was given, ``source`` where it came from, ``known`` the
    names that exist.
    """

    def __init__(self, ident: object, source: str, known: Sequence[str]) -> None:
        self.ident = ident
        self.source = source
        self.known = tuple(known)
        super().__init__(
            f"{source} is {ident!r}, which is no identity strategy. Use one of "
            f"{', '.join(map(repr, self.known))}, a strategy object of ctxlocal.ident, "
            "or a callable without arguments that returns the owner."
        )


class IdentCallableError(CtxLocalError, TypeError):
    """A callable cannot serve as an identity: it needs arguments, or returned an unusable value.

    ``function`` is the callable.
    """

    def __init__(self, function: object, problem: str) -> None:
        self.function = function
        super().__init__(
            f"{function!r} cannot serve as an identity: {problem}. It is called without "
            "arguments and has to return the owner: any object that can be weakly "
            "referenced, or else a hashable value."
        )


class MissingDependencyError(CtxLocalError, ImportError):
    """A strategy or a part needs a package that is not installed.

    ``package`` is its name, ``extra`` the extra of ctxlocal that brings it.
    """

    def __init__(self, what: str, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"{what} needs {package}, which is not installed. "
            f"Install it with: pip install {package} "
            f"(ctxlocal's extra [{extra}] has all it goes with)."
        )


class HubMismatchError(CtxLocalError, RuntimeError):
    """The strategy names one hub, but another one runs the current greenlet.

    ``expected`` and ``running`` are "gevent" or "eventlet".
    """

    def __init__(self, expected: str, running: str) -> None:
        self.expected = expected
        self.running = running
        super().__init__(
            f"The identity strategy is {expected!r}, but the hub of this thread is "
            f"{running}'s. Use ident={running!r}, or 'greenlet', which serves both."
        )


class IdentInUseError(CtxLocalError, RuntimeError):
    """The application's default strategy was changed while values are stored under the old one.

    ``locals`` are the names of the locals that hold values.
    """

    def __init__(self, old: str, new: str, locals: Sequence[str]) -> None:
        self.old = old
        self.new = new
        self.locals = tuple(locals)
        super().__init__(
            f"The default strategy cannot change from {old!r} to {new!r}: values are stored in "
            f"{', '.join(self.locals)}. Call set_default() before the first value is stored, "
            "release these locals first, or pass discard=True to drop their values."
        )


class UnboundError(CtxLocalError, RuntimeError):
    """A proxy was used where the current owner has bound nothing to it.

    ``proxy`` describes the proxy, ``ident`` is the strategy's name and
    ``owner`` describes the owner; they are None where a message of the
    application's own (``unbound_message``) takes their place.
    """

    def __init__(
        self,
        message: str,
        *,
        proxy: str | None = None,
        ident: str | None = None,
        owner: str | None = None,
    ) -> None:
        self.proxy = proxy
        self.ident = ident
        self.owner = owner
        super().__init__(message)


class UnboundAttributeError(UnboundError, AttributeError):
    """An attribute of an unbound proxy was asked for.

    It is an AttributeError too, so that ``hasattr`` and ``getattr`` with a
    default work on an unbound proxy. ``name`` is the attribute.
    """


class ResolverError(CtxLocalError, RuntimeError):
    """The callable behind a proxy raised AttributeError.

    It is not passed on as it is, because it would be mistaken for a missing
    attribute of the target. The original is the ``__cause__``.
    """

    def __init__(self, resolver: object) -> None:
        self.resolver = resolver
        super().__init__(
            f"{resolver!r}, which finds the object behind a proxy, raised AttributeError "
            "itself; see the cause."
        )


class ScopeLostError(CtxLocalError, RuntimeError):
    """A strict scope was left in an owner that had not entered it; nothing was restored there.

    ``target`` describes the Local or LocalStack.
    """

    def __init__(self, target: str, owner: str) -> None:
        self.target = target
        self.owner = owner
        super().__init__(
            f"A scope of {target} was left in {owner}, where it is not (or no longer) entered. "
            "Nothing was restored there. Leave a scope in the owner that entered it, and "
            "nested scopes in reverse order."
        )


class FrameBusyError(CtxLocalError, RuntimeError):
    """A Frame was entered while it, or another greenlet's frame on the same thread, is active.

    ``frame`` is the frame that is active, ``greenlet`` the one that holds the thread; the
    other of the two is None.
    """

    def __init__(self, message: str, *, frame: object = None, greenlet: object = None) -> None:
        self.frame = frame
        self.greenlet = greenlet
        super().__init__(message)


class FrameClosedError(CtxLocalError, RuntimeError):
    """A Frame was entered after it had been closed. ``frame`` is the frame."""

    def __init__(self, message: str, *, frame: object) -> None:
        self.frame = frame
        super().__init__(message)


class WireError(CtxLocalError, ValueError):
    """What was to leave the process cannot, or what came into it is nothing that could have left.

    ``local`` is the name of the Local, ``name`` the attribute's; each None where it is not about
    one. The message has no value.
    """

    def __init__(self, message: str, *, local: str | None = None, name: str | None = None) -> None:
        self.local = local
        self.name = name
        super().__init__(message)


def endless() -> RecursionError:
    """Return the error where proxies lead to proxies, more often than Python lets calls nest."""
    return RecursionError(
        f"more than {sys.getrecursionlimit()} proxies lead to one another; one of them is its own "
        "target, or the target of its target."
    )
