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
from tests.support.proof_samples import bench, control, document, matrix, run, soak

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
# Texts that end, or begin, outside of the screen, of a box that cuts them, or of their cell.
CUT_TEXTS = """
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const isForEars = element => {
  for (; element; element = element.parentElement) {
    if (getComputedStyle(element).clipPath !== 'none') return true;
  }
  return false;
};
while (walker.nextNode()) {
  const node = walker.currentNode, element = node.parentElement;
  if (!node.data.trim() || isForEars(element)) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  const ends = element.closest('td, th, .scroll, body').getBoundingClientRect();
  for (const rect of range.getClientRects()) {
    if (rect.left < ends.left - .5 || rect.right > ends.right + .5) found.push(node.data.trim());
  }
}
return found;
"""
# Where the cells of a server's run stand that prove something, and all others.
RUN_PLACES = """
const row = document.querySelector('.soak tbody tr');
return [...row.cells].map(cell => {
  const { left, right, top } = cell.getBoundingClientRect();
  return [cell.textContent.trim(), left, right, Math.round(top)];
});
"""
# How many plots stand in each line of each group of them.
PLOTS_IN_LINES = """
return [...document.querySelectorAll('.plots')].map(plots => {
  const lines = {};
  for (const plot of plots.children) {
    const { top } = plot.getBoundingClientRect();
    lines[top] = (lines[top] || 0) + 1;
  }
  return Object.values(lines);
});
"""
# A text that ends at a <wbr> is a node of its own.
BROKEN_WORDS = """
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode;
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
WIDTHS = [360, 390, 768, 1280]


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
def resized(browser: webdriver.Chrome) -> Iterator[Callable[[int], None]]:
    """Set the width of the window in pixels."""

    def resize(width: int) -> None:
        size = {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    yield resize
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def of_real_size() -> dict[str, Any]:
    """A document with the longest names and figures that its tables have to hold."""
    ways = ("loop.run_in_executor", "ThreadPoolExecutor, reused worker", "finaliser")
    words = ("isolated", "snapshot", "shared", "LEAK", "error")
    cells = [
        Cell("asyncio", way, name, word, word, way != "finaliser", word == "shared")
        for way in ways
        for name, word in zip(STRATEGIES, words, strict=True)
    ]
    figures = {"requests": 1_234_567, "server_leaks": 12_345, "highest_per_second": 61_209.1}
    named = {"server": "uvicorn-uvloop-httptools", "strategy": "greenlet"}
    runs = [
        run(**named, **figures, store=store, outcome=outcome, errors=12_345, foreign_reads=123)
        for store in ("sqlite", "postgresql")
        for outcome in ("clean", "violations", "interrupted")
    ]
    return document(matrix=matrix(*cells), soak=soak(*runs))


@pytest.mark.parametrize("content", [document, of_real_size, with_every_state])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_and_nothing_scrolls_sideways(
    browser: webdriver.Chrome,
    resized: Callable[[int], None],
    tmp_path: Path,
    width: int,
    content: Callable[[], dict[str, Any]],
) -> None:
    resized(width)
    opened(browser, tmp_path, content())
    wide = "box => box.scrollWidth > box.clientWidth"
    boxes = "[document.documentElement, ...document.querySelectorAll('.scroll')]"
    assert browser.execute_script(f"return {boxes}.filter({wide}).map(box => box.outerHTML)") == []
    assert browser.execute_script(CUT_TEXTS) == []
    assert browser.execute_script(BROKEN_WORDS) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_what_proves_something_comes_first_in_the_run_of_a_server(
    browser: webdriver.Chrome, resized: Callable[[int], None], tmp_path: Path, width: int
) -> None:
    resized(width)
    opened(browser, tmp_path, document())
    cells = browser.execute_script(RUN_PLACES)
    assert [text for text, *_ in cells[:6]] == [
        *("gunicorn-sync", "thread", "memory"),
        *("0", "clean", "7,000"),
    ]
    assert all(0 <= left < right <= width for _, left, right, _ in cells)
    tops = [top for *_, top in cells]
    assert tops == sorted(tops)


@pytest.mark.parametrize("width", [*WIDTHS, 1000])
def test_no_place_among_the_plots_is_empty(
    browser: webdriver.Chrome, resized: Callable[[int], None], tmp_path: Path, width: int
) -> None:
    resized(width)
    few = [row for row in bench()["servers"] if row["server"] == "waitress"]  # as prove has
    opened(browser, tmp_path, document(bench=bench(servers=few)))
    groups = browser.execute_script(PLOTS_IN_LINES)
    assert [sum(lines) for lines in groups] == [6, 4, 4, 1]
    assert all(len(set(lines)) == 1 for lines in groups)


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
