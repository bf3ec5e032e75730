"""Flask's requests are measured beside the original, and shown with their ratio to it."""

from __future__ import annotations

import pytest

from benchmarks import flask_requests
from benchmarks.flask_requests import ORIGINAL, ROWS, VIEWS, Requests


def test_a_row_has_its_ratio_to_the_original() -> None:
    points = {ORIGINAL: dict.fromkeys(VIEWS, 1000.0), "thread": dict.fromkeys(VIEWS, 1500.0)}
    document = {"points": points, "implementation": "native", "python": "3.13.0"}
    assert Requests(document).table().splitlines()[2:] == [
        f"| {ORIGINAL} | 1,000 (1.00×) | 1,000 (1.00×) |",
        "| ctxlocal, `thread` | 1,500 (1.50×) | 1,500 (1.50×) |",
    ]


@pytest.mark.slow
def test_each_row_serves_each_view() -> None:
    found = flask_requests.measure(1)
    assert list(found) == list(ROWS)
    assert all(rate > 0 for rates in found.values() for rate in rates.values())
