"""Logins in the frameworks, in a real Chromium, by the forms of a site."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.support.browser import Browser, browsers, fresh
from tests.support.patience import PATIENCE_S

pytestmark = [pytest.mark.browser, pytest.mark.slow]

COOKIES = {"flask": "session", "django": "sessionid", "fastapi": "ctxlocal-session"}


@pytest.fixture(scope="module")
def chromiums(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Browser]]:
    with browsers(lambda: tmp_path_factory.mktemp("profile")) as get:
        yield get


@pytest.fixture(scope="module", params=COOKIES)
def site(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Where the site is, and its session's cookie."""
    command = [sys.executable, "-m", f"tests.integrations.sites.{request.param}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), COOKIES[request.param]
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


@pytest.fixture
def ada(site: tuple[str, str], chromiums: Callable[[int], Browser]) -> Iterator[Browser]:
    """A browser that has never been here."""
    yield from fresh(chromiums(0), *site)


@pytest.fixture
def other(
    ada: Browser, site: tuple[str, str], chromiums: Callable[[int], Browser]
) -> Iterator[Browser]:
    """Another one."""
    yield from fresh(chromiums(1), *site)


def test_a_login_begins_another_session_and_a_logout_ends_it(ada: Browser) -> None:
    ada.visit("")
    before = ada.cookie
    ada.sign_in("ada", "wrong")
    assert ada.user is None
    ada.sign_in("ada")
    assert ada.user == "ada"
    signed_in = ada.session_id
    assert before is None or before["value"] != signed_in
    ada.click("#logout")
    assert ada.user is None
    ada.driver.delete_cookie(ada.cookie_name)
    ada.driver.add_cookie({"name": ada.cookie_name, "value": signed_in})
    ada.visit("")
    assert ada.user is None


def test_whoever_is_signed_in_elsewhere_can_be_signed_out_there(
    ada: Browser, other: Browser
) -> None:
    for browser in (ada, other):
        browser.sign_in("ada")
        assert browser.user == "ada"
    ada.click("#others")
    other.visit("")
    assert (ada.user, other.user) == ("ada", None)
