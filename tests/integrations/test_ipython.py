"""A shell of IPython, in a Python of its own: what its cells show, keep and complete."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from ..support.pages import ROOT

pytest.importorskip("IPython")

SHELL = """
    import json, sys
    from IPython.core.completer import provisionalcompleter
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    show = shell.display_formatter.format

    def run(cell):
        result = shell.run_cell(cell, store_history=True)
        result.raise_error()
        return None if result.result is None else show(result.result)[0]["text/plain"]

    def complete(text):
        with provisionalcompleter():
            found = shell.Completer.completions(text, len(text))
            return [completion.text.rpartition(".")[2] for completion in found]
"""

Cells = Callable[..., list[Any]]


@pytest.fixture
def run_cells(run_python: Callable[..., str]) -> Cells:
    """Run cells one after the other; return what each shows."""

    def run(*cells: str, **environment: str) -> list[Any]:
        code = f"{SHELL}\n    print(json.dumps([run(cell) for cell in {cells!r}]))"
        found: list[Any] = json.loads(run_python(code, **environment).splitlines()[-1])
        return found

    return run


def cells_of_the_page() -> tuple[list[str], dict[int, str]]:
    """Return the cells of docs/ipython.md, and what is shown by those that show something."""
    text = (ROOT / "docs" / "ipython.md").read_text()
    (block,) = re.findall(r"^```ipython\n(.*?)^```", text, flags=re.M | re.S)
    cells = re.findall(r"^In \[\d+\]: (.*)$", block, flags=re.M)
    shown = re.findall(r"^Out\[(\d+)\]: (.*)$", block, flags=re.M)
    return cells, {int(number): text for number, text in shown}


@pytest.mark.parametrize("twin", ["native"], indirect=True)
@pytest.mark.parametrize("strategy", ["context", "task"])
def test_cells_of_the_page_show_what_it_says(run_cells: Cells, strategy: str) -> None:
    cells, shown = cells_of_the_page()
    found = run_cells(*cells, CTXLOCAL_IDENT=strategy)
    assert {number: text for number, text in enumerate(found, 1) if text is not None} == shown


def test_what_a_cell_changes_is_so_in_the_next(run_cells: Cells) -> None:
    *_, kept, taken, itself, without = run_cells(
        "%load_ext ctxlocal",
        "%reload_ext ctxlocal",
        "from asyncio import sleep; from ctxlocal import Local, LocalStack",
        "local = Local(name='local'); stack = LocalStack()",
        "local.a = 1; stack.push('below')",
        "await sleep(0); local.b = 2; stack.push('top')",
        "await sleep(0); local.c = 3; del local.a",
        "dict(local), stack.top",
        "await sleep(0); (stack.pop(), stack.pop(), stack.top)",
        "stack.push(local); local.b = local.c = local; local",
        "%unload_ext ctxlocal\nlocal",
    )
    assert (kept, taken) == ("({'b': 2, 'c': 3}, 'top')", "('top', 'below', None)")
    assert itself == "<Local 'local' b=<Local 'local' ...> c=<Local 'local' ...>>"
    assert without == "<Local 'local'>"


@pytest.mark.parametrize(
    "twin", ["native"], indirect=True
)  # the stricter one: it has no properties
def test_completion_offers_what_is_there(run_python: Callable[..., str]) -> None:
    code = f"""
    {SHELL}
    run("%load_ext ctxlocal")
    run("from asyncio import sleep; from ctxlocal import Local, LocalStack, proxy")
    run("local = Local(name='local'); stack = LocalStack(); request = proxy(stack, like=dict)")
    run("await sleep(0); local.first = 1")
    for shell.Completer.use_jedi in (False, True):
        print("=", complete("local.fi"), complete("request.ke"))
    run("from ctxlocal.sessions import StoredSessions")
    run("from ctxlocal.sessions.stores.memory import MemoryStore")
    run("session = StoredSessions(MemoryStore()).open(''); session['cart'] = 'secret'")
    run("await sleep(0); stack.push(session)")
    print("=", complete("session['"), complete("request['"), run("session"))
    """
    found = [line for line in run_python(code).splitlines() if line.startswith("=")]
    assert found == ["= ['first'] ['keys']"] * 2 + ["= ['cart'] ['cart'] <QuickSession loaded>"]
