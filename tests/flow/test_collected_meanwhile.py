"""Locals that are collected while the values that travel are copied."""

from __future__ import annotations

import gc

from ctxlocal import Local, flow


def test_a_local_may_be_collected_while_a_snapshot_is_made() -> None:
    threshold = gc.get_threshold()
    gc.collect()
    gc.disable()
    try:
        kept = [Local(ident="thread", carry=True) for _ in range(200)]
        dropped: list[object] = [Local(ident="thread", carry=True) for _ in range(20)]
        for local in (*kept, *dropped):
            local.x = 1  # type: ignore[attr-defined]
        dropped.append(dropped)  # a cycle, for the collector alone
        del local, dropped
        gc.set_threshold(gc.get_count()[0] + 100)
        gc.enable()
        snapshot = flow.snapshot()
    finally:
        gc.set_threshold(*threshold)
        gc.enable()
    assert snapshot.run(lambda: [local.x for local in kept]) == [1] * 200
