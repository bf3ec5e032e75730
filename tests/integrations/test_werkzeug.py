"""ctxlocal in the place of werkzeug.local, in Pythons of their own: Flask follows the strategy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ctxlocal
from ctxlocal.integrations.werkzeug import OwnerVar

from ..support.new_owner import in_new_owner

native = pytest.mark.parametrize("twin", ["native"], indirect=True)

INSTALLED = """
    from ctxlocal.integrations import werkzeug
    werkzeug.install()
    import ctxlocal
    from flask import Flask, current_app, g, request, session

    app = Flask(__name__)
    app.secret_key = "of the tests"
"""


# The variable that stands in for a ContextVar.


@pytest.fixture
def strategy(ident: Any) -> Any:
    ctxlocal.ident.set_default(ident)
    return ident


@pytest.fixture
def var(strategy: Any) -> OwnerVar:
    return OwnerVar("var")


def test_unset_it_has_the_default_or_a_lookup_error(var: OwnerVar) -> None:
    assert var.name == "var"
    assert var.get(None) is None
    with pytest.raises(LookupError):
        var.get()


def test_reset_goes_back_to_what_was_before_the_set(var: OwnerVar) -> None:
    one, same, other = var.set("a"), var.set("a"), var.set("b")
    assert var.get() == "b"
    var.reset(other)
    assert var.get() == "a"
    var.reset(same)
    assert var.get() == "a"
    var.reset(one)
    assert var.get(None) is None


def test_each_owner_has_its_own_and_resets_nothing_of_anothers(
    var: OwnerVar, strategy: Any
) -> None:
    token = var.set("here")
    assert in_new_owner(strategy, lambda: var.get("none")) == "none"

    def elsewhere() -> Any:
        var.set("there")
        var.reset(token)
        return var.get()

    assert in_new_owner(strategy, elsewhere) == "there"
    assert var.get() == "here"


def test_a_proxy_of_it_says_the_message_that_it_was_given(var: OwnerVar) -> None:
    proxy = ctxlocal.LocalProxy(var, "real", unbound_message="outside")
    with pytest.raises(RuntimeError, match=r"^outside$"):
        proxy + 1
    var.set(5)
    assert proxy == 5


# Flask.


@native
def test_a_request_is_what_it_was_and_the_message_outside_is_flasks(
    run_python: Callable[..., str],
) -> None:
    code = """
    @app.post("/<name>")
    def view(name):
        g.name = name
        session["name"] = name
        return f"{request.method} {request.path} {g.name} {current_app.name} {session['name']}"

    with app.test_client() as client:
        print(client.post("/ada").text)
        print(request.path, dict(session))
    print(bool(request), bool(current_app))
    try:
        request.path
    except RuntimeError as error:
        print(str(error).splitlines()[0])
    """
    assert run_python(INSTALLED + code).splitlines() == [
        "POST /ada ada __main__ ada",
        "/ada {'name': 'ada'}",
        "False False",
        "Working outside of request context.",
    ]


@native
def test_greenlets_that_share_a_context_have_requests_of_their_own(
    run_python: Callable[..., str],
) -> None:
    code = """
    import contextvars, greenlet
    ctxlocal.ident.set_default("greenlet")
    main = greenlet.getcurrent()
    shared = contextvars.Context()  # as a hub that knows nothing of Contexts leaves it

    @app.get("/<name>")
    def view(name):
        main.switch()
        return f"{name} {request.path}"

    def serve(name):
        print(app.test_client().get(f"/{name}").text)

    both = [greenlet.greenlet(serve), greenlet.greenlet(serve)]
    for one, name in zip(both, ("ada", "bob")):
        one.gr_context = shared
        one.switch(name)
    for one in both:
        one.switch()
    """
    assert run_python(INSTALLED + code).splitlines() == ["ada /ada", "bob /bob"]


@native
def test_a_request_goes_with_what_is_bound(run_python: Callable[..., str]) -> None:
    code = """
    from ctxlocal import flow

    @app.get("/")
    def view():
        with flow.ContextThreadPoolExecutor() as pool:
            return pool.submit(lambda: f"{request.path} {current_app.name}").result()

    print(app.test_client().get("/").text)
    """
    assert run_python(INSTALLED + code, CTXLOCAL_IDENT="thread") == "/ __main__\n"


@native
@pytest.mark.parametrize(
    ("before", "taken"),
    [
        ("import flask", "flask.globals"),
        ("import werkzeug.local; var = werkzeug.local.Local()", "__main__"),
    ],
)
def test_too_late_it_says_who_has_the_locals(
    before: str, taken: str, run_python: Callable[..., str]
) -> None:
    code = f"""
        {before}
        from ctxlocal.integrations import werkzeug as ours
        try:
            ours.install()
        except ours.InstalledTooLateError as error:
            print(isinstance(error, RuntimeError), *error.taken)
            print(error)
        import werkzeug.local
        print(werkzeug.local.Local.__module__)
    """
    assert run_python(code).splitlines() == [
        f"True {taken}",
        f"werkzeug's locals are in use already, in {taken}, and stay. Call "
        "ctxlocal.integrations.werkzeug.install() before Flask, Quart and whatever imports from "
        "werkzeug.local: first thing in the application's main module, and not under the command "
        "flask, which imports Flask first.",
        "werkzeug.local",
    ]


@native
def test_a_module_that_nobody_has_taken_from_is_replaced_once(
    run_python: Callable[..., str],
) -> None:
    code = """
        import werkzeug.local
        from ctxlocal.integrations.werkzeug import install
        install()
        from werkzeug.local import Local, LocalProxy, release_local
        install()
        import contextvars, inspect, flask.globals
        print(Local.__module__, LocalProxy.__module__, release_local.__module__)
        print("LocalProxy" in inspect.getsource(flask.globals))
        print(type(flask.globals._cv_app).__name__)
        print(contextvars.ContextVar.__module__, type(flask.globals.__loader__).__name__)
    """
    assert run_python(code).splitlines() == [
        "ctxlocal ctxlocal ctxlocal.local.manager",
        "True",
        "OwnerVar",
        "_contextvars SourceFileLoader",
    ]


@native
def test_without_werkzeug_it_says_what_to_install(run_python: Callable[..., str]) -> None:
    code = """
        import sys
        sys.modules["werkzeug"] = None
        from ctxlocal.errors import MissingDependencyError
        from ctxlocal.integrations.werkzeug import install
        try:
            install()
        except MissingDependencyError as error:
            print(error.package, error.extra)
    """
    assert run_python(code) == "werkzeug web\n"


@native
def test_the_doctor_knows_what_stays_with_its_context_variable(
    run_python: Callable[..., str],
) -> None:
    code = """
    from contextvars import ContextVar
    from werkzeug.local import Local
    from ctxlocal.cli.doctor.proxies import context_proxies
    local = Local(ContextVar("theirs"))
    print(*context_proxies())
    """
    assert run_python(INSTALLED + code).split() == ["__main__.local"]
