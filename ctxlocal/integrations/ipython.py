"""An extension of IPython and Jupyter: ``%load_ext ctxlocal``.

A Local shows what the current owner has, ``<Local 'user' name='ada'>``, and what a cell sets is
there in the next one, also where the cell awaits: IPython runs such a cell as a task of its own,
which is another owner under the strategies ``context`` and ``task``. ``%unload_ext ctxlocal`` takes
both away. For IPython from 8.18 on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..flow import snapshot
from ..local import Local

_TEXT = "text/plain"


def load_ipython_extension(shell: Any) -> None:
    """Show values of Locals in a shell, and keep them from cell to cell. Twice is once."""
    shell.display_formatter.formatters[_TEXT].for_type(Local, _show)
    if not isinstance(shell.run_ast_nodes, _Cells):
        shell.run_ast_nodes = cells = _Cells(shell.run_ast_nodes)
        shell.Completer.custom_matchers.append(cells.complete)


def unload_ipython_extension(shell: Any) -> None:
    """Let the shell be as it was."""
    shell.display_formatter.formatters[_TEXT].pop(Local, None)
    if isinstance(cells := shell.run_ast_nodes, _Cells):
        del shell.run_ast_nodes
        shell.Completer.custom_matchers.remove(cells.complete)


class _Cells:
    """Runs the statements of each cell, as the shell does, with what the cells before have set.

    :param run: the shell's own method; it is called in the owner that the cell is to have.
    """

    def __init__(self, run: Callable[..., Awaitable[Any]]) -> None:
        self._run = run
        self._before = self._after = snapshot()

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # Compared with what this owner had by itself: so the cells' changes add up.
        before = snapshot()
        self._put_back()
        try:
            return await self._run(*args, **kwargs)
        finally:
            self._before, self._after = before, snapshot()

    def complete(self, text: str) -> list[str]:
        """Complete nothing: a matcher after which the shell's own find the cells' values."""
        self._put_back()
        return []

    def _put_back(self) -> None:
        self._after.put_back(self._before)


def _show(local: Local, printer: Any, cycle: bool) -> None:
    with printer.group(1, repr(local)[:-1], ">"):
        if cycle:
            printer.text(" ...")
            return
        for name, value in Local.__iter__(local):
            printer.breakable()
            printer.text(f"{name}=")
            printer.pretty(value)
