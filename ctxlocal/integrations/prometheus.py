"""Metrics of session stores for Prometheus, by prometheus_client.

``ctxlocal_store_call_seconds``, a histogram with the labels ``store`` (its name), ``call`` (the
method) and ``outcome``: ``ok``, or the name of the error's class. ``ctxlocal_store_repeats_total``,
a counter with the labels ``store`` and ``call``: how often a store asked its server again.
https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import MissingDependencyError
from ..sessions.stores.observed import StoreCall

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
except ImportError as error:
    raise MissingDependencyError(
        "ctxlocal.integrations.prometheus", "prometheus_client", "prometheus"
    ) from error

__all__ = ["BUCKETS", "store_hook"]

#: Upper bounds in seconds. A store nearby answers in less than the library's own first, 5 ms.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def store_hook(
    *, registry: CollectorRegistry = REGISTRY, buckets: Sequence[float] = BUCKETS
) -> Callable[[StoreCall], None]:
    """Return what :func:`~ctxlocal.sessions.stores.observed.observed` tells each call to.

    Make one, and give it to all stores of the process. Safe from any thread.

    :param registry: where the two metrics are registered; the default one is what
        ``start_http_server`` and ``make_wsgi_app`` serve.
    :param buckets: the histogram's, in seconds, ascending.
    :raises ValueError: the registry has such metrics already.
    """
    seconds = Histogram(
        "ctxlocal_store_call_seconds",
        "How long calls of a session store took.",
        ("store", "call", "outcome"),
        registry=registry,
        buckets=buckets,
    )
    repeats = Counter(
        "ctxlocal_store_repeats",
        "How often a session store asked its server again.",
        ("store", "call"),
        registry=registry,
    )

    def note(call: StoreCall) -> None:
        outcome = "ok" if call.error is None else call.error.__name__
        seconds.labels(call.store, call.call, outcome).observe(call.seconds)
        if call.repeats:
            repeats.labels(call.store, call.call).inc(call.repeats)

    return note
