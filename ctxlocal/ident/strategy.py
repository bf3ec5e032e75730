"""The identity strategies: each finds the current owner, and the record of what it holds."""

from __future__ import annotations

import gc
import sys
from _thread import get_ident
from _weakref import ref  # without what else weakref imports
from contextvars import Context, ContextVar

from ..errors import (
    HubMismatchError,
    IdentCallableError,
    MissingDependencyError,
    UnknownIdentError,
    endless,
)
from .record import EqualToken, OwnerToken, Record, thread_record, thread_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Hashable
    from typing import Any, Final

    from .by_equality import Frames

THREAD: Final = object()  # the owner that owner() gives where the thread itself is it
_KEY: Final = "_ctxlocal"  # of the Record in an owner's __dict__


class Ident:
    """A strategy. Derive from it and give ``name`` and ``owner()`` for one of your own.

    The base keeps an owner's values in the owner's ``__dict__``; where it has
    none, in a table by identity as long as the owner lives (then a value that
    refers to its owner keeps it alive); where the owner cannot be weakly
    referenced, by equality until the values are released (by_equality.py).
    """

    name = "custom"

    def __init__(self) -> None:
        self._by_id: dict[int, tuple[ref[Any], Record]] = {}
        self.frames: Frames = {}  # that owners known by equality are inside
        self.travelling: dict[int, None] = {}  # keys of the storages under it that travel

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def owner(self) -> object:
        """Return the current owner, or THREAD where the thread itself is it.

        Called at each access; has to be fast, and safe from any thread and greenlet.
        """
        raise NotImplementedError

    def describe(self) -> str:
        """Return the current owner in words, for messages."""
        owner = self.owner()
        return _thread_label() if owner is THREAD else repr(owner)

    def current(self) -> Hashable:
        """Return a hashable identity of the current owner; see :func:`current`."""
        owner = self.owner()
        if self.knows_by_equality(owner):
            return EqualToken(self.describe(), (self, owner))
        record = self.record_of(owner)
        if record.token is None:
            record.token = OwnerToken(self.describe())
        return record.token

    def knows_by_equality(self, owner: object) -> bool:
        """Whether ``owner`` has no record, because it cannot be weakly referenced.

        :raises IdentCallableError: it is not hashable either.
        """
        if owner is THREAD or type(owner).__weakrefoffset__:
            return False
        try:
            hash(owner)
        except TypeError:
            raise IdentCallableError(
                self, f"it returned {owner!r}, which is neither weakly referenceable nor hashable"
            ) from None
        return True

    def record_of(self, owner: Any) -> Record:
        """Return the record of ``owner``; it is made where there is none."""
        return self.existing_record(owner) or self.make_record(owner)

    def existing_record(self, owner: Any) -> Record | None:
        """Return the record of ``owner``, which may be THREAD, or None."""
        return thread_record() if owner is THREAD else self.find_record(owner)

    def find_record(self, owner: Any) -> Record | None:
        """Return the record of ``owner``, or None."""
        record: Record | None
        attributes = getattr(owner, "__dict__", None)
        if type(attributes) is dict and (record := attributes.get(_KEY)) is not None:
            # A copied owner has the original's record in its __dict__; it is not its own.
            return record if record.owner is not None and record.owner() is owner else None
        entry = self._by_id.get(id(owner))
        return None if entry is None else entry[1]

    def make_record(self, owner: Any) -> Record:
        """Give ``owner`` an empty record."""
        record = Record(owner, thread_token())
        attributes = getattr(owner, "__dict__", None)
        # setdefault, because several threads may have one owner in common.
        if type(attributes) is not dict:
            reference = ref(owner, self._forget_id(id(owner)))
            return self._by_id.setdefault(id(owner), (reference, record))[1]
        found: Record = attributes.setdefault(_KEY, record)
        if found.owner is None or found.owner() is not owner:  # came with a copied __dict__
            attributes[_KEY] = found = record
        return found

    def _forget_id(self, key: int) -> Callable[[object], object]:
        table = self._by_id
        return lambda _: table.pop(key, None)


class ContextIdent(Ident):
    """The current :class:`contextvars.Context` (PEP 567); the default.

    A copied Context starts with the values of the moment it was copied, and no
    set is ever seen by parent, child or sibling. Released with the Context.
    """

    name = "context"

    def __init__(self) -> None:
        super().__init__()
        self._tokens: dict[int, tuple[ref[Context], OwnerToken]] = {}

    def owner(self) -> Context:
        """Return the current Context itself, not a copy. CPython only; about 1 microsecond."""
        token = _probe.set(None)
        try:
            # A Token refers to the Context it was made in, which has no other public name.
            return next(found for found in gc.get_referents(token) if type(found) is Context)
        finally:
            _probe.reset(token)

    def current(self) -> Hashable:
        """Return one identity for each living Context; a copy is another one."""
        context = self.owner()
        entry = self._tokens.get(id(context))
        if entry is None:
            key, table = id(context), self._tokens
            entry = (
                ref(context, lambda _: table.pop(key, None)),
                OwnerToken(self.describe()),
            )
            table[key] = entry
        return entry[1]

    def describe(self) -> str:
        """Return the name of the task or thread whose Context is current."""
        task = _current_task()
        return f"the Context of {_thread_label() if task is None else f'task {task.get_name()!r}'}"


_probe: ContextVar[None] = ContextVar("ctxlocal.ident.probe")


class ThreadIdent(Ident):
    """The OS thread, never its reusable number. Greenlets and tasks on it share its values."""

    name = "thread"

    def owner(self) -> object:
        """Return THREAD."""
        return THREAD


class GreenletIdent(Ident):
    """The greenlet; the thread where the current one is its thread's main greenlet.

    :param hub: None for any greenlet; "gevent" or "eventlet" to refuse
        greenlets that the other one's hub runs.
    :raises MissingDependencyError: greenlet, or the named package, is not installed.
    """

    def __init__(self, hub: str | None = None) -> None:
        super().__init__()
        if hub not in (None, "gevent", "eventlet"):
            raise UnknownIdentError(hub, "GreenletIdent's hub", ("gevent", "eventlet"))
        self.hub = hub
        self.name = hub or "greenlet"
        # Of its own, so that no record made under another name spares the check of the hub.
        self._key = _KEY if hub is None else f"{_KEY}_{hub}"
        try:
            if hub is not None:
                __import__(hub)
            from greenlet import getcurrent
        except ImportError as error:
            raise MissingDependencyError(
                f"The identity strategy {self.name!r}", self.name, hub or "gevent"
            ) from error
        from collections import deque  # 2 ms, paid for with greenlets alone

        self._getcurrent = getcurrent
        self._raw: deque[ref[Any]] = deque()

    def owner(self) -> object:
        """Return the current greenlet, or THREAD in a main greenlet."""
        try:
            greenlet = self._getcurrent()
        except RuntimeError:  # the interpreter is ending; a finaliser asks
            return THREAD
        return THREAD if greenlet.parent is None else greenlet

    def find_record(self, owner: Any) -> Record | None:
        """Return the record in the greenlet's ``__dict__``."""
        record: Record | None = owner.__dict__.get(self._key)
        return record

    def make_record(self, owner: Any) -> Record:
        """Give the greenlet a record that is dropped when the greenlet ends."""
        if self.hub is not None:
            self._check_hub(owner)
        record = owner.__dict__[self._key] = Record(owner, thread_token())
        # gevent's greenlets have rawlink, eventlet's link; both call back at the end.
        link = getattr(owner, "rawlink", None) or getattr(owner, "link", None)
        if link is not None:
            link(self._end)
        else:
            self._sweep_ended()
            self._raw.append(ref(owner))
        return record

    def _end(self, greenlet: Any, *_: object) -> None:
        greenlet.__dict__.pop(self._key, None)

    def _sweep_ended(self) -> None:
        """Drop what ended raw greenlets still hold: nothing calls back at their end.

        Bounded work: so many of the known ones a call, in turn, and few that live, each of which
        is a miss of the processor's cache.
        """
        living = 0
        for _ in range(min(_SWEPT_AT_ONCE, len(self._raw))):
            try:
                reference = self._raw.popleft()
            except IndexError:  # another thread sweeps too
                return
            greenlet = reference()
            if greenlet is None:
                continue
            if greenlet.dead:
                self._end(greenlet)
                continue
            self._raw.append(reference)
            living += 1
            if living == _LIVING_AT_ONCE:
                return

    def _check_hub(self, greenlet: Any) -> None:
        running = _hub_of(greenlet)
        if self.hub is not None and running not in (None, self.hub):
            raise HubMismatchError(self.hub, str(running))


_SWEPT_AT_ONCE: Final = 64
_LIVING_AT_ONCE: Final = 4  # more than the one that each call adds


def _hub_of(greenlet: Any) -> str | None:
    """Name the hub that runs ``greenlet``: "gevent", "eventlet" or None (a raw greenlet)."""
    top = greenlet
    while top.parent is not None and top.parent.parent is not None:
        top = top.parent
    if type(top).__module__.startswith("gevent."):
        return "gevent"
    hubs = sys.modules.get("eventlet.hubs")
    hub = getattr(getattr(hubs, "_threadlocal", None), "hub", None)
    return "eventlet" if hub is not None and hub.greenlet is top else None


class TaskIdent(Ident):
    """The asyncio task; outside any task the thread. Released when the task is done."""

    name = "task"

    def __init__(self) -> None:
        super().__init__()
        # A task has no __dict__ and keeps its record as a callback; so this table is weak.
        self._records: dict[int, ref[Record]] = {}

    def owner(self) -> object:
        """Return the running task, or THREAD."""
        return _current_task() or THREAD

    def find_record(self, owner: Any) -> Record | None:
        """Return the record that the task keeps among its callbacks."""
        reference = self._records.get(id(owner))
        record = None if reference is None else reference()
        # The table's key is a reusable number; the record knows its task.
        if record is None or record.owner is None or record.owner() is not owner:
            return None
        return record

    def make_record(self, owner: Any) -> Record:
        """Give the task a record, as a callback that empties it when the task is done."""
        record = Record(owner, thread_token())
        key, table = id(owner), self._records

        def forget(reference: ref[Record]) -> None:
            if table.get(key) is reference:
                del table[key]

        # In a Context of its own, or the callback would keep the values of this one.
        owner.add_done_callback(record.end, context=Context())
        table[key] = ref(record, forget)
        return record

    def describe(self) -> str:
        """Return the name of the running task, or of the thread."""
        task = _current_task()
        return _thread_label() if task is None else f"task {task.get_name()!r}"


def _current_task() -> Any:
    asyncio: Any = sys.modules.get("asyncio")  # where it was never imported there is no task
    if not hasattr(asyncio, "current_task"):  # or it is only just being imported
        return None
    if (loop := asyncio._get_running_loop()) is None:
        return None
    return asyncio.current_task(loop)


class CallableIdent(Ident):
    """The object that ``function()`` returns, by identity; one without weak references by equality.

    :param function: called without arguments at each access.
    :raises IdentCallableError: it needs arguments; at use: it returned something
        that is neither weakly referenceable nor hashable.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__()
        self.function = function
        self.name = getattr(function, "__qualname__", None) or repr(function)
        _refuse_required_arguments(function)

    def owner(self) -> object:
        """Return what the function returns, for a proxy its target."""
        owner = self.function()
        for _ in range(sys.getrecursionlimit()):
            if not hasattr(type(owner), "_get_current_object"):
                return owner
            owner = owner._get_current_object()
        raise endless()


def _refuse_required_arguments(function: Callable[..., Any]) -> None:
    import inspect  # 10 ms, paid for with a callable alone

    try:
        signature = inspect.signature(function)
    except ValueError:  # a built-in that tells nothing
        return
    except TypeError:
        raise IdentCallableError(function, "it is not callable") from None
    try:
        signature.bind()
    except TypeError as error:
        raise IdentCallableError(function, f"it needs arguments ({error})") from None


def _thread_label() -> str:
    threading = sys.modules.get("threading")
    number = threading.get_ident() if threading else get_ident()
    # Not threading.current_thread(), which makes a Thread, nor enumerate(), which takes a lock.
    thread = getattr(threading, "_active", {}).get(number)
    return f"thread {number}" if thread is None else f"thread {thread.name!r}"
