"""The demo's pages in a real Chromium, two of them where it takes two."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ctxlocal.sessions.stores.url import open_store
from tests.support.browser import Browser, browsers, fresh
from tests.support.shop_process import Shop, shop

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def chromiums(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Browser]]:
    with browsers(lambda: tmp_path_factory.mktemp("profile")) as get:
        yield get


@pytest.fixture(
    scope="module",
    params=[
        "threads-sqlite",
        pytest.param("gevent-redis", marks=pytest.mark.redis),
        "asyncio-sqlite",
    ],
)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Shop, str]]:
    """A demo under a server with a store, and the store's URL."""
    server, store = request.param.split("-")
    if store == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('store')}/shop.db"
    else:
        url = f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}/7"
    with shop(server, url) as demo:
        yield demo, url
        ended = demo.end()
        assert (ended.status, ended.errors) == (0, "")


def _forget(url: str) -> None:
    store = open_store(url)
    for key, _ in list(store.scan()):
        store.delete(key)
    store.close()


@pytest.fixture
def ada(running: tuple[Shop, str], chromiums: Callable[[int], Browser]) -> Iterator[Browser]:
    """A browser that has never been here."""
    demo, url = running
    _forget(url)
    yield from fresh(chromiums(0), demo.url)


@pytest.fixture
def other(
    ada: Browser, running: tuple[Shop, str], chromiums: Callable[[int], Browser]
) -> Iterator[Browser]:
    """Another one."""
    yield from fresh(chromiums(1), running[0].url)


def test_r6_who_only_looks_gets_no_cookie(ada: Browser) -> None:
    ada.visit("")
    ada.visit("cart")
    assert ada.in_cart == 0
    assert ada.cookie is None


def test_the_cart_is_its_visitors_alone(ada: Browser, other: Browser) -> None:
    ada.visit("")
    ada.click("#add-lamp")
    ada.click("#add-lamp")
    other.visit("")
    assert other.in_cart == 0
    other.click("#add-chair")
    other.visit("cart")
    assert other.texts("tbody td:first-child") == ["A chair"]
    ada.visit("cart")
    assert ada.texts("tbody td:first-child") == ["A lamp"]
    assert ada.texts(".pieces") == ["2"]
    assert ada.texts("#total") == ["€ 98.00"]
    assert ada.session_id != other.session_id
    ada.click("#remove-lamp")
    assert ada.in_cart == 0
    assert other.in_cart == 1


def test_a_cookie_loses_what_a_store_keeps_of_two_requests_at_once(
    ada: Browser,
) -> None:
    ada.visit("at-once")
    assert ada.texts("table") == []
    for _ in range(2):  # the second time like the first
        ada.click("#at-once")
        assert ada.texts("tbody td:nth-child(3)") == ["kept", "kept"]
        assert sorted(ada.texts("tbody td:nth-child(4)")) == ["kept", "lost"]
        served = ada.texts("tbody td:nth-child(2)")
        (server,) = ada.texts("footer")
        kinds = {"threads": "thread", "gevent": "greenlet", "asyncio": "task"}
        (kind,) = [kind for name, kind in kinds.items() if f"served by {name}:" in server]
        assert all(name.startswith(f"{kind} ") for name in served)
        assert len(set(served)) == 2


def test_a_message_is_shown_once(ada: Browser) -> None:
    ada.visit("")
    ada.click("#add-clock")
    assert ada.flashed == ["A clock is in your cart."]
    ada.visit("")
    assert ada.flashed == []


def test_r3_a_login_keeps_the_cart_and_changes_the_id(ada: Browser, other: Browser) -> None:
    ada.visit("")
    ada.click("#add-plant")
    before = ada.session_id
    other.visit("")
    other.driver.add_cookie({"name": "ctxlocal-session", "value": before})
    other.visit("")
    assert other.in_cart == 1  # the same session: whoever planted the id has it too
    ada.sign_in("ada")
    assert (ada.user, ada.in_cart) == ("ada", 1)
    assert ada.flashed == ["Welcome, ada."]
    assert ada.session_id != before
    other.visit("")
    assert (other.user, other.in_cart) == (None, 0)


def test_r2_an_id_that_was_never_issued_is_replaced(ada: Browser) -> None:
    ada.visit("")
    planted = "A" * 43
    ada.driver.add_cookie({"name": "ctxlocal-session", "value": planted})
    ada.visit("")
    ada.click("#add-lamp")
    assert ada.in_cart == 1
    assert ada.session_id != planted


def test_the_cookie_is_out_of_the_reach_of_scripts(ada: Browser) -> None:
    ada.sign_in("ada")
    cookie = ada.cookie
    assert cookie is not None
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    assert "expiry" not in cookie  # gone with the browser
    assert ada.driver.execute_script("return document.cookie") == ""


def test_keep_me_signed_in_outlives_the_browser(ada: Browser) -> None:
    ada.sign_in("ada", keep=True)
    assert ada.cookie is not None
    assert "expiry" in ada.cookie


def test_a_wrong_password(ada: Browser) -> None:
    ada.sign_in("ada", "grace")
    assert ada.user is None
    assert ada.flashed == ["That is not the name and password of a user."]


def test_an_order_needs_a_login_and_empties_the_cart(ada: Browser) -> None:
    ada.visit("")
    ada.click("#add-lamp")
    ada.visit("cart")
    ada.click("#checkout")
    assert ada.flashed == ["Sign in to order."]
    ada.sign_in("ada")
    ada.visit("cart")
    ada.click("#checkout")
    assert ada.flashed == ["Thank you, ada: that was order 1."]
    assert ada.in_cart == 0


def test_r8_one_place_signs_another_out(ada: Browser, other: Browser) -> None:
    ada.sign_in("ada")
    other.sign_in("ada")
    assert other.user == "ada"
    ada.visit("places")
    assert len(ada.texts(".place")) == 2
    (current,) = ada.texts(".place.current")
    assert current.startswith("Chromium on Linux · this one")
    ada.click(".revoke")
    assert ada.flashed == ["Signed out there."]
    assert len(ada.texts(".place")) == 1
    other.click(".brand")
    assert other.user is None
    other.visit("places")
    assert other.driver.current_url.endswith("/login")
    ada.visit("")
    assert ada.user == "ada"


def test_r8_sign_out_everywhere_else(ada: Browser, other: Browser) -> None:
    ada.sign_in("grace")
    other.sign_in("grace")
    ada.visit("places")
    ada.click("#revoke-others")
    assert ada.flashed == ["Signed out in 1 other place."]
    other.visit("")
    assert (ada.user, other.user) == ("grace", None)


def test_r7_a_logout_ends_the_session_for_whoever_kept_the_id(ada: Browser, other: Browser) -> None:
    ada.sign_in("edsger")
    kept = ada.session_id
    ada.click("#logout")
    assert ada.user is None
    assert ada.cookie is None
    other.visit("")
    other.driver.add_cookie({"name": "ctxlocal-session", "value": kept})
    other.visit("")
    assert other.user is None


def test_the_pages_fit_a_phone(ada: Browser) -> None:
    ada.sign_in("ada")
    ada.click("#add-chair")
    narrow = {"width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": True}
    ada.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    try:
        for path in ("", "cart", "login", "places"):
            ada.visit(path)
            width = ada.driver.execute_script("return document.documentElement.scrollWidth")
            assert width <= 320, path
    finally:
        ada.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
