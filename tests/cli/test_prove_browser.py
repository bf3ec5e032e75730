"""The report of ``ctxlocal prove`` in a real Chromium, opened from disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from ctxlocal.cli.prove.page import page
from tests.chromium import chromium, console, requested
from tests.proof_samples import document, run, soak

pytestmark = pytest.mark.browser

# WCAG 2.2, 1.4.3: normal text has a contrast of 4.5 to what is behind it.
FAINT_TEXTS = """
const luminance = ([r, g, b]) => {
  const linear = c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
  return .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
};
const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
const behind = element => {
  for (; element; element = element.parentElement) {
    const colour = numbers(getComputedStyle(element).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const found = [];
for (const element of document.body.querySelectorAll('*')) {
  const texts = [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE);
  const text = texts.map(node => node.data.trim()).join(' ').trim();
  if (!text || !element.getClientRects().length) continue;
  const style = getComputedStyle(element);
  const colour = numbers(element instanceof SVGElement ? style.fill : style.color);
  const [high, low] = [luminance(colour), luminance(behind(element))].sort((a, b) => b - a);
  const contrast = (high + .05) / (low + .05);
  if (contrast < 4.5) found.push(`${text}: ${contrast.toFixed(2)}`);
}
return found;
"""
BACKGROUND = "return getComputedStyle(document.body).backgroundColor"
UNFOLD = "document.querySelectorAll('details').forEach(found => { found.open = true; })"
PHONE = 360


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    driver = chromium(tmp_path_factory.mktemp("profile"))
    try:
        yield driver
    finally:
        driver.quit()


def opened(browser: webdriver.Chrome, folder: Path, content: dict[str, Any]) -> str:
    """Open the report and all that is folded in it; return its address."""
    file = folder / "report.html"
    file.write_text(page(content), "utf-8")
    for log in (console, requested):
        log(browser)  # of the page before
    browser.get(file.as_uri())
    browser.execute_script(UNFOLD)
    return file.as_uri()


def in_mode(browser: webdriver.Chrome, mode: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": mode}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def with_every_state() -> dict[str, Any]:
    """A document whose page shows every colour it has."""
    runs = [
        run(outcome="violations", foreign_reads=3),
        run(outcome="failed", note="no answer within 20 s", requests=0),
        run(outcome="interrupted", memory={"bytes_per_10000": 9e6, "is_flat": False}),
        run(),
        {"server": "gunicorn-tornado", "outcome": "not run", "note": "tornado is missing"},
    ]
    content = document(soak=soak(*runs), missing={"bench": "interrupted"})
    content["matrix"]["cells"][0].update(actual="LEAK", as_promised=False)
    content["matrix"]["cells"][1].update(actual="snapshot")
    content["matrix"]["cells"][2].update(actual="shared")
    return content


def test_the_report_asks_for_nothing_and_complains_of_nothing(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    address = opened(browser, tmp_path, document())
    assert console(browser) == []
    assert [url for url in requested(browser) if url != "data:,"] == [address]


@pytest.fixture
def phone(browser: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    size = {"width": PHONE, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_page_fits_a_phone_and_wide_tables_scroll_in_their_own_box(
    phone: webdriver.Chrome, tmp_path: Path
) -> None:
    opened(phone, tmp_path, with_every_state())
    assert phone.execute_script("return document.documentElement.scrollWidth") <= PHONE
    boxes = "return [...document.querySelectorAll('#matrix .scroll, #soak .scroll')]"
    widths = phone.execute_script(f"{boxes}.map(box => [box.clientWidth, box.scrollWidth])")
    assert len(widths) == 2
    assert all(shown < whole for shown, whole in widths)


@pytest.mark.parametrize(
    ("mode", "background"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 24, 29)")]
)
def test_every_text_can_be_read_in_each_mode(
    browser: webdriver.Chrome, tmp_path: Path, mode: str, background: str
) -> None:
    in_mode(browser, mode)
    opened(browser, tmp_path, with_every_state())
    assert browser.execute_script(BACKGROUND) == background
    assert browser.execute_script(FAINT_TEXTS) == []


def test_a_faint_text_would_be_found(browser: webdriver.Chrome, tmp_path: Path) -> None:
    in_mode(browser, "light")
    opened(browser, tmp_path, document())
    browser.execute_script("document.querySelector('h1').style.color = '#999'")
    (found,) = browser.execute_script(FAINT_TEXTS)
    assert found.endswith("2.85")
