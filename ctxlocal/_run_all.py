"""run_all: the one way in which teardowns, callbacks and their like are called."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec

    P = ParamSpec("P")


def run_all(functions: list[Callable[P, object]], *args: P.args, **kwargs: P.kwargs) -> None:
    """Take every function out of the list and call it, the last one first, even if some raise.

    Each is taken before it is called: it is called once, whoever else works on the list. The
    last error is raised in the end, also a KeyboardInterrupt or SystemExit, with the earlier
    ones as its ``__context__``.
    """
    while functions:
        try:
            functions.pop()(*args, **kwargs)
        except BaseException:
            run_all(functions, *args, **kwargs)
            raise
