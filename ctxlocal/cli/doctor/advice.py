"""What the facts mean. Whether a strategy isolates under a server is the matrix's promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ctxlocal.cli.matrix.place import Context, Owner, Place, promise

from .facts import Facts

Level = Literal["error", "note", "ok"]

_GREENLET = Place(greenlet=Owner.OTHER, context=Context.OWN)
# Where a request runs, seen from the one before it.
REQUESTS = {
    "asyncio": Place(task=Owner.OTHER, context=Context.COPY),
    "trio": Place(context=Context.COPY),
    "gevent": _GREENLET,
    "eventlet": _GREENLET,
    "threads": Place(thread=Owner.OTHER, context=Context.OWN),
}
SERVERS = tuple(REQUESTS)
HUBS = ("gevent", "eventlet")
MANY_REQUESTS = {
    "gevent": "The greenlet of a keep-alive connection serves several requests",
    "eventlet": "The greenlet of a keep-alive connection serves several requests",
    "threads": "A worker thread serves one request after the other",
}

# What becomes of a plain ContextVar, beside a Local that follows the default.
_BESIDE = {
    "context": "So does the default; another one would not move them.",
    "thread": "Threads start with an empty Context, so they tell threads apart; but a task, or a "
    "copied Context, has values of its own in them, where the default's are its thread's.",
    "greenlet": "Greenlets start with an empty Context, so they tell greenlets apart and inherit "
    "nothing (spawn ctxlocal.flow.bind(function) for that); but a task, or a copied Context, has "
    "values of its own in them, where the default's are its greenlet's.",
    "task": "A task starts with a copy of its creator's Context, so they show the creator's "
    "values, where the default's are unset.",
}
_BESIDE_OTHERS = "What the default's callable returns means nothing to them."
_TO_FOLLOW = "What is to follow has to be a Local or LocalStack of ctxlocal without a ContextVar."
_SHARED = (
    "Greenlets have no context variables of their own here: all greenlets of a thread share the "
    'values. pip install "greenlet>=1.1.3"'
)


@dataclass(frozen=True)
class Finding:
    """One thing to know; an "error" means that values are not isolated, or cannot be stored."""

    level: Level
    text: str


def advise(facts: Facts, server: str | None) -> Iterator[Finding]:
    """Judge ``facts``; ``server`` is where the application is meant to run, if that is known."""
    servers = apparent_servers(facts) if server is None else _meant_servers(facts, server)
    if facts.default.error is not None:
        yield Finding("error", facts.default.error)
    for name in servers:
        yield from _on_server(facts, name)
    yield from _on_patches(facts)
    if facts.context_proxies:
        yield _on_context_proxies(facts, servers)
    yield from _notes(facts)
    if not servers:
        yield Finding(
            "note",
            "Nothing in this process tells where the application runs. Name it with "
            "--server, load it with --import MODULE, or call ctxlocal.cli.doctor.diagnose() in it.",
        )


def apparent_servers(facts: Facts) -> list[str]:
    """Guess from what runs, or has patched, here."""
    return [name for name in SERVERS if name in facts.running or facts.is_patched_by(name)]


def _meant_servers(facts: Facts, server: str) -> list[str]:
    hubs = _patched_hubs(facts, server)
    return hubs if server == "threads" and hubs else [server]  # patched threads are greenlets


def _patched_hubs(facts: Facts, server: str) -> list[str]:
    return [hub for hub in HUBS if hub != server and facts.is_patched_by(hub)]


def _on_server(facts: Facts, server: str) -> Iterator[Finding]:
    if server in (*HUBS, "trio") and server not in facts.versions:
        extra = "all" if server == "trio" else server
        text = f'{server} is not installed: pip install "ctxlocal[{extra}]"'
        yield Finding("error", text)
        return
    other = _patched_hubs(facts, server)
    if server in HUBS and other and not facts.is_patched_by(server):
        text = f"This process is patched by {other[0]}, but the server is {server}."
        yield Finding("error", f"{text} Patch with {server}, or run it under {other[0]}.")
    elif server in HUBS and not facts.is_patched_by(server):
        yield Finding(
            "note", f"{server} has not patched this process; gunicorn does so in its worker."
        )
    if facts.default.kind is not None:
        yield _on_strategy(facts, server)
    if server in MANY_REQUESTS:
        text = (
            f"{MANY_REQUESTS[server]}: each has to be served inside ContextMiddleware or an App, "
            "or the locals released at its end (LocalManager, release_local)."
        )
        yield Finding("note", text)


def _on_strategy(facts: Facts, server: str) -> Finding:
    name, kind, hub = facts.default.name, facts.default.kind, facts.default.hub
    if kind == "callable":
        return Finding("note", f"Only {name} itself knows whether it tells requests apart.")
    if hub is not None and server in HUBS and hub != server:
        text = f"The strategy {hub!r} refuses greenlets of {server}."
        return Finding("error", f"{text} {_instead(server)}")
    if kind == "context" and server in HUBS and facts.greenlet_contexts is False:
        text = "This greenlet has no context variables of its own: all greenlets of a thread"
        return Finding("error", f'{text} share one Context. pip install "greenlet>=1.1.3"')
    if promise(REQUESTS[server], str(kind), in_task=server == "asyncio").creator == "shared":
        text = f"Under {server} concurrent requests share a thread, and the strategy {name!r}"
        return Finding("error", f"{text} gives them one set of values. {_instead(server)}")
    return Finding("ok", f"The strategy {name!r} isolates requests under {server}.")


def _instead(server: str) -> str:
    names = [
        repr(kind)
        for kind in ("context", "greenlet", "task", "thread")
        if promise(REQUESTS[server], kind, in_task=server == "asyncio").creator != "shared"
    ]
    how = "set CTXLOCAL_IDENT, or call ctxlocal.ident.set_default()"
    return f"Use {' or '.join(names)}: {how}."


def _on_patches(facts: Facts) -> Iterator[Finding]:
    if all(facts.is_patched_by(hub) for hub in HUBS):
        yield Finding("error", "gevent and eventlet have both patched this process. Remove one.")
    for patch in facts.patches:
        if patch.too_early:
            modules = ", ".join(patch.too_early)
            yield Finding(
                "note",
                f"{modules} came before {patch.library}'s patch. ctxlocal does not mind; but a "
                "threading.local that was made before it stays shared by all greenlets.",
            )


def _on_context_proxies(facts: Facts, servers: list[str]) -> Finding:
    names = ", ".join(facts.context_proxies)
    text = f"These lie over a ContextVar and keep to the Context, whatever the default is: {names}."
    if facts.greenlet_contexts is False and not {*HUBS}.isdisjoint(servers):
        return Finding("error", f"{text} {_SHARED}")
    beside = _BESIDE.get(str(facts.default.kind), _BESIDE_OTHERS)
    return Finding("note", f"{text} {beside} {_TO_FOLLOW}")


def _notes(facts: Facts) -> Iterator[Finding]:
    default = facts.default
    if facts.environment_ident and default.source == "set_default":
        yield Finding(
            "note", f"CTXLOCAL_IDENT={facts.environment_ident} is overruled by set_default()."
        )
    if facts.thread_inherit_context and (default.kind == "context" or facts.context_proxies):
        yield Finding(
            "note", "Python starts threads in a copy of their starter's Context (snapshot)."
        )
