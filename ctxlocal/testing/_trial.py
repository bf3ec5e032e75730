"""What a rule has to hand: a fresh store, of which it notes each call, and ways to fail."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from reprlib import Repr
from typing import Any, TypeVar

from ..sessions.stores.protocol import Answer, Change, Op, Record

T = TypeVar("T")
LoseReply = Callable[[Any], AbstractContextManager[object]]

_short = Repr()
_short.maxstring = _short.maxother = 100
_short.maxdict = _short.maxlist = _short.maxtuple = 8

TTL = 1000.0


class StoreContractError(AssertionError):
    """A store broke a rule of :mod:`ctxlocal.sessions.stores.protocol`.

    ``rule`` is the rule's name, ``did`` the calls that were made, ``expected`` and ``got``
    describe what should have come of them and what did.
    """

    def __init__(
        self, rule: str, sentence: str, did: Sequence[str], expected: str, got: str
    ) -> None:
        self.rule = rule
        self.did = tuple(did)
        self.expected = expected
        self.got = got
        calls = "\n    ".join(did[-12:]) or "(nothing)"
        super().__init__(
            f"{rule}: {sentence}\n  done:\n    {calls}\n  expected: {expected}\n  got: {got}"
        )


class Trial:
    """One rule's turn with one fresh store."""

    def __init__(
        self,
        rule: Callable[[Trial], None],
        store: Any,
        advance: Callable[[float], object] | None,
        lose_reply: LoseReply | None,
    ) -> None:
        self.rule = rule.__name__
        self.sentence = " ".join((rule.__doc__ or "").split())
        self.raw = store
        self.did: list[str] = []
        self._advance = advance
        self.lose_reply = lose_reply
        self._names: dict[str, str] = {}

    def key(self, name: str) -> str:
        """Return a key as a session would have it."""
        key = hashlib.sha256(f"{self.rule} {name}".encode()).hexdigest()
        self._names[key] = name
        return key

    def call(self, method: str, *args: Any) -> Any:
        """Call the store, and note it."""
        line = f"{method}({', '.join(map(_short.repr, map(self._named, args)))})"
        try:
            result = getattr(self.raw, method)(*args)
        except Exception as error:
            self.did.append(f"{line} raised {error!r}")
            raise
        self.did.append(f"{line} -> {_short.repr(result)}")
        return result

    def advance(self, seconds: float) -> None:
        """Move the store's clock on."""
        assert self._advance is not None
        self._advance(seconds)
        self.did.append(f"(waited {seconds:g} s)")

    def load(self, key: str) -> Record:
        """Load a record that has to be there."""
        record = self.call("load", key)
        if record is None:
            self.fail("the record", None)
        return record  # type: ignore[no-any-return]

    def create(self, key: str, sets: dict[str, bytes] | None = None, ttl: float = TTL) -> None:
        """Create a record, which has to succeed."""
        self.equal(self.call("create", key, sets or {}, ttl), True)

    def commit(
        self,
        key: str,
        sets: dict[str, bytes] | None = None,
        *,
        deletes: Sequence[str] = (),
        ops: Sequence[Op] = (),
        generation: int = 0,
        commit_id: str | None = None,
        base: Record | None = None,
        ttl: float = TTL,
    ) -> Answer:
        """Commit, by a new id unless one is given."""
        number = commit_id or f"commit-{len(self.did)}-{threading.get_ident()}"
        change = Change(number, sets or {}, deletes, ops)
        args = (key, generation, change, ttl, base)
        return self.call("commit", *args)  # type: ignore[no-any-return]

    def values(self, key: str, expected: dict[str, bytes]) -> None:
        """Expect a record of exactly these fields."""
        self.equal(dict(self.load(key).values), expected)

    def absent(self, key: str) -> None:
        """Expect no record."""
        self.equal(self.call("load", key), None)

    def equal(self, got: object, expected: object) -> None:
        """Expect ``got`` to be that; True and 1 are told apart, a list and a tuple are not."""
        if isinstance(got, Answer) or isinstance(expected, Answer):
            same = tuple(got) == tuple(expected)  # type: ignore[arg-type]
        else:
            same = got == expected and isinstance(got, bool) == isinstance(expected, bool)
        if not same:
            self.fail(_short.repr(expected), got)

    def fail(self, expected: str, got: object) -> None:
        """Give up, with what should have been."""
        text = got if isinstance(got, str) else _short.repr(got)
        raise StoreContractError(self.rule, self.sentence, self.did, expected, text)

    def at_once(self, number: int, work: Callable[[int], T]) -> list[T]:
        """Run ``work(0)`` and so on, each in a thread; return what they return."""
        results: list[Any] = [None] * number
        errors: list[BaseException] = []

        def run(index: int) -> None:
            try:
                results[index] = work(index)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return results

    def _named(self, value: object) -> object:
        return self._names.get(value, value) if isinstance(value, str) else value


class Bridge:
    """An asynchronous store as a blocking one: its coroutines run on a loop in a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, store: Any) -> None:
        self.loop = loop
        self.store = store
        self.name = store.name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        function = getattr(self.store, method)

        def call(*args: Any) -> Any:
            return self.run(function(*args))

        return call

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()
