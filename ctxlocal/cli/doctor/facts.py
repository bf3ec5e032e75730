"""What can be seen of this process. Nothing but greenlet is imported for it."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType

import ctxlocal
from ctxlocal import ident
from ctxlocal.errors import CtxLocalError
from ctxlocal.ident.named import kind_of
from ctxlocal.lab.versions import (
    has_gil,
    hidden_twin,
    installed_versions,
    lacks_native_values,
    other_builds,
)
from ctxlocal.local import REASON

from .frameworks import Doubled, ScopedSession, doubled_sessions, in_threads, scoped_sessions
from .locals import Holding, ThreadLocal, holdings, thread_locals
from .proxies import context_proxies

PATCHABLE = ("os", "thread", "threading", "socket", "select", "ssl", "subprocess", "time", "queue")
# Imported early by many, and known to keep what they found unpatched.
EARLY_STDLIB = ("threading", "asyncio", "concurrent.futures")
EARLY = (*EARLY_STDLIB, "ctxlocal", "werkzeug.local", "flask")


@dataclass(frozen=True)
class Default:
    """The application's strategy.

    ``kind`` is "context", "thread", "greenlet", "task" or "callable"; ``hub`` is
    "gevent" or "eventlet" where it insists on one; ``error`` why there is none.
    """

    name: str | None
    kind: str | None
    hub: str | None
    source: str
    error: str | None = None


@dataclass(frozen=True)
class Patch:
    """A monkey-patch. ``too_early`` are the modules that were imported before it."""

    library: str
    modules: tuple[str, ...]
    too_early: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """What was seen. None means that it does not apply here."""

    python: str
    free_threaded: bool
    gil: bool  #: off on a free-threaded Python, unless an extension or PYTHON_GIL switched it on
    thread_inherit_context: bool | None
    twin: str
    twin_reason: str
    default: Default
    greenlet_contexts: bool | None
    versions: dict[str, str] = field(default_factory=dict)
    patches: tuple[Patch, ...] = ()
    running: dict[str, str] = field(default_factory=dict)
    locals: tuple[Holding, ...] = ()
    thread_locals: tuple[ThreadLocal, ...] = ()
    context_proxies: tuple[str, ...] = ()
    in_threads: tuple[str, ...] = ()  #: frameworks that run parts of a request in threads
    doubled_sessions: tuple[Doubled, ...] = ()
    scoped_sessions: tuple[ScopedSession, ...] = ()
    environment_ident: str | None = None
    hidden_twin: str = ""  #: says that an installed ctxlocal with the native twin is not what runs
    other_builds: tuple[str, ...] = ()  #: the native twins of other Pythons, where this has none
    lacks_native_values: bool = False  #: the core's native twin was built, that of sessions was not

    def is_patched_by(self, library: str) -> bool:
        """Whether ``library`` has patched anything."""
        return any(patch.library == library for patch in self.patches)


def gather(ignore: frozenset[str] = frozenset()) -> Facts:
    """Look at this process.

    :param ignore: modules that are none of the application's.
    """
    inherit = getattr(sys.flags, "thread_inherit_context", None)
    return Facts(
        python=platform.python_version(),
        free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        gil=has_gil(),
        thread_inherit_context=None if inherit is None else bool(inherit),
        twin=ctxlocal.IMPLEMENTATION,
        twin_reason=REASON,
        default=_default(),
        greenlet_contexts=_greenlet_contexts(),
        versions=installed_versions(),
        patches=tuple(_patches(ignore)),
        running=dict(_running()),
        locals=holdings(),
        thread_locals=thread_locals(ignore),
        context_proxies=context_proxies(),
        in_threads=in_threads(ignore),
        doubled_sessions=doubled_sessions(),
        scoped_sessions=scoped_sessions(),
        environment_ident=os.environ.get("CTXLOCAL_IDENT"),
        hidden_twin=hidden_twin(),
        other_builds=other_builds(),
        lacks_native_values=lacks_native_values(),
    )


def _default() -> Default:
    try:
        strategy = ident.get_default()
    except CtxLocalError as error:
        return Default(None, None, None, "CTXLOCAL_IDENT", str(error))
    hub = getattr(strategy, "hub", None)
    return Default(strategy.name, kind_of(strategy), hub, ident.default_source())


def _greenlet_contexts() -> bool | None:
    try:
        import greenlet  # only greenlet itself can tell
    except ImportError:
        return None
    return bool(getattr(greenlet, "GREENLET_USE_CONTEXT_VARS", False))


def _patches(ignore: frozenset[str]) -> Iterator[Patch]:
    # Patching imports the replacement of _thread, and nothing else does; so its place in
    # sys.modules is the moment of the patch.
    if (gevent := sys.modules.get("gevent.monkey")) is not None:
        modules = tuple(name for name in PATCHABLE if gevent.is_module_patched(name))
        if modules:
            yield Patch("gevent", modules, _imported_before("gevent.thread", ignore))
    if (eventlet := sys.modules.get("eventlet.patcher")) is not None:
        modules = tuple(name for name in PATCHABLE if eventlet.is_monkey_patched(name))
        if modules:
            # eventlet imports these itself, and out of the order of sys.modules.
            early = _imported_before("eventlet.green.thread", ignore | set(EARLY_STDLIB))
            yield Patch("eventlet", modules, early)


def _imported_before(marker: str, ignore: frozenset[str]) -> tuple[str, ...]:
    order = list(sys.modules)
    if marker not in order:
        return ()
    library = marker.partition(".")[0]
    first = next(nth for nth, name in enumerate(order) if name.partition(".")[0] == library)
    # What the library needs itself it imports itself, which harms nobody.
    before = {*order[:first], *(name for name in order[: order.index(marker)] if _is_foreign(name))}
    return tuple(name for name in EARLY if name in before - ignore)


def _is_foreign(module: str) -> bool:
    return module.partition(".")[0] not in sys.stdlib_module_names


def _running() -> Iterator[tuple[str, str]]:
    """Yield what runs in this thread now, and the name of its loop or hub."""
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio")
    if asyncio is not None and (loop := asyncio._get_running_loop()) is not None:
        yield "asyncio", _type_name(loop)
    elif asyncio is not None and (policy := _uvloop_policy(asyncio)) is not None:
        yield "asyncio", policy
    if trio is not None and _runs_trio(trio):
        yield "trio", "trio.run"
    for library, hub in (("gevent", _gevent_hub()), ("eventlet", _eventlet_hub())):
        if hub is not None:
            yield library, _type_name(hub)


def _gevent_hub() -> object:
    hubs = sys.modules.get("gevent._hub_local")
    return None if hubs is None else hubs.get_hub_if_exists()


def _eventlet_hub() -> object:
    # eventlet's public get_hub() would make one.
    threadlocal = getattr(sys.modules.get("eventlet.hubs"), "_threadlocal", None)
    return getattr(threadlocal, "hub", None)


def _type_name(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _uvloop_policy(asyncio: ModuleType) -> str | None:
    # The public function would make a policy, and is deprecated from 3.14 on.
    policy = getattr(asyncio.events, "_event_loop_policy", None)
    name = _type_name(policy)
    return name if name.startswith("uvloop") else None


def _runs_trio(trio: ModuleType) -> bool:
    try:
        trio.lowlevel.current_trio_token()
    except RuntimeError:
        return False
    return True
