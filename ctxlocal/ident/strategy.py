"""The identity strategies: each finds the current owner, and the record of what it holds.

That of greenlets has a module of its own (greenlet.py).
"""

from __future__ import annotations

import gc
import sys
from _thread import get_ident
from _weakref import ref  # without what else weakref imports
from contextvars import Context, ContextVar

from ..errors import IdentCallableError, endless
from .record import EqualToken, OwnerToken, Record, thread_record, thread_token
from .travel import Travel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Any, Final

THREAD: Final = object()  # the owner that owner() gives where the thread itself is it
RECORD_KEY: Final = "_ctxlocal"  # of the Record in an owner's __dict__


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
        self.travel = Travel()

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
        if type(attributes) is dict and (record := attributes.get(RECORD_KEY)) is not None:
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
        found: Record = attributes.setdefault(RECORD_KEY, record)
        if found.owner is None or found.owner() is not owner:  # came with a copied __dict__
            attributes[RECORD_KEY] = found = record
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
        return _behind(owner) if hasattr(type(owner), "_get_current_object") else owner


def _behind(proxy: Any) -> Any:
    for _ in range(sys.getrecursionlimit()):
        proxy = proxy._get_current_object()
        if not hasattr(type(proxy), "_get_current_object"):
            return proxy
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
