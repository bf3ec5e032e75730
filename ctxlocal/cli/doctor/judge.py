"""Whether a strategy isolates requests under a server: what the matrix promises, applied."""

from __future__ import annotations

from collections.abc import Sequence

from ctxlocal.ident.greenlet import HUBS
from ctxlocal.ident.named import KINDS
from ctxlocal.lab.matrix.place import promise
from ctxlocal.lab.servers.kinds import KINDS as SERVERS
from ctxlocal.lab.servers.kinds import LOOPS


def fault(
    kind: str,
    hub: str | None,
    server: str,
    *,
    greenlets_have_contexts: bool | None,
    in_threads: Sequence[str],
) -> str | None:
    """Say why a strategy cannot isolate requests under ``server``; None: it can.

    :param kind: of the owners that it tells apart, a key of ``ident.named.KINDS``.
    :param hub: the one that it insists on.
    :param in_threads: what runs parts of a request in threads there.
    """
    if hub is not None and server in HUBS and hub != server:
        return f"refuses greenlets of {server}"
    if kind == "context" and server in HUBS and greenlets_have_contexts is False:
        return "cannot tell greenlets apart, which have no context variables of their own here"
    if _shares(kind, server):
        return f"gives concurrent requests, which share a thread under {server}, one set of values"
    if kind == "task" and server in LOOPS and in_threads:
        where = ", ".join(in_threads)
        return f"has no task, and so none of the request's values, in the threads of {where}"
    return None


def remedies(server: str, in_threads: Sequence[str]) -> list[str]:
    """Name the strategies that isolate there."""
    return [
        kind
        for kind in sorted(KINDS)
        if not _shares(kind, server) and not (kind == "task" and in_threads)
    ]


def _shares(kind: str, server: str) -> bool:
    return promise(SERVERS[server].request, kind, in_task=server == "asyncio").creator == "shared"
