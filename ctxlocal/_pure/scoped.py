"""Scoped: other values in a Local for the length of a block; for both twins."""

from __future__ import annotations

from .scope import Scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .local import Local


class Scoped(Scope):
    """A ``with`` block in which a Local has other values; its value is the Local."""

    __slots__ = ("_former", "_local", "_values")

    def __init__(self, local: Local, values: dict[str, Any], strict: bool) -> None:
        super().__init__(local._ctxlocal_slot, strict)
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
