"""Metrics and spans of session stores for OpenTelemetry, by its API alone.

A call of a store is one or several commands of a database, which instrumentation of the client may
record as ``db.client.operation.duration``. So it has names of its own, made after those:
``ctxlocal.store.call.duration``, a histogram in seconds, and ``ctxlocal.store.call.repeats``, a
counter; and a span of the kind CLIENT for each call, whose parent is the request's.

Attributes: ``ctxlocal.store.name``, ``db.operation.name`` (the method) and, where it failed,
``error.type``: the class of what the store's client raised, if it did, else of what the store did.
https://opentelemetry.io/docs/specs/semconv/db/
"""

from __future__ import annotations

from collections.abc import Callable
from time import time_ns

from .. import __version__
from ..errors import MissingDependencyError
from ..sessions.stores.observed import StoreCall

try:
    from opentelemetry import metrics, trace
except ImportError as error:
    raise MissingDependencyError(
        "ctxlocal.integrations.opentelemetry", "opentelemetry-api", "opentelemetry"
    ) from error

__all__ = ["store_hook"]

# What the conventions advise for the duration of a database's operations.
_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)


def store_hook(
    *,
    meter_provider: metrics.MeterProvider | None = None,
    tracer_provider: trace.TracerProvider | None = None,
) -> Callable[[StoreCall], None]:
    """Return what :func:`~ctxlocal.sessions.stores.observed.observed` tells each call to.

    Give the one to all stores of the process. Safe from any thread and task. Without an SDK, or
    with a provider that does nothing, nothing is recorded.

    :param meter_provider: makes the metrics; None: the one that is set for the process.
    :param tracer_provider: makes the spans; None: the one that is set for the process.
    """
    meter = metrics.get_meter("ctxlocal", __version__, meter_provider)
    tracer = trace.get_tracer("ctxlocal", __version__, tracer_provider)
    duration = meter.create_histogram(
        "ctxlocal.store.call.duration",
        unit="s",
        description="Duration of calls of a session store.",
        explicit_bucket_boundaries_advisory=_BUCKETS,
    )
    repeats = meter.create_counter(
        "ctxlocal.store.call.repeats",
        unit="{repeat}",
        description="How often a session store asked its server again.",
    )

    def note(call: StoreCall) -> None:
        end = time_ns()
        attributes = {"ctxlocal.store.name": call.store, "db.operation.name": call.call}
        span = tracer.start_span(
            f"{call.call} {call.store}",
            kind=trace.SpanKind.CLIENT,
            start_time=end - int(call.seconds * 1e9),
            attributes=attributes,
        )
        if call.error is not None:
            attributes["error.type"] = _canonical(call.cause or call.error)
            span.set_attribute("error.type", attributes["error.type"])
            span.set_status(trace.StatusCode.ERROR)
        if call.repeats:
            span.set_attribute("ctxlocal.store.call.repeats", call.repeats)
            repeats.add(call.repeats, attributes)
        span.end(end)
        duration.record(call.seconds, attributes)

    return note


def _canonical(error: type[BaseException]) -> str:
    """Return a class's full name; a built-in one has no module."""
    if error.__module__ == "builtins":
        return error.__qualname__
    return f"{error.__module__}.{error.__qualname__}"
