"""Each folder imports what its card says, no module waits for itself, and the core is light."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import ctxlocal

PACKAGE = Path(ctxlocal.__file__).parent
# What is at the root for every folder to use. It imports nothing of ctxlocal.
ROOT = {
    f"ctxlocal.{name}"
    for name in (
        *("_async_library", "_at_once", "_empty_context", "_generic", "_lazy", "_run_all"),
        "_whole",
    )
}
# The root itself, and what starts the command line, stand above all folders.
ABOVE = {"ctxlocal", "ctxlocal.__main__"}
FOREIGN_TO_THE_CORE = {
    "asyncio",
    "dataclasses",
    "eventlet",
    "gevent",
    "greenlet",
    "http",
    "inspect",
    "typing",
    "werkzeug",
    "wsgiref",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NOT_PACKAGED = PACKAGE / "local" / "native"  # sources in C, and what makes some of them
MODULES = {
    module_name(path): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if NOT_PACKAGED not in path.parents
}
FOLDERS = [name for name, path in MODULES.items() if path.name == "__init__.py" and "." in name]
CORE = [
    name
    for name in MODULES
    if re.match(r"ctxlocal(\.(_generic|_lazy|_run_all|errors|ident|local|flow)\b|$)", name)
]


def imports_of(module: str, source: str, *, at_run_time: bool = False) -> Iterator[str]:
    """Name what a module imports, also inside functions and, unless told otherwise, for types."""
    is_package = MODULES.get(module, Path()).name == "__init__.py"
    package = module if is_package else module.rpartition(".")[0]
    for node in _nodes(ast.parse(source), at_run_time):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            origin = ".".join([*base, node.module] if node.module else base)
            for alias in node.names:
                name = f"{origin}.{alias.name}"
                yield name if name in MODULES else origin


def _nodes(tree: ast.AST, at_run_time: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if at_run_time and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from (found for other in node.orelse for found in _nodes(other, at_run_time))
            continue
        yield node
        yield from _nodes(node, at_run_time)


def is_in(module: str, folder: str) -> bool:
    return f"{module}.".startswith(f"{folder}.")


def card(folder: str) -> set[str] | None:
    """What a folder may import beside itself, as its docstring says; None where it says nothing."""
    doc = ast.get_docstring(ast.parse(MODULES[folder].read_text(encoding="utf-8"))) or ""
    found = re.search(r"^May import: (.*?)\.$", doc, re.DOTALL | re.MULTILINE)
    return None if found is None else set(re.findall(r"``(\S+?)``", found[1]))


def wrong_arrows(module: str, source: str) -> list[str]:
    """What a module imports against the card of a folder that it is in."""
    cards = {folder: card(folder) for folder in FOLDERS if is_in(module, folder)}
    return [
        f"{module} imports {imported}"
        for folder, allowed in cards.items()
        if allowed is not None
        for imported in imports_of(module, source)
        if is_in(imported, "ctxlocal") and imported not in ROOT and not is_in(imported, folder)
        if imported not in allowed  # ctxlocal itself has a card's word too
        if not any(is_in(imported, f"ctxlocal.{other}") for other in allowed)
    ]


def test_each_folder_of_the_root_has_a_card() -> None:
    assert [name for name in FOLDERS if name.count(".") == 1 and card(name) is None] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_what_its_folders_card_says(module: str) -> None:
    assert wrong_arrows(module, MODULES[module].read_text(encoding="utf-8")) == []


def test_the_walk_sees_imports_of_every_kind() -> None:
    wrong = """
from ..flow import bind
def function():
    import ctxlocal.cli
    from .. import flow
    from . import pure
if TYPE_CHECKING:
    from ..web.context import session
from ..errors import CtxLocalError
from .. import ident
import os
"""
    assert wrong_arrows("ctxlocal.local.storage", wrong) == [
        "ctxlocal.local.storage imports ctxlocal.flow",
        "ctxlocal.local.storage imports ctxlocal.cli",
        "ctxlocal.local.storage imports ctxlocal.flow",
        "ctxlocal.local.storage imports ctxlocal.web.context",
    ]


def test_what_is_at_the_root_imports_nothing_of_ctxlocal() -> None:
    for name in ROOT:
        source = MODULES[name].read_text(encoding="utf-8")
        assert [found for found in imports_of(name, source) if is_in(found, "ctxlocal")] == []
    files = {name for name in MODULES if name.count(".") == 1 and name not in FOLDERS}
    assert files == {*ROOT, "ctxlocal.__main__", "ctxlocal.errors"}


def test_no_module_needs_itself() -> None:
    """Neither on import nor from inside a function; what only types need is left out."""
    needed = {
        name: {
            found
            for found in imports_of(name, path.read_text(encoding="utf-8"), at_run_time=True)
            if found in MODULES
        }
        for name, path in MODULES.items()
        if name not in ABOVE
    }
    assert len(list(TopologicalSorter(needed).static_order())) >= len(needed)


@pytest.mark.parametrize("module", CORE)
def test_the_core_needs_the_standard_library_only(module: str) -> None:
    # greenlet is found only where a strategy asks for it.
    allowed = {*sys.stdlib_module_names, "annotationlib", "ctxlocal"}  # annotationlib: from 3.14 on
    if module == "ctxlocal.ident.greenlet":
        allowed.add("greenlet")
    source = MODULES[module].read_text(encoding="utf-8")
    imported = {name.partition(".")[0] for name in imports_of(module, source, at_run_time=True)}
    assert imported <= allowed


def test_import_loads_the_core_alone(run_python: Callable[..., str]) -> None:
    printed = run_python("""
        import sys
        before = set(sys.modules)
        import ctxlocal
        print(*sorted(set(sys.modules) - before))
    """)
    loaded = set(printed.split())
    assert not {name.partition(".")[0] for name in loaded} & FOREIGN_TO_THE_CORE
    core = {name for name in loaded if name.partition(".")[0] == "ctxlocal"}
    assert core <= {*CORE, "ctxlocal.local._native"} - {"ctxlocal.flow.executor"}
    assert not {name for name in loaded if "concurrent" in name or "site-packages" in name}


@pytest.mark.parametrize("package", ["ctxlocal", "ctxlocal.web"])
def test_import_loads_nothing_but_the_standard_library(
    package: str, run_python: Callable[..., str]
) -> None:
    printed = run_python(f"""
        import sys
        before = set(sys.modules)
        import {package}
        new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
        print(*sorted(new - set(sys.stdlib_module_names)))
    """)
    assert printed == "ctxlocal\n"


def test_the_package_lists_its_names_and_keeps_those_that_it_loads_late(
    run_python: Callable[..., str],
) -> None:
    printed = run_python("""
        import ctxlocal
        print(dir(ctxlocal) == sorted(set(dir(ctxlocal))), {*ctxlocal.__all__} <= {*dir(ctxlocal)})
        print("scoped" in vars(ctxlocal))
        print(ctxlocal.scoped is ctxlocal.scoped, "scoped" in vars(ctxlocal))
    """)
    assert printed.splitlines() == ["True True", "False", "True True"]


@pytest.mark.parametrize("module", ["ctxlocal", "ctxlocal.flow", "ctxlocal.local"])
def test_a_module_says_what_it_has_not(module: str, run_python: Callable[..., str]) -> None:
    printed = run_python(f"""
        import sys, {module}
        try:
            sys.modules[{module!r}].nothing
        except AttributeError as error:
            print(error)
    """)
    assert printed == f"module {module!r} has no attribute 'nothing'\n"


def test_each_module_has_what_it_says_that_it_has(run_python: Callable[..., str]) -> None:
    """In a Python of its own: some are a server's, and change what is the process's."""
    modules = [name for name in MODULES if not name.endswith("__main__")]
    printed = run_python(f"""
        from importlib import import_module
        for module in {modules}:
            found = import_module(module)
            listed = getattr(found, "__all__", [])
            if missing := [name for name in listed if not hasattr(found, name)]:
                print(module, "has no", missing)
            if len(set(listed)) < len(listed):
                print(module, "lists a name twice")
    """)
    assert printed == ""
