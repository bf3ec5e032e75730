"""What OpenTelemetry's SDK records of a store that is watched."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from ctxlocal.integrations.opentelemetry import store_hook
from ctxlocal.sessions import Cookie, StoredSessions
from ctxlocal.sessions.errors import StoreUnavailableError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.observed import StoreCall, observed
from ctxlocal.sessions.stores.protocol import Record

KEY = "ab" * 32


class Failing(MemoryStore):
    def load(self, key: str) -> Record | None:
        raise StoreUnavailableError(self.name, "load") from TimeoutError()


class Disk(MemoryStore):
    is_blocking = True


class Telemetry:
    """An SDK that keeps what it is told."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self._spans = InMemorySpanExporter()
        self.meters = MeterProvider(metric_readers=[self._reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.hook = store_hook(meter_provider=self.meters, tracer_provider=self.tracers)

    @property
    def spans(self) -> Any:
        return self._spans.get_finished_spans()

    def metrics(self) -> dict[str, Any]:
        data: Any = self._reader.get_metrics_data()
        (resource,) = data.resource_metrics
        (scope,) = resource.scope_metrics
        assert scope.scope.name == "ctxlocal"
        return {metric.name: metric for metric in scope.metrics}


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


def test_calls_are_measured(telemetry: Telemetry) -> None:
    store = observed(MemoryStore(), telemetry.hook)
    store.create(KEY, {"secret": b"value"}, 60)
    store.load(KEY)
    store.load(KEY)
    duration = telemetry.metrics()["ctxlocal.store.call.duration"]
    assert duration.unit == "s"
    points = {point.attributes["db.operation.name"]: point for point in duration.data.data_points}
    assert points["load"].count == 2
    assert points["load"].explicit_bounds[0] == 0.001
    assert dict(points["create"].attributes) == {
        "ctxlocal.store.name": "memory",
        "db.operation.name": "create",
    }


def test_a_failure_is_of_the_type_that_the_client_raised(telemetry: Telemetry) -> None:
    with pytest.raises(StoreUnavailableError):
        observed(Failing(), telemetry.hook).load(KEY)
    (point,) = telemetry.metrics()["ctxlocal.store.call.duration"].data.data_points
    assert point.attributes["error.type"] == "TimeoutError"
    telemetry.hook(StoreCall("s", "load", 0.1, StoreUnavailableError, None, 0))
    first, second = telemetry.spans
    assert first.attributes["error.type"] == "TimeoutError"
    assert first.status.status_code is StatusCode.ERROR
    assert second.attributes["error.type"] == "ctxlocal.sessions.errors.StoreUnavailableError"


def test_repetitions_are_counted(telemetry: Telemetry) -> None:
    for repeats in (0, 2, 1):
        telemetry.hook(StoreCall("redis://host/0", "commit", 0.1, None, None, repeats))
    (point,) = telemetry.metrics()["ctxlocal.store.call.repeats"].data.data_points
    assert point.value == 3
    seen = [span.attributes.get("ctxlocal.store.call.repeats") for span in telemetry.spans]
    assert seen == [None, 2, 1]


def test_a_span_lasts_as_long_as_the_call(telemetry: Telemetry) -> None:
    telemetry.hook(StoreCall("redis://host/0", "commit", 1.5, None, None, 0))
    (span,) = telemetry.spans
    assert span.name == "commit redis://host/0"
    assert span.kind is SpanKind.CLIENT
    assert span.end_time - span.start_time == 1_500_000_000
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("store", [MemoryStore, Disk])
def test_a_span_is_the_child_of_the_requests(
    telemetry: Telemetry, store: type[MemoryStore]
) -> None:
    """Also where the store's call runs in a thread that has nothing of the request."""
    sessions: StoredSessions[Any] = StoredSessions(
        observed(store(), telemetry.hook), cookie=Cookie.for_development()
    )

    async def request() -> None:
        with telemetry.tracers.get_tracer("server").start_as_current_span("GET /"):
            session = await sessions.open_async("ctxlocal-session=" + "A" * 43)
            assert session.get("n") is None  # a store that does not block is asked now

    asyncio.run(request())
    *loads, request_span = telemetry.spans
    assert {load.parent.span_id for load in loads} == {request_span.context.span_id}


def test_no_provider_records_nothing() -> None:
    assert observed(MemoryStore(), store_hook()).load(KEY) is None
