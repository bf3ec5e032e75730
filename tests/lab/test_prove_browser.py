"""The report of ``ctxlocal prove`` in a real Chromium, opened from disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from ctxlocal.lab.matrix.place import STRATEGIES
from ctxlocal.lab.matrix.report import Cell
from ctxlocal.lab.prove.page import page
from tests.support.chromium import chromium, console, requested
from tests.support.proof_samples import control, document, matrix, run, soak

pytestmark = [pytest.mark.browser, pytest.mark.slow]

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
RIGHT_ENDS = """
return [...document.querySelectorAll('.soak thead th')].map(
  head => [head.textContent, head.getBoundingClientRect().right]);
"""
# A text that ends at a <wbr> is a node of its own.
BROKEN_WORDS = """
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode;
  if (!node.parentElement.closest('th')) continue;
  for (const word of node.data.matchAll(/\\w+/g)) {
    const range = document.createRange();
    range.setStart(node, word.index);
    range.setEnd(node, word.index + word[0].length);
    const lines = new Set([...range.getClientRects()].map(rect => rect.top));
    if (lines.size > 1) found.push(word[0]);
  }
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
    sabotaged = {"sabotage": "shared-dict", "note": "saw nothing"}
    controls = [run(**sabotaged), run(**sabotaged, outcome="failed"), *control()["runs"]]
    content = document(
        soak=soak(*runs),
        control=control(*controls),
        missing={"bench": "interrupted"},
        is_changed=True,
    )
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


@pytest.fixture
def resized(browser: webdriver.Chrome) -> Iterator[Callable[[int], None]]:
    """Set the width of the window in pixels."""

    def resize(width: int) -> None:
        size = {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    yield resize
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_violations_of_each_server_are_seen_without_scrolling(
    browser: webdriver.Chrome, resized: Callable[[int], None], tmp_path: Path, width: int
) -> None:
    resized(width)
    opened(browser, tmp_path, document())
    ends = browser.execute_script(RIGHT_ENDS)
    assert {"Server", "Strategy", "Violations"} <= {name for name, end in ends if end <= width}
    if width >= 768:
        box = "const box = document.querySelector('#soak .scroll');"
        assert browser.execute_script(f"{box} return box.scrollWidth - box.clientWidth") == 0


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_name_is_broken_within_a_word(
    browser: webdriver.Chrome, resized: Callable[[int], None], tmp_path: Path, width: int
) -> None:
    ways = ("loop.run_in_executor", "ThreadPoolExecutor, reused worker", "finaliser")
    cells = [Cell("g", way, name, "shared", "shared", True) for way in ways for name in STRATEGIES]
    resized(width)
    opened(browser, tmp_path, document(matrix=matrix(*cells)))
    assert browser.execute_script(BROKEN_WORDS) == []


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
