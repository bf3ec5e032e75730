"""MemoryStore: records in the memory of one process.

No lock is held anywhere. A lock would have to be one that no monkey-patching reaches, and
then a finaliser or a signal handler that runs under it, and uses the store or switches
greenlets, would stop its thread for ever. Instead:

A record is one place (``_Place``) from its creation to its end. Its state is never changed:
it has a successor, which the first to offer one decides by ``dict.setdefault``, one step
that nothing can divide; who comes second looks again. The place points to a state; the
current one is at the end of the successors, whether or not the pointer has been moved on.

The state tells which keys lead to it (``_Keys``), so a move is decided in that one step too.
``_places`` and ``_old`` only find the place by its own key, or by one that was moved with a
grace. They follow: the mover enters the new key before he takes the former one out, so
that the place is found at every moment, and looks again when he is done, because others
may have moved or ended the record meanwhile, and not found what he had not entered yet.

Eviction is done by one at a time, who takes the latch in ``_turns``; the others do not wait.
So the limits may be overshot by what is concurrent.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush, heapreplace

import msgspec

from ...local import Latch
from ..errors import SessionConfigError
from .merge import clears, merge
from .protocol import HANDLE, KEPT_COMMITS, USER, Answer, Change, Record, Stats

_STEPS = 64  # of eviction that one request does at most

_REVOKED = Answer("revoked")
_CONFLICT = Answer("conflict")
_COMMITTED = Answer("committed")


class _Keys:
    """Which keys lead to a record: its own, and old ones, each until its own grace ends.

    ``former`` is the key of the last move, until ``grace``. ``olds`` has the ones before it, with
    their ends; the states between two moves without a grace share it. Only what such a
    state says of itself is ever entered there, so an entry is true for each that has it.
    """

    __slots__ = ("former", "grace", "key", "olds")

    def __init__(self, key: str, former: str, grace: float, olds: dict[str, float]) -> None:
        self.key = key
        self.former = former
        self.grace = grace
        self.olds = olds

    def has_old(self, key: str, now: float) -> bool:
        """Whether ``key`` is an old one in its grace."""
        end = self.grace if key == self.former else self.olds.get(key, 0.0)
        return end > now

    def moved(self, old: str, new: str, now: float, grace: float) -> _Keys:
        """Return what they are after a move. Without a grace no old one is left."""
        if not grace:
            return _Keys(new, old, 0.0, {})
        if self.grace > now:
            self.olds[self.former] = self.grace
        return _Keys(new, old, now + grace, self.olds)


class _State(msgspec.Struct, eq=False):  # not a class of our own: it is made in half the time
    """What a place holds, for ever so; ``next`` has its successor, None can have none."""

    keys: _Keys
    values: dict[str, bytes]
    generation: int
    touched: float
    expires: float
    size: int
    commit_id: str | None  # of the last commit, and its answer
    answer: Answer
    next: dict[int, _State] | None = {}  # each has its own

    def is_by(self, key: str, now: float) -> bool:
        """Whether it is that of a live record to which ``key`` leads."""
        keys = self.keys
        return self.expires > now and (keys.key == key or keys.has_old(key, now))


_GONE = _State(_Keys("", "", 0.0, {}), {}, 0, 0.0, float("-inf"), 0, None, _REVOKED)
_GONE.next = None


class _Place:
    """Where a record is, from its creation to its end; another record gets another place.

    ``commits`` are the answers to the commits before the latest state's. Each commit enters
    its predecessor's there before it takes its place, so that none is ever missing.
    """

    __slots__ = ("commits", "state")

    def __init__(self, state: _State) -> None:
        self.state = state
        self.commits: dict[str | None, Answer] = {}

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
_Graces = list[tuple[float, int, str, _Place]]


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
        self._old: dict[str, _Place] = {}  # by keys that were moved with a grace
        self._new: deque[_Place] = deque()  # not in the heap yet
        self._aged: deque[tuple[float, str, _Place]] = deque()  # not in that of graces yet
        self._growth: deque[int] = deque()  # not in the sum yet
        self._bytes = 0
        self._heap: _Heap = []  # by when a place may have expired
        self._graces: _Graces = []  # by when an old key's grace ends
        self._pushed = 0
        self._turns: dict[int, Latch] = {}

    def load(self, key: str) -> Record | None:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.load`."""
        place = self._places.get(key)
        if place is None and (place := self._old.get(key)) is None:
            return None
        state = place.state
        if state.next:
            state = place.latest()
        clock = self._clock
        now = clock()
        if state.expires <= now or (state.keys.key != key and not state.keys.has_old(key, now)):
            return None
        return _record(state)

    def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.create`."""
        now = self._clock()
        keys = _Keys(key, "", 0.0, {})
        state = _State(keys, dict(sets), 0, now, now + ttl, _size(sets), None, _COMMITTED)
        place = _Place(state)
        while (found := self._places.setdefault(key, place)) is not place:
            former = found.latest()
            if former.expires > now or not self._drop(found, former):
                return False
        self._new.append(place)
        self._grow(state.size)
        return True

    def commit(
        self, key: str, generation: int, change: Change, ttl: float, base: Record | None = None
    ) -> Answer:
        """See :meth:`.protocol.Store.commit`. ``base`` is not needed here."""
        place = self._places.get(key)
        if place is None:
            place = self._old.get(key)
        commit_id = change.commit_id
        clock = self._clock
        while place is not None:
            state = place.state
            if state.next:
                state = place.latest()
            now = clock()
            keys = state.keys
            if state.expires <= now or (keys.key != key and not keys.has_old(key, now)):
                break
            if commit_id == state.commit_id:
                return state.answer
            commits = place.commits
            if commit_id in commits:
                return commits[commit_id]
            if state.generation != generation:
                return _CONFLICT
            if change.deletes or change.ops:
                new = _merged(state, change, now, ttl)
                if new is None:
                    return _CONFLICT
            else:  # as most are; without a call of its own
                values, size = state.values.copy(), state.size
                for name, value in change.sets.items():
                    former = values.get(name)
                    size += len(value) - (-len(name) if former is None else len(former))
                    values[name] = value
                new = _State(
                    keys, values, state.generation, now, now + ttl, size, commit_id, _COMMITTED
                )
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
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.move`."""
        if (taken := self._places.get(new)) is not None:
            state = taken.latest()  # the same move again?
            return state.is_by(new, self._clock()) and state.keys.former == old
        place = self._find(old)
        while place is not None:
            state, now = place.latest(), self._clock()
            if not state.is_by(old, now) or (grace and state.keys.key != old):
                break
            keys = state.keys.moved(old, new, now, grace)
            values = {**state.values, **sets}
            moved = _State(
                keys,
                values,
                state.generation + (not grace),
                now,
                now + ttl,
                _size(values),
                state.commit_id,
                state.answer,
            )
            if place.replace(state, moved):
                self._follow(place, state.keys, keys)
                self._grow(moved.size - state.size)
                return True
        return False

    def _follow(self, place: _Place, former: _Keys, keys: _Keys) -> None:
        """Let the place be found as a move, decided before, would have it."""
        self._places[keys.key] = place
        if keys.grace:
            self._old[keys.former] = place
            self._aged.append((keys.grace, keys.former, place))
            self._unlink(former.key, place)
        else:
            self._unlink_all(former, place)
        state, now = place.latest(), self._clock()
        if state.keys is not keys:  # moved or ended before it was found by this key
            for key in (keys.key, keys.former):
                if not state.is_by(key, now):
                    self._unlink(key, place)
                    self._unlink_old(key, place)

    def touch(self, key: str, ttl: float) -> bool:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.touch`."""
        place = self._find(key)
        while place is not None:
            state, now = place.latest(), self._clock()
            if not state.is_by(key, now):
                break
            touched = _State(
                state.keys,
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
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.delete`."""
        place = self._leads(key)
        return place is not None and self._end(place)

    def list(self, user: str) -> Sequence[tuple[str, Record]]:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.list`. O(records)."""
        wanted = user.encode()
        found = [item for item in self.scan() if item[1].values.get(USER) == wanted]
        return sorted(found, key=lambda item: item[1].touched)

    def revoke(self, user: str, except_key: str | None = None, handle: str | None = None) -> int:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.revoke`. O(records)."""
        wanted = user.encode()
        name = None if handle is None else handle.encode()
        spared = None if except_key is None else self._leads(except_key)
        return sum(
            self._end(place)
            for place, state in self._live()
            if state.values.get(USER) == wanted
            and place is not spared
            and (name is None or state.values.get(HANDLE) == name)
        )

    def revoke_everyone(self) -> int:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.revoke_everyone`."""
        return sum(self._end(place) for place, _ in self._live())

    def purge(self) -> int:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.purge`. O(records)."""
        now = self._clock()
        purged = 0
        for place in list(self._places.values()):
            state = place.latest()
            if state.expires <= now and self._drop(place, state):
                purged += 1
        return purged

    def scan(self) -> Iterator[tuple[str, Record]]:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.scan`."""
        for _, state in self._live():
            yield state.keys.key, _record(state)

    def stats(self) -> Stats:
        """See :meth:`ctxlocal.sessions.stores.protocol.Store.stats`. O(records)."""
        states = [state for _, state in self._live()]
        users = {state.values[USER] for state in states if USER in state.values}
        return Stats(len(states), len(users), sum(state.size for state in states))

    def close(self) -> None:
        """Drop every record. The store stays usable."""
        self.revoke_everyone()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._places)} records at {id(self):#x}>"

    def _find(self, key: str) -> _Place | None:
        place = self._places.get(key)
        return self._old.get(key) if place is None else place

    def _leads(self, key: str) -> _Place | None:
        """Return the place of the live record that ``key`` leads to."""
        place = self._find(key)
        return place if place is not None and place.latest().is_by(key, self._clock()) else None

    def _live(self) -> Iterator[tuple[_Place, _State]]:
        """Yield each place that holds a live record, with its state, once."""
        now = self._clock()
        seen = set()
        for place in list(self._places.values()):  # one step: no Python code runs in it
            state = place.latest()
            if state.expires > now and place not in seen:  # by two keys in the midst of a move
                seen.add(place)
                yield place, state

    def _end(self, place: _Place) -> bool:
        """End the record that is in ``place``, whatever its keys are by now."""
        while (state := place.latest()) is not _GONE:
            if self._drop(place, state):
                return True
        return False

    def _drop(self, place: _Place, state: _State) -> bool:
        """End ``place`` if its state is still this one."""
        if not place.replace(state, _GONE):
            return False
        self._unlink_all(state.keys, place)
        self._growth.append(-state.size)
        return True

    def _unlink_all(self, keys: _Keys, place: _Place) -> None:
        """Let none of a place's former keys find it."""
        self._unlink(keys.key, place)
        for key in (keys.former, *list(keys.olds)):
            self._unlink(key, place)  # whose mover is in the midst of it
            self._unlink_old(key, place)

    def _unlink(self, key: str, place: _Place) -> None:
        if self._places.get(key) is place:
            self._places.pop(key, None)

    def _unlink_old(self, key: str, place: _Place) -> None:
        if self._old.get(key) is place:
            self._old.pop(key, None)

    # Limits.

    def _grow(self, growth: int) -> None:
        self._growth.append(growth)
        turn = self._turns.setdefault(os.getpid(), Latch())  # a fork may come during a turn
        if not turn.take():
            return
        try:
            self._evict()
        finally:
            turn.release()

    def _evict(self) -> None:
        """Remove what has expired and, beyond the limits, what will soonest. O(log records)."""
        self._count()
        heap = self._heap
        while self._new:
            self._pushed += 1
            place = self._new.popleft()
            heappush(heap, (place.latest().expires, self._pushed, place))
        now = self._clock()
        self._sweep_graces(now)
        for _ in range(_STEPS):
            if not heap or (heap[0][0] > now and not self._is_over()):
                break
            self._look_at_soonest(heap, now)
        if len(heap) > 2 * len(self._places) + _STEPS:  # most are of records that were deleted
            heap[:] = [item for item in heap if item[2].latest().next is not None]
            heapify(heap)

    def _sweep_graces(self, now: float) -> None:
        graces = self._graces
        while self._aged:
            self._pushed += 1
            end, key, place = self._aged.popleft()
            heappush(graces, (end, self._pushed, key, place))
        for _ in range(_STEPS):
            if not graces or graces[0][0] > now:
                break
            _, _, key, place = heappop(graces)
            self._unlink_old(key, place)
            place.latest().keys.olds.pop(key, None)

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
    return Record(state.values.copy(), state.generation, state.touched, state.expires)


def _merged(state: _State, change: Change, now: float, ttl: float) -> _State | None:
    """Return the next state; None is a conflict."""
    values = state.values.copy()
    results = merge(values, change)
    if results is None:
        return None
    generation = state.generation + clears(change.ops)
    answer = Answer("committed", results)
    return _State(
        state.keys,
        values,
        generation,
        now,
        now + ttl,
        _size(values),
        change.commit_id,
        answer,
    )


def _size(values: Mapping[str, bytes]) -> int:
    return sum(map(len, values)) + sum(map(len, values.values()))
