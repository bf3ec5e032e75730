"""``ctxlocal demo``: it starts, says where, ends cleanly, and refuses in one line."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from ctxlocal.cli.commands import ctxlocal
from ctxlocal.lab.demo.shop import MOST_PIECES, _device, make_shop
from ctxlocal.sessions.cookie import Cookie
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.web.app import App
from tests.support.patience import PATIENCE_S
from tests.support.services import free_port
from tests.support.shop_process import command, environment, shop

SERVERS = ("threads", "gevent", "asyncio")
OWNERS = {"threads": "thread", "gevent": "greenlet", "asyncio": "thread"}  # of a `def` view


@pytest.mark.slow
class TestProcess:
    @pytest.mark.parametrize("server", SERVERS)
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_cleanly(self, server: str, how: signal.Signals) -> None:
        with shop(server, "memory:") as demo:
            place = urlsplit(demo.url)
            assert place.hostname is not None
            kept_alive = http.client.HTTPConnection(place.hostname, place.port, timeout=PATIENCE_S)
            kept_alive.request("GET", "/")
            response = kept_alive.getresponse()
            page = response.read().decode()
            assert response.status == 200
            assert f"Sessions in memory, served by {server}: {OWNERS[server]} " in page
            ended = demo.end(how)
            kept_alive.close()
        assert (ended.status, ended.errors) == (0, "")
        assert demo.said == f"Shop on {demo.url} - Ctrl-C ends it\n"

    def test_a_port_that_is_in_use(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            said = refusal("threads", "memory:", "--port", str(port))
        assert said == f"Error: 127.0.0.1 port {port}: Address already in use\n"

    @pytest.mark.parametrize("server", SERVERS)
    def test_a_store_that_is_down(self, server: str) -> None:
        store = f"postgresql://u:hunter2@127.0.0.1:{free_port()}/x"
        said = refusal(server, store)
        assert re.fullmatch(r"Error: postgresql://127\.0\.0\.1:\d+/x failed in scan: .*\n", said)
        assert "hunter2" not in said

    def test_no_store_at_all(self) -> None:
        assert refusal("threads", "nonsense").startswith("Error: the store's URL: it names no")

    def test_it_listens_on_ipv6_too(self) -> None:
        with shop("threads", "memory:", "--host", "::1") as demo:
            assert demo.url.startswith("http://[::1]:")
            place = urlsplit(demo.url)
            connection = http.client.HTTPConnection("::1", place.port, timeout=PATIENCE_S)
            connection.request("GET", "/style.css")
            assert connection.getresponse().status == 200
            connection.close()

    @pytest.mark.parametrize(
        ("server", "package", "extra"),
        [
            ("gevent", "gevent", "gevent"),
            ("asyncio", "uvicorn", "demo"),
            ("threads", "jinja2", "demo"),
        ],
    )
    def test_a_library_that_is_missing(
        self, server: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def execv(*_: object) -> None:
            raise AssertionError("it was started")

        monkeypatch.setattr(os, "execv", execv)
        monkeypatch.setitem(sys.modules, package, None)
        done = CliRunner().invoke(ctxlocal, ["demo", "--server", server, "--store", "memory:"])
        assert done.exit_code == 2
        assert done.stderr == (
            f"Error: ctxlocal demo needs {package}, which is not installed. "
            f"Install it with: pip install {package} (ctxlocal's extra [{extra}] has all it goes "
            "with).\n"
        )

    def test_the_stores_url_is_no_argument_of_the_process(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        started: list[Any] = []
        monkeypatch.setattr(os, "execv", lambda *arguments: started.extend(arguments))
        monkeypatch.setenv("CTXLOCAL_STORE", "restored by monkeypatch")
        CliRunner().invoke(ctxlocal, ["demo", "--store", "redis://:hunter2@localhost"])
        assert "hunter2" not in repr(started)
        assert os.environ["CTXLOCAL_STORE"] == "redis://:hunter2@localhost"


def refusal(server: str, store: str, *options: str) -> str:
    """Return what a demo says that cannot start."""
    done = subprocess.run(
        command(server, store, *options),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr


class TestShop:
    @pytest.fixture
    def app(self) -> App:
        sessions: StoredSessions[Any] = StoredSessions(
            MemoryStore(), cookie=Cookie.for_development()
        )
        return make_shop(sessions, "a test")

    def sign_in(self, app: App, name: str) -> Any:
        client = app.test_client()
        client.post("/login", data={"name": name, "password": name})
        return client

    def test_r8_a_form_cannot_end_another_users_session(self, app: App) -> None:
        ada, grace = self.sign_in(app, "ada"), self.sign_in(app, "grace")
        ada_too = self.sign_in(app, "ada")
        (handle,) = re.findall(r'name="handle" value="(\w+)"', ada.get("/places").text)
        grace.post("/places/revoke", data={"handle": handle})
        assert "That session had ended already." in grace.get("/places").text
        assert "Sign out ada" in ada_too.get("/").text
        ada.post("/places/revoke", data={"handle": handle})
        assert "Sign out ada" not in ada_too.get("/").text

    @pytest.mark.parametrize("path", ["/places/revoke", "/places/revoke-others", "/logout"])
    def test_a_visitor_has_nothing_to_end(self, app: App, path: str) -> None:
        ada = self.sign_in(app, "ada")
        assert app.test_client().post(path).status_code == 303
        assert "Sign out ada" in ada.get("/").text

    def test_a_cart_has_a_limit(self, app: App) -> None:
        client = app.test_client()
        for _ in range(MOST_PIECES + 2):
            client.post("/cart/add/lamp")
        assert f'id="cart-count">{MOST_PIECES}<' in client.get("/").text

    def test_what_is_not_sold_is_not_in_the_cart(self, app: App) -> None:
        client = app.test_client()
        client.post("/cart/add/yacht")
        client.post("/cart/remove/yacht")
        assert "Nothing in it yet" in client.get("/cart").text

    def test_an_error_has_a_page(self, app: App) -> None:
        client = app.test_client()
        assert client.get("/nowhere").status_code == 404
        assert "<h1>Method Not Allowed</h1>" in client.get("/logout").text

    @pytest.mark.parametrize(
        ("agent", "device"),
        [
            ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit Chrome/1 Safari/5", "Chromium on Linux"),
            ("Mozilla/5.0 (Windows NT 10.0) Chrome/1 Safari/5 Edg/1", "Edge on Windows"),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X) Safari/6", "Safari on Mac"),
            ("Mozilla/5.0 (Android 14; Mobile) Firefox/9", "Firefox on Android"),
            ("curl/8", "curl"),
            ("", "A browser"),
        ],
    )
    def test_a_device_has_a_name(self, agent: str, device: str) -> None:
        assert _device(agent) == device
