"""A pytest plugin, under the entry point ``ctxlocal``: it does nothing until it is asked.

::

    ctxlocal_isolate = true   each test begins with the Locals as they were before the first one
    ctxlocal_leaks = error    a test that leaves a value bound is an error, which says who set it

The marker ``ctxlocal_ident("greenlet")`` runs a test under an identity strategy, and the fixtures
``ctxlocal_session`` and ``ctxlocal_request`` give it a session and a request context. What is not
asked for is not imported.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from ... import ident

if TYPE_CHECKING:
    from ...sessions import Session
    from ...web import App
    from ...web.context import RequestContext

_MARKERS = (
    "ctxlocal_ident(strategy): run the test under that identity strategy, as set_default() does",
    "ctxlocal_request(path, ...): what ctxlocal_request is; arguments of werkzeug's EnvironBuilder",
)
_FORMER = pytest.StashKey[Any]()  # the default strategy that a marked test has replaced


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know the two settings."""
    parser.addini("ctxlocal_isolate", "give each test fresh Locals (true, false)", "bool", False)
    parser.addini("ctxlocal_leaks", "what a value is that a test leaves bound (ignore, error)")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Begin before a conftest can bind a value."""
    _begin(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Begin also where a conftest names this plugin."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    _begin(config)


def _begin(config: pytest.Config) -> None:
    plugins = config.pluginmanager
    if _isolates(config) and not plugins.has_plugin("ctxlocal-isolation"):
        from .isolation import Isolation

        plugins.register(Isolation(), "ctxlocal-isolation")
    if _watches(config) and not plugins.has_plugin("ctxlocal-leaks"):
        from .leaks import Leaks

        plugins.register(Leaks(), "ctxlocal-leaks")


def _isolates(config: pytest.Config) -> bool:
    try:
        return bool(config.getini("ctxlocal_isolate"))
    except (TypeError, ValueError, pytest.UsageError) as error:
        raise pytest.UsageError(f"ctxlocal_isolate: {error}. Use true or false.") from None


def _watches(config: pytest.Config) -> bool:
    setting = config.getini("ctxlocal_leaks") or "ignore"
    if setting not in ("ignore", "error"):
        raise pytest.UsageError(f"ctxlocal_leaks is {setting!r}. Use 'error' or 'ignore'.")
    return bool(setting == "error")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a marked test choose its strategy, before its fixtures bind values."""
    marker = item.get_closest_marker("ctxlocal_ident")
    if marker is None:
        return
    if len(marker.args) != 1 or marker.kwargs:
        raise pytest.UsageError('ctxlocal_ident takes a strategy: ctxlocal_ident("greenlet")')
    former = ident.get_default() if ident.default_source() == "set_default" else None
    ident.set_default(marker.args[0])
    item.stash[_FORMER] = former


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Put back the strategy, last of all."""
    try:
        return (yield)
    finally:
        if _FORMER in item.stash:
            ident.set_default(item.stash[_FORMER], discard=True)
            del item.stash[_FORMER]


@pytest.fixture(scope="session")
def ctxlocal_app() -> App:
    """The App of ``ctxlocal_request``: sessions in memory, no views. Override it with your own."""
    from ...sessions import StoredSessions
    from ...sessions.stores.memory import MemoryStore
    from ...web import App

    return App("tests", StoredSessions(MemoryStore()))


@pytest.fixture
def ctxlocal_request(request: pytest.FixtureRequest, ctxlocal_app: App) -> Iterator[RequestContext]:
    """A request context that is current for the test: ``GET /``, or what the marker says."""
    marker = request.node.get_closest_marker("ctxlocal_request")
    arguments = ((), {}) if marker is None else (marker.args, marker.kwargs)
    with ctxlocal_app.test_request_context(*arguments[0], **arguments[1]) as context:
        yield context


@pytest.fixture
def ctxlocal_session(ctxlocal_request: RequestContext) -> Session:
    """The session of ``ctxlocal_request``: empty, and not saved.

    :raises UnboundError: your ``ctxlocal_app`` has no sessions.
    """
    from ...local import unwrap
    from ...web import session

    return unwrap(session)
