"""Scoped: other values in a Local for the length of a block; for both twins."""

from __future__ import annotations

import sys

from .scope import Scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .pure.local import Local


class Scoped(Scope):
    """A ``with`` block in which a Local has other values; its value is the Local."""

    __slots__ = ("_former", "_local", "_values")

    def __init__(self, local: Local, values: dict[str, Any], strict: bool) -> None:
        super().__init__(local._ctxlocal_slot, strict)
        _refuse_undeclared(local, values)
        self._local = local
        self._values = values

    def __enter__(self) -> Local:  # type: ignore[override]
        super().__enter__()
        return self._local

    def _apply(self) -> None:
        self._former = {}
        try:
            for name, value in self._values.items():
                former = self._local._ctxlocal_now(name)
                setattr(self._local, name, value)
                self._former[name] = former
        except BaseException:
            self._restore()
            raise

    def _restore(self) -> None:
        for name, pair in self._former.items():
            if pair is not None:
                setattr(self._local, name, pair[1])
            elif self._local._ctxlocal_now(name) is not None:
                delattr(self._local, name)


def _refuse_undeclared(local: Local, names: Iterable[str]) -> None:
    """Refuse a name that a class which annotates its attributes does not have: a typo.

    No type checker sees it, as the names are those of ``**values``.
    """
    kind = local.__class__
    declared = set(_declared(kind))
    for name in names:
        if declared and name not in declared and not hasattr(kind, name):
            raise TypeError(
                f"scoped() of {local!r} was given {name!r}, and {kind.__name__} declares no such "
                f"attribute. It has {', '.join(sorted(declared))}; annotate {name!r} there too, "
                "or correct the name."
            )


def _declared(kind: type) -> Iterator[str]:
    """Yield the names that the classes below Local annotate, with or without a value."""
    for base in kind.__mro__:
        if base.__module__ == "ctxlocal":  # Local
            return
        yield from _annotations(base)


if sys.version_info >= (3, 14):

    def _annotations(kind: type) -> Iterable[str]:
        from annotationlib import Format, get_annotations  # which takes milliseconds

        # What they mean may be importable for type checkers only.
        return get_annotations(kind, format=Format.FORWARDREF)

else:

    def _annotations(kind: type) -> Iterable[str]:
        # Importing inspect for its function would take longer than importing ctxlocal.
        names: dict[str, Any] = kind.__dict__.get("__annotations__", {})  # noqa: RUF063
        return names
