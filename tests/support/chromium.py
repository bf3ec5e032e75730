"""A headless Chromium, driven by selenium, that logs what its console and its network see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.support.services import find

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update"
)


def chromium(profile: Path) -> webdriver.Chrome:
    """Start one with a profile of its own; the caller quits it."""
    program, driver = find("chromium"), find("chromedriver")
    assert program, "chromium is not installed"
    assert driver, "chromedriver is not installed"
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS.split(), f"--user-data-dir={profile}", "--window-size=1000,800"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


def console(driver: webdriver.Chrome) -> list[tuple[str, str]]:
    """Return level and message of what the console shows since the last call."""
    entries: Any = driver.get_log("browser")  # type: ignore[no-untyped-call]
    return [(entry["level"], entry["message"]) for entry in entries]


def requested(driver: webdriver.Chrome) -> list[str]:
    """Return the addresses that were asked for since the last call."""
    entries: Any = driver.get_log("performance")  # type: ignore[no-untyped-call]
    events = [json.loads(entry["message"])["message"] for entry in entries]
    return [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
