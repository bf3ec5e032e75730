"""The ways of starting work, one module for each library.

A probe is a generator: it starts its callee, yields, and waits for the callee;
its decorator says where the callee runs. Third-party libraries are imported
inside the probes: the command lists all of them, whatever is installed.
"""

from __future__ import annotations

from ctxlocal.lab.matrix.probe import Group, Probe

from . import (
    anyio,
    asgiref,
    asyncio,
    callers,
    eventlet,
    gevent,
    greenlets,
    processes,
    threads,
    trio,
    uvloop,
)

GROUPS: tuple[Group, ...] = (
    threads.group,
    callers.group,
    asyncio.group,
    asyncio.callbacks_from_outside,
    uvloop.group,
    anyio.group,
    trio.group,
    asgiref.from_async,
    asgiref.group,
    greenlets.group,
    gevent.group,
    gevent.patched,
    gevent.patched_late,
    eventlet.group,
    eventlet.patched,
    eventlet.patched_late,
    processes.group,
)


def all_probes() -> list[Probe]:
    """All probes in the order of the table."""
    return [probe for group in GROUPS for probe in group.probes]


def find_probe(group: str, way: str) -> Probe:
    """Return the probe with these names."""
    return next(p for p in all_probes() if (p.group.name, p.way) == (group, way))
