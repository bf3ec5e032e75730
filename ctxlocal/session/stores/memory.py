"""MemoryStore: records in the memory of one process.

No lock is held anywhere. A lock would have to be one that no monkey-patching reaches, and
then a finaliser or a signal handler that runs under it, and uses the store or switches
greenlets, would stop its thread for ever. Instead:

A record's state is never changed. It has a successor, which the first to offer one
decides by ``dict.setdefault``, one step that nothing can divide; who comes second looks
again. The key's place (``_Place``) points to a state; the current one is at the end of the
successors, whether or not the pointer has been moved on yet.

Eviction is done by one at a time, whoever takes the turn from ``_turn``; the others do not
wait. So the limits may be overshot by what is concurrent.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush, heapreplace

from ..errors import SessionConfigError
from ..protocol import KEPT_COMMITS, USER, Answer, Op, Record, Stats
from .merge import clears, merge, reaches_moved

_STEPS = 64  # of eviction that one request does at most

_REVOKED = Answer("revoked")
_CONFLICT = Answer("conflict")
_COMMITTED = Answer("committed")
_new_tuple = tuple.__new__


class _State:
    """What a place holds, for ever so; ``next`` is its successor, None in one that can have none.

    With ``moved_to`` it is no record, but tells where the record went; ``expires`` is then
    the end of the grace.
    """

    __slots__ = (
        "answer",
        "commit_id",
        "expires",
        "generation",
        "moved_to",
        "next",
        "size",
        "touched",
        "values",
    )

    def __init__(
        self,
        values: dict[str, bytes],
        generation: int,
        touched: float,
        expires: float,
        size: int,
        commit_id: str | None,
        answer: Answer,
    ) -> None:
        self.values = values
        self.generation = generation
        self.touched = touched
        self.expires = expires
        self.size = size
        self.commit_id = commit_id  # of the last commit, and its answer
        self.answer = answer
        self.moved_to: _Place | None = None
        self.next: dict[int, _State] | None = {}


def _alias(state: _State, target: _Place, now: float, grace: float) -> _State:
    alias = _State({}, 0, now, now + grace, 0, state.commit_id, state.answer)
    alias.moved_to = target
    return alias


def _gone(moved_to: _Place | None = None) -> _State:
    """Return a last state. It still tells where a record was moved, to who revokes it just now."""
    state = _State({}, 0, 0.0, float("-inf"), 0, None, _REVOKED)
    state.moved_to = moved_to
    state.next = None
    return state


_GONE = _gone()


class _Place:
    """Where a key's record is, from its creation to its end; another record gets another place.

    ``commits`` are the answers to the commits before the latest state's. Each commit enters
    its predecessor's there before it takes its place, so that none is ever missing.
    """

    __slots__ = ("commits", "key", "state")

    def __init__(self, key: str, state: _State, commits: dict[str | None, Answer]) -> None:
        self.key = key
        self.state = state
        self.commits = commits

    def latest(self) -> _State:
        state = self.state
        while state.next:
            state = state.next[0]
        return state

    def replace(self, old: _State, new: _State) -> bool:
        """Make ``new`` the successor of ``old``; False if it has one, or can have none."""
        if old.next is None or old.next.setdefault(0, new) is not new:
            return False
        self.state = new  # late, this may point back to an older one, which still leads here
        return True

    def forget(self) -> None:
        """Drop the oldest commits."""
        for commit_id in list(self.commits)[:KEPT_COMMITS]:
            self.commits.pop(commit_id, None)


_Heap = list[tuple[float, int, _Place]]


class MemoryStore:
    """Keeps records in this process; each process has its own, and a fork copies them.

    Safe from threads, greenlets, tasks and finalisers at once, monkey-patched or not.
    What has expired is removed little by little, by the requests that create records. At a
    limit the record goes that would expire soonest: with one idle timeout that is the one
    that was touched least recently. ``load`` and ``commit`` take about a microsecond;
    ``list`` and ``revoke`` look at every record (some 5 ms for 100,000).

    :param max_sessions: how many records are kept, at least 1.
    :param max_bytes: how many bytes of field names and values are kept. What holds them
        takes more, about 1 KB a record.
    :param clock: seconds since the epoch.
    :raises SessionConfigError: a limit below 1.
    """

    is_blocking = False

    def __init__(
        self,
        *,
        max_sessions: int = 100_000,
        max_bytes: int = 256 * 1024 * 1024,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for name, limit in (("max_sessions", max_sessions), ("max_bytes", max_bytes)):
            if limit < 1:
                raise SessionConfigError(name, f"{limit!r} is not from 1 on")
        self.name = "memory"
        self.max_sessions = max_sessions
        self.max_bytes = max_bytes
        self._clock = clock
        self._places: dict[str, _Place] = {}
        self._new: deque[_Place] = deque()  # not in the heap yet
        self._growth: deque[int] = deque()  # not in the sum yet
        self._bytes = 0
        self._heap: _Heap = []  # by when a place may have expired
        self._pushed = 0
        self._turns: dict[int, list[None]] = {}

    def load(self, key: str) -> Record | None:
        """See :meth:`ctxlocal.session.protocol.Store.load`."""
        place = self._places.get(key)
        if place is None:
            return None
        state = place.state
        if state.next:
            state = place.latest()
        clock = self._clock
        now = clock()
        while state.moved_to is not None and state.expires > now:
            state = state.moved_to.latest()
        if state.expires <= now:
            return None
        return _record(state)

    def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        """See :meth:`ctxlocal.session.protocol.Store.create`."""
        now = self._clock()
        state = _State(dict(sets), 0, now, now + ttl, _size(sets), None, _COMMITTED)
        place = _Place(key, state, {})
        while (found := self._places.setdefault(key, place)) is not place:
            former = found.latest()
            if former.expires > now or not self._drop(found, former):
                return False
        self._new.append(place)
        self._grow(state.size)
        return True

    def commit(
        self,
        key: str,
        generation: int,
        sets: Mapping[str, bytes],
        deletes: Sequence[str],
        ops: Sequence[Op],
        ttl: float,
        commit_id: str,
        base: Record | None = None,
    ) -> Answer:
        """See :meth:`ctxlocal.session.protocol.Store.commit`. ``base`` is not needed here."""
        place = self._places.get(key)
        clock, by_old_key = self._clock, False
        while place is not None:
            state = place.state
            if state.next:
                state = place.latest()
            now = clock()
            if state.expires <= now:
                break
            if commit_id == state.commit_id:
                return state.answer
            commits = place.commits
            if commit_id in commits:
                return commits[commit_id]
            if state.moved_to is not None:
                if not reaches_moved(sets, deletes, ops):
                    break
                place, by_old_key = state.moved_to, True
                continue
            if state.generation != generation and not by_old_key:
                return _CONFLICT
            if deletes or ops:
                new = _merged(state, sets, deletes, ops, now, ttl, commit_id)
                if new is None:
                    return _CONFLICT
            else:  # as most are; without a call of its own
                values, size = state.values.copy(), state.size
                for name, value in sets.items():
                    former = values.get(name)
                    size += len(value) - (-len(name) if former is None else len(former))
                    values[name] = value
                new = _State(values, state.generation, now, now + ttl, size, commit_id, _COMMITTED)
            commits[state.commit_id] = state.answer
            if place.replace(state, new):
                if len(commits) > 2 * KEPT_COMMITS:
                    place.forget()
                if new.size != state.size:
                    self._grow(new.size - state.size)
                return new.answer
        return _REVOKED

    def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool:
        """See :meth:`ctxlocal.session.protocol.Store.move`."""
        place = self._places.get(old)
        while place is not None and new not in self._places:
            state = place.latest()
            now = self._clock()
            if state.expires <= now or state.moved_to is not None:
                break
            values = {**state.values, **sets}
            size = _size(values)
            moved = _State(
                values, state.generation + 1, now, now + ttl, size, state.commit_id, state.answer
            )
            target = _Place(new, moved, place.commits)
            alias = _alias(state, target, now, grace)
            if place.replace(state, alias):
                # From here on the old place leads to the record; so who revokes misses nothing.
                self._settle(place, alias, target)
                self._grow(size - state.size)
                return True
        return False

    def _settle(self, place: _Place, alias: _State, target: _Place) -> None:
        self._places[target.key] = target
        if target.latest() is _GONE:  # ended before it was there to be removed
            self._places.pop(target.key, None)
        self._new.append(target)
        if alias.expires > alias.touched:
            self._new.append(place)  # once more, as it expires earlier now
        else:
            self._drop(place, alias)

    def touch(self, key: str, ttl: float) -> bool:
        """See :meth:`ctxlocal.session.protocol.Store.touch`."""
        place = self._places.get(key)
        while place is not None:
            state = place.latest()
            now = self._clock()
            if state.expires <= now or state.moved_to is not None:
                break
            touched = _State(
                state.values,
                state.generation,
                now,
                now + ttl,
                state.size,
                state.commit_id,
                state.answer,
            )
            if place.replace(state, touched):
                return True
        return False

    def delete(self, key: str) -> bool:
        """See :meth:`ctxlocal.session.protocol.Store.delete`."""
        place = self._places.get(key)
        now = self._clock()
        while place is not None:
            state = place.latest()
            if state.expires <= now:
                break
            if state.moved_to is None:
                return self._revoke(place)
            place = state.moved_to
        return False

    def list(self, user: str) -> Sequence[tuple[str, Record]]:
        """See :meth:`ctxlocal.session.protocol.Store.list`. O(records)."""
        wanted = user.encode()
        found = [item for item in self.scan() if item[1].values.get(USER) == wanted]
        return sorted(found, key=lambda item: item[1].touched)

    def revoke(self, user: str, except_key: str | None = None) -> int:
        """See :meth:`ctxlocal.session.protocol.Store.revoke`. O(records)."""
        wanted = user.encode()
        return sum(
            self._revoke(place, except_key)
            for place, state in self._live()
            if state.values.get(USER) == wanted
        )

    def revoke_everyone(self) -> int:
        """See :meth:`ctxlocal.session.protocol.Store.revoke_everyone`."""
        return sum(self._revoke(place) for place, _ in self._live())

    def purge(self) -> int:
        """See :meth:`ctxlocal.session.protocol.Store.purge`. O(records)."""
        now = self._clock()
        purged = 0
        for place in list(self._places.values()):
            state = place.latest()
            if state.expires <= now and self._drop(place, state):
                purged += state.moved_to is None
        return purged

    def scan(self) -> Iterator[tuple[str, Record]]:
        """See :meth:`ctxlocal.session.protocol.Store.scan`."""
        for place, state in self._live():
            yield place.key, _record(state)

    def stats(self) -> Stats:
        """See :meth:`ctxlocal.session.protocol.Store.stats`. O(records)."""
        states = [state for _, state in self._live()]
        users = {state.values[USER] for state in states if USER in state.values}
        return Stats(len(states), len(users), sum(state.size for state in states))

    def close(self) -> None:
        """Drop every record. The store stays usable."""
        self.revoke_everyone()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._places)} records at {id(self):#x}>"

    def _live(self) -> Iterator[tuple[_Place, _State]]:
        """Yield each place that holds a live record, also one that is just being moved to."""
        now = self._clock()
        seen = set()
        for place in list(self._places.values()):  # one step: no Python code runs in it
            state = place.latest()
            while state.moved_to is not None:
                place = state.moved_to
                state = place.latest()
            if state.expires > now and place not in seen:
                seen.add(place)
                yield place, state

    def _revoke(self, place: _Place, except_key: str | None = None) -> bool:
        """End the record that is in ``place``, or was moved on from there in this moment."""
        while place.key != except_key:
            state = place.latest()
            if state.moved_to is not None:
                place = state.moved_to
            elif state is _GONE:
                break
            elif self._drop(place, state):
                return True
        return False

    def _drop(self, place: _Place, state: _State) -> bool:
        """End ``place`` if its state is still this one."""
        if not place.replace(state, _gone(state.moved_to) if state.moved_to else _GONE):
            return False
        self._places.pop(place.key, None)  # by one only, so never a later place of this key
        self._growth.append(-state.size)
        return True

    # Limits.

    def _grow(self, growth: int) -> None:
        self._growth.append(growth)
        turn = self._turns.setdefault(os.getpid(), [None])  # a fork may come during a turn
        try:
            turn.pop()
        except IndexError:
            return
        try:
            self._evict()
        finally:
            turn.append(None)

    def _evict(self) -> None:
        """Remove what has expired and, beyond the limits, what will soonest. O(log records)."""
        self._count()
        heap = self._heap
        while self._new:
            self._pushed += 1
            place = self._new.popleft()
            heappush(heap, (place.latest().expires, self._pushed, place))
        now = self._clock()
        for _ in range(_STEPS):
            if not heap or (heap[0][0] > now and not self._is_over()):
                break
            self._look_at_soonest(heap, now)
        if len(heap) > 2 * len(self._places) + _STEPS:  # most are of records that were deleted
            heap[:] = [item for item in heap if item[2].latest().next is not None]
            heapify(heap)

    def _is_over(self) -> bool:
        return len(self._places) > self.max_sessions or self._bytes > self.max_bytes

    def _look_at_soonest(self, heap: _Heap, now: float) -> None:
        expires, number, place = heap[0]
        state = place.latest()
        if state.expires > expires:  # it was renewed since
            heapreplace(heap, (state.expires, number, place))
            return
        heappop(heap)
        if self._drop(place, state):
            self._count()
        elif state.next is not None:  # it was changed in this moment
            self._new.append(place)

    def _count(self) -> None:
        while self._growth:
            self._bytes += self._growth.popleft()


def _record(state: _State) -> Record:
    # What Record(...) does, without the Python function in between: half the time.
    return _new_tuple(
        Record, (state.values.copy(), state.generation, state.touched, state.expires, None)
    )


def _merged(
    state: _State,
    sets: Mapping[str, bytes],
    deletes: Sequence[str],
    ops: Sequence[Op],
    now: float,
    ttl: float,
    commit_id: str,
) -> _State | None:
    """Return the next state; None is a conflict."""
    values = state.values.copy()
    results = merge(values, sets, deletes, ops)
    if results is None:
        return None
    generation = state.generation + clears(ops)
    answer = Answer("committed", results)
    return _State(values, generation, now, now + ttl, _size(values), commit_id, answer)


def _size(values: Mapping[str, bytes]) -> int:
    return sum(map(len, values)) + sum(map(len, values.values()))
