"""Dependencies point one way only, and importing the core loads the core alone."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

import ctxlocal

PACKAGE = Path(ctxlocal.__file__).parent

# Each module may import those of earlier lines; those of its own line it may not.
ORDER = (
    ("ctxlocal.errors", "ctxlocal._generic", "ctxlocal.local.signature", "ctxlocal._run_all"),
    ("ctxlocal.ident.record",),
    ("ctxlocal.ident.by_equality",),
    ("ctxlocal.ident.strategy",),
    ("ctxlocal.ident",),
    ("ctxlocal.local.storage", "ctxlocal.local.pure.hook", "ctxlocal.local.pure.latch"),
    ("ctxlocal.local.unbound",),
    ("ctxlocal.local.scope", "ctxlocal.local.pure.cell", "ctxlocal.local.values_view"),
    ("ctxlocal.local.pure.attribute",),
    ("ctxlocal.local.pure.local", "ctxlocal.local.pure.stack", "ctxlocal.local.manager"),
    ("ctxlocal.local.pure.resolver", "ctxlocal.local.scoped", "ctxlocal.local.like"),
    ("ctxlocal.local.pure.proxy",),
    ("ctxlocal.local._native",),  # in C: it imports what it needs of these at run time
    ("ctxlocal.local", "ctxlocal.flow.swap"),
    ("ctxlocal.flow.frame",),
    ("ctxlocal.flow.executor",),
    ("ctxlocal.flow",),
    ("ctxlocal.local.pure", "ctxlocal._lazy"),
    ("ctxlocal",),
    ("ctxlocal._async_library", "ctxlocal._at_once"),
    # Sessions: they know nothing of requests, and no concrete store.
    ("ctxlocal.sessions.errors", "ctxlocal.sessions.in_store.token"),
    ("ctxlocal.sessions.stores.protocol", "ctxlocal.sessions.lifetime", "ctxlocal.sessions.events"),
    ("ctxlocal.sessions.handle",),
    ("ctxlocal.sessions.scalars", "ctxlocal.sessions.depth"),
    (
        "ctxlocal.sessions.codec",
        "ctxlocal.sessions.cookie",
        "ctxlocal.sessions.in_cookie.keyring",
    ),
    ("ctxlocal.sessions.jsonable", "ctxlocal.sessions.sameness"),
    (
        "ctxlocal.sessions.fields",
        "ctxlocal.sessions.in_cookie.envelope",
        "ctxlocal.sessions.stores.threaded",
    ),
    (
        "ctxlocal.sessions.session",
        "ctxlocal.sessions.in_cookie.sealer",
        "ctxlocal.sessions.in_cookie.signer",
    ),
    ("ctxlocal.sessions.schema",),
    ("ctxlocal.sessions.interface", "ctxlocal.sessions.in_store.settings"),
    ("ctxlocal.sessions.in_store.session", "ctxlocal.sessions.in_cookie.sessions"),
    ("ctxlocal.sessions.in_store.typed", "ctxlocal.sessions.in_store.quick"),
    ("ctxlocal.sessions.in_store.sessions",),
    ("ctxlocal.sessions",),
    # Stores: they know the protocol, and nothing of sessions.
    ("ctxlocal.sessions.stores", "ctxlocal.sessions.stores.merge"),
    ("ctxlocal.sessions.stores.unreadable", "ctxlocal.sessions.stores.forwarding"),
    ("ctxlocal.sessions.stores.sqlite.file", "ctxlocal.sessions.stores.redis.scripts"),
    ("ctxlocal.sessions.stores.redis.calls",),
    ("ctxlocal.sessions.stores.redis.records",),
    ("ctxlocal.sessions.stores.redis.steps", "ctxlocal.sessions.stores.sql.steps"),
    ("ctxlocal.sessions.stores.memory", "ctxlocal.sessions.stores.sqlite"),
    ("ctxlocal.sessions.stores.redis.direct",),
    ("ctxlocal.sessions.stores.redis", "ctxlocal.sessions.stores.sql"),
    ("ctxlocal.sessions.stores.url",),
    ("ctxlocal.testing._trial",),
    ("ctxlocal.testing._rules",),
    ("ctxlocal.testing._renewals",),
    ("ctxlocal.testing.store",),
    ("ctxlocal.testing",),
    # Requests.
    ("ctxlocal.web.call", "ctxlocal.web.error_response", "ctxlocal.web.session_end"),
    ("ctxlocal.web.insecure_cookie", "ctxlocal.web.json"),
    ("ctxlocal.web.request_thread",),
    ("ctxlocal.web.inherit", "ctxlocal.web.adoption"),
    ("ctxlocal.web.contexts",),
    ("ctxlocal.web.context", "ctxlocal.web.signals"),
    (
        "ctxlocal.web.app.once",
        "ctxlocal.web.app.messages",
        "ctxlocal.web.app.test_client",
        "ctxlocal.web.asgi.environ",
    ),
    ("ctxlocal.web.app.registry", "ctxlocal.web.asgi.thread"),
    ("ctxlocal.web.wsgi", "ctxlocal.web.asgi"),
    ("ctxlocal.web.asgi.body",),
    ("ctxlocal.web.app.asgi",),
    ("ctxlocal.web.app",),
    ("ctxlocal.cli",),  # and all that is in it, whose own order is its own affair
    ("ctxlocal.__main__",),
)
RANK = {module: rank for rank, line in enumerate(ORDER) for module in line}
# What returns something of a later module is typed by its name; at run time it is not imported.
NAMED_IN_TYPES = {
    ("ctxlocal.local.pure.stack", "ctxlocal.local.pure.proxy"),
    ("ctxlocal.web.context", "ctxlocal.web.app"),
}
CORE = {module for module, rank in RANK.items() if rank <= RANK["ctxlocal"]}
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


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(module: str, source: str, *, at_run_time: bool = False) -> Iterator[str]:
    """Name what a module imports, also inside functions and for type checkers."""
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


def rank(module: str) -> int | None:
    """Return a module's place, None where it has none."""
    return RANK.get("ctxlocal.cli" if module.startswith("ctxlocal.cli.") else module)


def wrong_arrows(module: str, source: str) -> list[str]:
    own = rank(module)
    assert own is not None, f"{module} has no place in ORDER; DESIGN.md says where it belongs"
    found = []
    at_run_time = set(imports_of(module, source, at_run_time=True))
    for imported in imports_of(module, source):
        if (module, imported) in NAMED_IN_TYPES and imported not in at_run_time:
            continue
        if imported.partition(".")[0] != "ctxlocal":
            continue
        other = rank(imported)
        is_cli = own == other == RANK["ctxlocal.cli"]
        if other is None or not (other < own or is_cli):
            found.append(f"{module} imports {imported}")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_those_below_it(module: str) -> None:
    assert wrong_arrows(module, MODULES[module].read_text(encoding="utf-8")) == []


def test_the_walk_sees_imports_of_every_kind() -> None:
    wrong = """
from ..flow import bind
def function():
    import ctxlocal.cli
    from .. import flow
    from . import proxy as p
if TYPE_CHECKING:
    from .local import Local
from ..errors import CtxLocalError
from .. import ident
import os
"""
    assert wrong_arrows("ctxlocal.local.storage", wrong) == [
        "ctxlocal.local.storage imports ctxlocal.flow",
        "ctxlocal.local.storage imports ctxlocal.cli",
        "ctxlocal.local.storage imports ctxlocal.flow",
        "ctxlocal.local.storage imports ctxlocal.local.pure.proxy",
        "ctxlocal.local.storage imports ctxlocal.local.pure.local",
    ]
    with pytest.raises(AssertionError, match=r"^ctxlocal\.unknown has no place in ORDER"):
        wrong_arrows("ctxlocal.unknown", "")


@pytest.mark.parametrize(
    "module", [name for name, path in MODULES.items() if "__all__ =" in path.read_text()]
)
def test_what_a_module_says_is_public_is_there(module: str) -> None:
    found = import_module(module)
    assert [name for name in found.__all__ if not hasattr(found, name)] == []


@pytest.mark.parametrize("module", [name for name in MODULES if ".session.stores" in name])
def test_stores_know_the_protocol_and_nothing_of_sessions(module: str) -> None:
    known = (
        "_impl",
        "_at_once",
        "errors",
        "session.errors",
        "session.protocol",
        "session.threaded",
        "session.stores",
    )
    imported = imports_of(module, MODULES[module].read_text(encoding="utf-8"))
    ours = [name for name in imported if name.partition(".")[0] == "ctxlocal"]
    allowed = tuple(f"ctxlocal.{name}" for name in known)
    assert [name for name in ours if not name.startswith(allowed)] == []


@pytest.mark.parametrize("module", sorted(CORE & MODULES.keys()))
def test_the_core_needs_the_standard_library_only(module: str) -> None:
    # greenlet is found only where a strategy asks for it.
    allowed = {*sys.stdlib_module_names, "annotationlib", "ctxlocal"}  # annotationlib: from 3.14 on
    if module == "ctxlocal.ident.strategy":
        allowed.add("greenlet")
    source = MODULES[module].read_text(encoding="utf-8")
    imported = {name.partition(".")[0] for name in imports_of(module, source, at_run_time=True)}
    assert imported <= allowed


@pytest.mark.parametrize(
    "module", [name for name, path in MODULES.items() if "__all__" in path.read_text("utf-8")]
)
def test_what_a_module_offers_is_there(module: str) -> None:
    offered = import_module(module)
    assert [name for name in offered.__all__ if not hasattr(offered, name)] == []


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
    assert core <= CORE - {"ctxlocal.flow.executor"}
    assert not {name for name in loaded if "concurrent" in name or "site-packages" in name}


def test_import_loads_nothing_but_the_standard_library(run_python: Callable[..., str]) -> None:
    printed = run_python("""
        import sys
        before = set(sys.modules)
        import ctxlocal
        new = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(*sorted(new - set(sys.stdlib_module_names)))
    """)
    assert printed == "ctxlocal\n"


@pytest.mark.parametrize(
    ("value", "expected"), [("1", "pure"), ("yes", "pure"), ("0", None), ("", None)]
)
def test_the_environment_chooses_the_pure_twin(value: str, expected: str | None) -> None:
    code = "import ctxlocal; print(ctxlocal.IMPLEMENTATION, ctxlocal.local.REASON, sep='; ')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "CTXLOCAL_PURE": value},
        capture_output=True,
        text=True,
        check=True,
    )
    chosen, _, reason = done.stdout.strip().partition("; ")
    if expected is not None:
        assert (chosen, reason) == (expected, "CTXLOCAL_PURE is set")
    else:
        assert reason != "CTXLOCAL_PURE is set"


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ("sys.abiflags = 't'", "there is no native twin for a free-threaded Python"),
        (
            "sys.modules['ctxlocal.local._native'] = None",
            "the native twin was not built, or cannot be loaded (import of ctxlocal.local._native "
            "halted; None in sys.modules)",
        ),
    ],
)
def test_without_the_native_twin_the_pure_one_serves_and_says_why(before: str, reason: str) -> None:
    code = f"import sys; {before}; from ctxlocal.local import *; print(IMPLEMENTATION, REASON)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "CTXLOCAL_PURE": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"pure {reason}\n"
