"""What the facts mean, for an application under a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ctxlocal.ident.greenlet import HUBS
from ctxlocal.lab.servers.kinds import KINDS

from .facts import Facts
from .judge import fault, remedies
from .locals import Holding, ThreadLocal

Level = Literal["error", "note", "ok"]
LEVELS = ("error", "note", "ok")  #: the worst first

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
    'values. pip install "greenlet>=3.1"'
)


@dataclass(frozen=True)
class Finding:
    """One thing to know; an "error" means that values are not isolated, or not stored."""

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
    for doubled in facts.doubled_sessions:
        yield Finding("error" if doubled.is_lost else "note", doubled.text)
    yield from _notes(facts)
    if not servers:
        yield Finding(
            "note",
            "Nothing in this process tells where the application runs. Name it with "
            "--server, load it with --import MODULE, or call ctxlocal.cli.doctor.diagnose() in it.",
        )


def apparent_servers(facts: Facts) -> list[str]:
    """Guess from what runs, or has patched, here."""
    return [name for name in KINDS if name in facts.running or facts.is_patched_by(name)]


def _meant_servers(facts: Facts, server: str) -> list[str]:
    hubs = _patched_hubs(facts, server)
    return hubs if server == "threads" and hubs else [server]  # patched threads are greenlets


def _patched_hubs(facts: Facts, server: str) -> list[str]:
    return [hub for hub in HUBS if hub != server and facts.is_patched_by(hub)]


def _on_server(facts: Facts, server: str) -> Iterator[Finding]:
    if server in (*HUBS, "trio") and server not in facts.versions:
        yield Finding("error", f"{server} is not installed: pip install {server}")
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
        yield _on_default(facts, facts.default.kind, server)
    for holding in facts.locals:
        if holding.kind is not None:
            yield _on_local(facts, holding, holding.kind, server)
    yield from _on_thread_locals(facts, server)
    yield from _on_scoped_sessions(facts, server)
    if server in MANY_REQUESTS:
        text = (
            f"{MANY_REQUESTS[server]}: each has to be served inside ContextMiddleware or an App, "
            "or the locals released at its end (LocalManager, release_local)."
        )
        yield Finding("note", text)


def _on_default(facts: Facts, kind: str, server: str) -> Finding:
    name = facts.default.name
    followers = [holding.name for holding in facts.locals if holding.kind is None]
    follow = f" What follows it: {', '.join(followers)}." if followers else ""
    if kind == "callable":
        text = f"Only {name} itself knows whether it tells requests apart.{follow}"
        return Finding("note", text)
    if wrong := _fault(facts, kind, facts.default.hub, server):
        how = "set CTXLOCAL_IDENT, or call ctxlocal.ident.set_default()"
        text = f"The strategy {name!r} {wrong}.{follow} {_instead(facts, kind, server)}: {how}."
        return Finding("error", text)
    return Finding("ok", f"The strategy {name!r} isolates requests under {server}.{follow}")


def _on_local(facts: Facts, local: Holding, kind: str, server: str) -> Finding:
    subject = f"{_placed(local)} is a {local.type} with a strategy of its own"
    if kind == "callable":
        text = f"{subject}: only {local.strategy} itself knows whether it tells requests apart."
        return Finding("note", text)
    if wrong := _fault(facts, kind, local.hub, server):
        how = "or make it without ident, so that it follows the default"
        text = f"{subject}: {local.strategy!r} {wrong}. {_instead(facts, kind, server)}, {how}."
        return Finding("error", text)
    text = f"{subject}: {local.strategy!r} isolates requests under {server}."
    return Finding("ok", text)


def _placed(one: Holding | ThreadLocal) -> str:
    return one.name if one.position is None else f"{one.name} ({one.position})"


def _fault(facts: Facts, kind: str, hub: str | None, server: str) -> str | None:
    return fault(
        kind,
        hub,
        server,
        greenlets_have_contexts=facts.greenlet_contexts,
        in_threads=facts.in_threads,
    )


def _instead(facts: Facts, kind: str, server: str) -> str:
    if kind == "context":  # which isolates everywhere else
        return 'pip install "greenlet>=3.1"'
    return "Use " + " or ".join(map(repr, remedies(server, facts.in_threads)))


def _on_thread_locals(facts: Facts, server: str) -> Iterator[Finding]:
    if server == "threads":
        return
    made_early = server in HUBS and facts.is_patched_by(server)
    for one in facts.thread_locals:
        if not one.is_library:
            yield _on_thread_local(one, server, made_early)
    libraries = [one.name for one in facts.thread_locals if one.is_library]
    if made_early and libraries:
        text = f"These were made before {server}'s patch, and all greenlets of a thread share them"
        yield Finding("note", f"{text}: {', '.join(libraries)}. Patch first of all.")


def _on_thread_local(one: ThreadLocal, server: str, made_early: bool) -> Finding:
    subject = f"{_placed(one)} is a threading.local"
    if made_early:
        text = f"made before {server}'s patch: all greenlets of a thread share it"
        return Finding("error", f"{subject}, {text}. Patch first of all, or use a Local.")
    if server in HUBS:
        text = f"{server} has to patch before it is made, or all greenlets of a thread share it"
        return Finding("note", f"{subject}: {text}.")
    text = "all tasks of a thread share it. For what belongs to a request use a Local"
    return Finding("note", f"{subject}: {text}.")


def _on_scoped_sessions(facts: Facts, server: str) -> Iterator[Finding]:
    scopes = {one.scope for one in facts.scoped_sessions}
    if "threads" in scopes and server != "threads":
        yield Finding(
            "error",
            "A SQLAlchemy scoped_session finds its session by the thread, which concurrent "
            f"requests share under {server}. Make it by scoped() of "
            "ctxlocal.integrations.sqlalchemy.",
        )
    if "ctxlocal" in scopes:
        yield Finding(
            "note",
            "A SQLAlchemy scoped_session keeps each owner's session, and its connection, until "
            "remove() is called. One that is made by scoped() of ctxlocal.integrations.sqlalchemy "
            "does so itself.",
        )


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
    if facts.hidden_twin:
        yield Finding("note", f"The wrong ctxlocal may be meant: {facts.hidden_twin}.")
    elif facts.twin == "pure" and "not built" in facts.twin_reason:
        yield Finding(
            "note",
            "The pure Python twin serves, which takes several times as long: "
            f"{facts.twin_reason}. Install a C compiler and Python's headers, then install "
            "ctxlocal anew; with CTXLOCAL_REQUIRE_NATIVE=1 a build that fails is an error.",
        )
    if facts.other_builds:
        yield Finding(
            "note",
            f"The native twin here is that of another Python: {', '.join(facts.other_builds)}. "
            "Install ctxlocal anew with this Python's pip.",
        )
    if facts.lacks_native_values:
        yield Finding(
            "note",
            "Sessions have the pure Python twin of their values, which takes longer: the native "
            "one was not built with the core's. Install ctxlocal anew.",
        )
    if facts.environment_ident and default.source == "set_default":
        yield Finding(
            "note", f"CTXLOCAL_IDENT={facts.environment_ident} is overruled by set_default()."
        )
    if facts.thread_inherit_context and (default.kind == "context" or facts.context_proxies):
        yield Finding(
            "note", "Python starts threads in a copy of their starter's Context (snapshot)."
        )
