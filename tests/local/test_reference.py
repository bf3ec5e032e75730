"""Locals and stacks pickled by reference, and functions that mention them in other processes."""

from __future__ import annotations

import copy
import os
import pickle
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ctxlocal import flow
from ctxlocal.local import reference

from ..support.patience import PATIENCE_S
from ..support.twins import IMPLEMENTATIONS

THIS = sys.modules[__name__]


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no stand-in outlive its test: what one of a callable carries, every frame exchanges."""
    monkeypatch.setattr(reference, "_stand_ins", {})


@pytest.fixture
def make_global(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """Make an object a global of this module for the length of a test."""

    def make(obj: Any) -> Any:
        monkeypatch.setattr(THIS, "THE_GLOBAL", obj, raising=False)
        return obj

    return make


class Claiming:
    __slots__ = ()
    __class__ = ModuleType  # type: ignore[assignment]


def makers(impl: Any) -> dict[str, Callable[[], Any]]:
    class Connection(impl.Local, ident="thread"):  # type: ignore[misc, call-arg]
        def __init__(self, url: str) -> None:
            self.url = url

    class Pile(impl.LocalStack):  # type: ignore[misc]
        pass

    return {
        "Local": impl.Local,
        "named": lambda: impl.Local(name="app", wire=("user",)),
        "of a variable": lambda: impl.Local(ContextVar("var")),
        "of an object": lambda: impl.Local(ident=impl.ident.ThreadIdent()),
        "with an init": lambda: Connection("sqlite://"),
        "stack": lambda: impl.LocalStack(name="frames"),
        "stack's subclass": Pile,
    }


KINDS = tuple(makers(IMPLEMENTATIONS["pure"]))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", KINDS)
def test_a_global_of_a_module_is_found_again(
    impl: ModuleType, make_global: Callable[[Any], Any], kind: str, protocol: int
) -> None:
    local = make_global(makers(impl)[kind]())
    raw = pickle.dumps([local, local], protocol)
    assert pickle.loads(raw) == [local, local]
    assert __name__.encode() in raw


def test_values_never_go_along(impl: ModuleType, make_global: Callable[[Any], Any]) -> None:
    local = make_global(impl.Local())
    local.user = "secret"
    raw = pickle.dumps(local)
    assert b"secret" not in raw
    local.user = "later"
    assert pickle.loads(raw).user == "later"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_global_of_an_importable_module_is_refused(
    impl: ModuleType, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    nowhere = ModuleType("nowhere")  # no spec: as a module that a program has made up
    monkeypatch.setitem(sys.modules, "nowhere", nowhere)
    monkeypatch.setitem(sys.modules, "no module", {"THE_GLOBAL": 1})
    monkeypatch.setitem(sys.modules, "claims to be one", Claiming())
    nowhere.THE_GLOBAL = local = makers(impl)[kind]()  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"^cannot pickle .* can be pickled, by reference\.$"):
        pickle.dumps(local)
    with pytest.raises(TypeError, match=r"^cannot pickle '\w+' object: "):
        pickle.dumps(local.__class__.__new__(local.__class__))  # before its __init__


def test_a_module_that_is_loaded_by_a_look_is_not_looked_at(
    impl: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lazy(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError("it was loaded")

    monkeypatch.setitem(sys.modules, "lazy", Lazy("lazy"))
    with pytest.raises(TypeError, match=r"^cannot pickle"):
        pickle.dumps(impl.Local())


def test_a_module_of_its_own_comes_before_main(
    impl: ModuleType, make_global: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = make_global(impl.Local())
    monkeypatch.setattr(sys.modules["__main__"], "imported_there", local, raising=False)
    assert b"imported_there" not in pickle.dumps(local)


@pytest.mark.parametrize("kind", ["named", "stack"])
def test_a_deep_copy_of_a_global_is_refused_too(
    impl: ModuleType, make_global: Callable[[Any], Any], kind: str
) -> None:
    local = make_global(makers(impl)[kind]())
    with pytest.raises(TypeError, match=r"^cannot pickle Local(Stack)? '\w+': .* makes another"):
        copy.deepcopy([local])


def test_a_global_that_is_gone_is_a_clear_error(
    impl: ModuleType, make_global: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = pickle.dumps(make_global(impl.Local()))
    monkeypatch.delattr(THIS, "THE_GLOBAL")
    with pytest.raises(AttributeError, match=f"{re.escape(__name__)}.*'THE_GLOBAL'"):
        pickle.loads(raw)


# __main__


def test_a_global_of_main_is_found_again(impl: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "of_main", impl.Local(), raising=False)
    local: Any = sys.modules["__main__"].of_main
    function, arguments = local.__reduce_ex__(4)
    assert arguments[0] == "of_main"
    assert function(*arguments) is local


def test_one_is_made_where_main_is_another_and_goes_back_as_the_same(
    impl: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "_stand_ins", {})
    main: Any = sys.modules["__main__"]
    monkeypatch.setattr(main, "of_main", impl.Local(name="n", wire=("user",)), raising=False)
    local = main.of_main
    function, arguments = local.__reduce_ex__(4)
    del main.of_main
    made, again = function(*arguments), function(*arguments)
    assert made is again is not local
    assert (repr(made), made._ctxlocal_slot.wire) == ("<Local 'n'>", ("user",))
    back, same = made.__reduce_ex__(4)
    main.of_main = local
    assert back(*same) is local


def test_one_that_is_made_anew_has_the_strategy_of_the_original(
    impl: ModuleType, monkeypatch: pytest.MonkeyPatch, ident: Any
) -> None:
    main: Any = sys.modules["__main__"]
    for carry in (False, True):
        local = impl.Local(ident=ident, carry=carry)
        monkeypatch.setattr(main, "of_main", local, raising=False)
        function, arguments = local.__reduce_ex__(4)
        monkeypatch.delattr(main, "of_main")
        made = function(*arguments)
        made.user = 1
        local.user = 1
        stays, also = (flow.Frame().run(hasattr, each, "user") for each in (made, local))
        assert stays is also


def test_a_stack_is_made_anew_past_an_init_of_its_class(
    impl: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Named(impl.LocalStack):  # type: ignore[misc, name-defined]
        def __init__(self, kind: str) -> None:
            super().__init__(name=f"stack of {kind}")

    main: Any = sys.modules["__main__"]
    monkeypatch.setattr(main, "of_main", Named("frames"), raising=False)
    function, arguments = main.of_main.__reduce_ex__(4)
    monkeypatch.delattr(main, "of_main")
    made = function(*arguments)
    made.push(1)
    assert (type(made), repr(made), made.top) == (Named, "<Named 'stack of frames'>", 1)


@pytest.mark.parametrize("kind", ["of a variable", "of an object"])
def test_one_of_main_that_cannot_be_made_anew_is_refused(
    impl: ModuleType, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "of_main", makers(impl)[kind](), raising=False)
    with pytest.raises(TypeError, match=r"^cannot pickle 'Local' object: "):
        pickle.dumps(sys.modules["__main__"].of_main)


MAIN = """
import multiprocessing, os, pathlib, sys
from ctxlocal import Local, LocalStack
from elsewhere import far

app = Local(name="app", wire=("user",))
called = Local(ident=lambda: 5, name="called")
stack = LocalStack(ident="thread", name="frames")


class Connection(Local, ident="thread"):
    def __init__(self, url):
        self.url = url
        self.uses = 0


class Request(Local):
    path = "/"

    @classmethod
    def kind(cls):
        return cls.__name__


connection = Connection("sqlite://")
request = Request(name="request", carry=True, ident="thread")


def write(number):
    assert not hasattr(app, "user"), dict(app)
    far.user = number
    app.user = called.user = request.path = number
    stack.push(number)
    connection.uses += 1
    return read()


def read():
    found = app.user, far.user, called.user, request.path, stack.pop(), connection.url
    del app.user
    return found, connection.uses, repr(app), request.kind(), type(connection).__name__


def expected(number, uses):
    found = (*[number] * 5, "sqlite://")
    return found, uses, "<Local 'app'>", "Request", "Connection"
"""


@pytest.fixture
def run_main(tmp_path: Path, twin: dict[str, str]) -> Callable[[str], str]:
    """Run a program whose ``__main__`` has Locals."""

    def run(more: str, name: str = "main.py") -> str:
        (tmp_path / "elsewhere.py").write_text(
            "from ctxlocal import Local\nfar = Local(name='far')\n"
        )
        (tmp_path / name).write_text(MAIN + textwrap.dedent(more))
        done = subprocess.run(
            [sys.executable, name],
            cwd=tmp_path,
            env={**os.environ, **twin},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_functions_of_main_go_by_value_to_a_process_with_another_main(
    run_main: Callable[..., str],
) -> None:
    pytest.importorskip("cloudpickle")
    sends = """
        import cloudpickle

        pathlib.Path("function").write_bytes(cloudpickle.dumps(write))
        pathlib.Path("later").write_bytes(cloudpickle.dumps(write))
    """
    run_main(sends)
    gets = """
        for each in ("app", "called", "stack", "connection", "request", "Connection", "Request"):
            del globals()[each]
        import pickle

        first, later = (pickle.loads(pathlib.Path(n).read_bytes()) for n in ("function", "later"))
        assert first(1) == expected(1, 1), first(1)
        assert later(2) == expected(2, 2), "the same connection"
    """
    run_main(gets, "another.py")


CHECK = """
            assert results == [expected(n, n + 1) for n in range(3)], results
            print("ran")
"""
POOLS = {
    "loky": """
        from joblib import Parallel, delayed

        if __name__ == "__main__":
            results = Parallel(1, backend="loky", batch_size=1)(delayed(write)(n) for n in range(3))
            from joblib.externals.loky import get_reusable_executor
            function = get_reusable_executor().submit(lambda: read).result()
            assert function.__globals__["app"] is app
            get_reusable_executor().shutdown()
    """,
    "spawn": """
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                results = pool.map(write, range(3))
                assert pool.apply(repr, (app,)) == "<Local 'app'>"
                pool.close()
                pool.join()
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize("pool", POOLS)
def test_functions_of_main_run_in_the_workers_of_a_pool(
    run_main: Callable[..., str], pool: str
) -> None:
    if pool == "loky":
        pytest.importorskip("joblib")
    assert run_main(POOLS[pool] + CHECK) == "ran\n"
