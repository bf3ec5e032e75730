"""Where every import is lazy (PEP 810, Python 3.15), all is found when it is used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.version_info < (3, 15), reason="lazy imports are of 3.15")

EVERY_STRATEGY = """
    import gevent, greenlet, os, sys, threading
    os.dup2(1, 2)  # what a finaliser could not do at the interpreter's end counts too
    from ctxlocal import Local, LocalStack, flow, ident
    assert sys.lazy_modules, "nothing was put off"

    def seen_from(start, names):
        found = []
        start(lambda: found.extend(hasattr(local, "value") for local in names.values()))
        return dict(zip(names, found, strict=True))

    def in_greenlet(function):
        greenlet.greenlet(function).switch()

    def in_thread(function):
        thread = threading.Thread(target=function)
        thread.start()
        thread.join()

    names = ["context", "thread", "greenlet", "gevent", "eventlet", "task"]
    locals_ = {name: Local(ident=name) for name in names}
    for name, local in locals_.items():
        local.value = name
    assert all(local("value") == name for name, local in locals_.items())
    print(*[name for name, seen in seen_from(in_greenlet, locals_).items() if seen])
    print(*[name for name, seen in seen_from(in_thread, locals_).items() if seen])
    stack = LocalStack()
    stack.push(1)
    in_thread(flow.bind(lambda: print(stack.top)))
"""

REQUEST = """
    import os
    os.dup2(1, 2)
    from ctxlocal.sessions import StoredSessions
    from ctxlocal.sessions.stores.url import open_store
    from ctxlocal.web import App, session

    app = App(__name__, sessions=StoredSessions(open_store({url!r})))

    @app.route("/")
    def count():
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    client = app.test_client()
    print(client.get("/").text, client.get("/").text)
"""


def test_values_belong_to_the_owner_of_each_strategy(run_python: Callable[..., str]) -> None:
    printed = run_python(EVERY_STRATEGY, PYTHON_LAZY_IMPORTS="all")
    assert printed.splitlines() == ["thread task", "", "1"]


@pytest.mark.parametrize("store", ["memory:", "sqlite"])
def test_a_request_keeps_its_session(
    store: str, tmp_path: Path, run_python: Callable[..., str]
) -> None:
    url = f"sqlite:///{tmp_path}/sessions.db" if store == "sqlite" else store
    assert run_python(REQUEST.format(url=url), PYTHON_LAZY_IMPORTS="all") == "1 2\n"
