"""A browser as its user has it: pages, links, buttons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.chromium import chromium, console
from tests.support.patience import PATIENCE_S

IS_COMPLETE = "return document.readyState === 'complete'"


class Browser:
    """A Chromium, and the site that it visits.

    ``home`` is the site's address, ``cookie_name`` that of its session.
    """

    def __init__(self, profile: Path) -> None:
        self.driver = chromium(profile)
        self.home = ""
        self.cookie_name = "ctxlocal-session"

    def visit(self, path: str) -> None:
        self.driver.get(self.home + path)

    def click(self, selector: str) -> None:
        """Click on what leads to another page, and wait until that is there in full."""
        page = self.driver.find_element(By.TAG_NAME, "html")
        self.driver.find_element(By.CSS_SELECTOR, selector).click()
        wait = WebDriverWait(self.driver, PATIENCE_S, 0.01, ignored_exceptions=[WebDriverException])
        wait.until(staleness_of(page))
        wait.until(lambda driver: driver.execute_script(IS_COMPLETE))

    def texts(self, selector: str) -> list[str]:
        return [found.text for found in self.driver.find_elements(By.CSS_SELECTOR, selector)]

    def sign_in(self, name: str, password: str | None = None, *, keep: bool = False) -> None:
        self.visit("login")
        self.driver.find_element(By.NAME, "name").send_keys(name)
        self.driver.find_element(By.NAME, "password").send_keys(password or name)
        if keep:
            self.driver.find_element(By.NAME, "keep").click()
        self.click("#login")

    @property
    def user(self) -> str | None:
        """Who is signed in, as the page says."""
        found = self.texts("#logout")
        return found[0].removeprefix("Sign out ") if found else None

    @property
    def in_cart(self) -> int:
        (count,) = self.texts("#cart-count")
        return int(count)

    @property
    def flashed(self) -> list[str]:
        return self.texts(".flash")

    @property
    def cookie(self) -> dict[str, Any] | None:
        return self.driver.get_cookie(self.cookie_name)

    @property
    def session_id(self) -> str:
        assert self.cookie is not None
        value: str = self.cookie["value"]
        return value

    def complaints(self) -> list[str]:
        """What the console shows since the last call; INFO is the word on Clear-Site-Data."""
        return [message for level, message in console(self.driver) if level != "INFO"]


@contextmanager
def browsers(new_profile: Callable[[], Path]) -> Iterator[Callable[[int], Browser]]:
    """Give browsers by number, each with a profile of its own; started when first asked for."""
    started: list[Browser] = []

    def get(number: int) -> Browser:
        while len(started) <= number:
            started.append(Browser(new_profile()))
        return started[number]

    try:
        yield get
    finally:
        for browser in started:
            browser.driver.quit()


def fresh(browser: Browser, home: str, cookie_name: str = "ctxlocal-session") -> Iterator[Browser]:
    """Give a browser that has never been at this site, and that may complain of nothing."""
    browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    browser.home, browser.cookie_name = home, cookie_name
    browser.complaints()
    yield browser
    complaints = browser.complaints()
    assert not complaints, complaints
