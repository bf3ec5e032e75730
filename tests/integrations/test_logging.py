"""What a Local holds is in every line of a log, in the owner that writes it."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from typing import Any

import loguru
import pytest
import structlog

from ctxlocal import Local, flow, scoped
from ctxlocal.integrations.logging import LocalFilter, loguru_patcher, structlog_processor


@pytest.fixture(params=["context", "thread"])
def local(request: pytest.FixtureRequest) -> Iterator[Local]:
    local = Local(ident=request.param, name="request", carry=True)
    with scoped(local, request_id="r1"):
        yield local


class TestLogging:
    @pytest.fixture
    def lines(self, local: Local) -> Iterator[io.StringIO]:
        """What the logger of this test writes."""
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter("%(request_id)s %(tenant)s %(message)s"))
        handler.addFilter(LocalFilter(local, {"request_id": "-", "tenant": "none"}))
        log = logging.getLogger("ctxlocal.tests.shop")
        log.addHandler(handler)
        yield stream
        log.removeHandler(handler)

    def test_each_line_has_what_its_owner_has(self, local: Local, lines: io.StringIO) -> None:
        log = logging.getLogger("ctxlocal.tests.shop.cart")

        def work() -> None:
            log.warning("in a thread")

        log.warning("served")
        for target in (work, flow.bind(work)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
        assert lines.getvalue().splitlines() == [
            "r1 none served",
            "- none in a thread",
            "r1 none in a thread",
        ]

    def test_what_the_record_has_stays(self, lines: io.StringIO) -> None:
        logging.getLogger("ctxlocal.tests.shop").warning("x", extra={"request_id": "mine"})
        assert lines.getvalue() == "mine none x\n"

    @pytest.mark.parametrize("name", ["name", "message", "asctime", "levelname"])
    def test_a_name_of_loggings_own_is_refused(self, local: Local, name: str) -> None:
        with pytest.raises(ValueError, match=f"^a log record has a '{name}' of its own"):
            LocalFilter(local, {name: "-"})


def test_structlog_has_it_in_each_event(local: Local) -> None:
    local.tenant = "shop"
    output = structlog.testing.LogCapture()
    log = structlog.wrap_logger(
        structlog.PrintLogger(io.StringIO()), processors=[structlog_processor(local), output]
    )
    log.bind(tenant="bound").info("served")
    assert output.entries == [
        {"event": "served", "log_level": "info", "request_id": "r1", "tenant": "bound"}
    ]


def test_loguru_has_it_in_extra(local: Local) -> None:
    seen: list[Any] = []
    log: Any = loguru.logger.patch(loguru_patcher(local))
    sink = log.add(lambda message: seen.append(message.record["extra"]), level="INFO")
    try:
        log.bind(cart=1).info("served")
    finally:
        log.remove(sink)
    assert seen == [{"request_id": "r1", "cart": 1}]
