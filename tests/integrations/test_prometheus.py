"""What a Prometheus server reads of a store that is watched."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ctxlocal.integrations.prometheus import BUCKETS, store_hook
from ctxlocal.sessions.errors import StoreUnavailableError
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.observed import StoreCall, observed
from ctxlocal.sessions.stores.protocol import Record

KEY = "ab" * 32


class Failing(MemoryStore):
    def load(self, key: str) -> Record | None:
        raise StoreUnavailableError(self.name, "load")


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_calls_are_counted_by_store_call_and_outcome(registry: CollectorRegistry) -> None:
    hook = store_hook(registry=registry)
    store, failing = observed(MemoryStore(), hook), observed(Failing(), hook)
    store.create(KEY, {"secret": b"value"}, 60)
    for _ in range(3):
        store.load(KEY)
    with pytest.raises(StoreUnavailableError):
        failing.load(KEY)
    count = "ctxlocal_store_call_seconds_count"
    assert value(registry, count, store="memory", call="load", outcome="ok") == 3
    failed = "StoreUnavailableError"
    assert value(registry, count, store="memory", call="load", outcome=failed) == 1
    exposed = generate_latest(registry).decode()
    assert "# TYPE ctxlocal_store_call_seconds histogram" in exposed
    assert KEY not in exposed
    assert "secret" not in exposed


def test_a_call_falls_into_the_bucket_of_its_seconds(registry: CollectorRegistry) -> None:
    note = store_hook(registry=registry)
    note(StoreCall("redis://host/0", "commit", 0.003, None, None, 0))
    labels = {"store": "redis://host/0", "call": "commit", "outcome": "ok"}
    name = "ctxlocal_store_call_seconds"
    assert value(registry, f"{name}_bucket", le="0.0025", **labels) == 0
    assert value(registry, f"{name}_bucket", le="0.005", **labels) == 1
    assert value(registry, f"{name}_sum", **labels) == 0.003
    assert sorted(BUCKETS) == list(BUCKETS)


def test_repetitions_are_counted(registry: CollectorRegistry) -> None:
    note = store_hook(registry=registry)
    for repeats in (0, 2, 1):
        note(StoreCall("redis://host/0", "commit", 0.1, None, None, repeats))
    total = "ctxlocal_store_repeats_total"
    assert value(registry, total, store="redis://host/0", call="commit") == 3


def test_buckets_of_ones_own(registry: CollectorRegistry) -> None:
    note = store_hook(registry=registry, buckets=(1, 2))
    note(StoreCall("s", "load", 1.5, None, None, 0))
    labels = {"store": "s", "call": "load", "outcome": "ok"}
    assert value(registry, "ctxlocal_store_call_seconds_bucket", le="2.0", **labels) == 1


def test_a_second_one_in_the_same_registry_is_refused(registry: CollectorRegistry) -> None:
    store_hook(registry=registry)
    with pytest.raises(ValueError, match="ctxlocal_store_call_seconds"):
        store_hook(registry=registry)
