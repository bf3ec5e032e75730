"""What the Redis store does, without doing any input or output itself.

Each operation is a coroutine that asks by ``_send``, which :mod:`ctxlocal.sessions.stores.redis`
has twice, one that blocks and one for asyncio; so nothing here is written twice.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redis.exceptions import RedisClusterException, RedisError, ResponseError

from ...errors import CorruptRecordError, NotReplicatedError, StoreUnavailableError
from ..forwarding import named, operation
from ..merge import clears
from ..protocol import HANDLE, USER, Answer, Change, Expect, Incr, Record, Result, Take
from . import scripts as lua
from .calls import Argument, Batch, Call, in_batch, is_wrong_type
from .keeping import Keeping, Unkept, tell
from .records import (
    IN_FLIGHT,
    KEEP_MS,
    Pairs,
    Records,
    generation_of,
    had_grace,
    number_of,
    pairs_of,
    target_of,
)

BATCH = 500
FAILURES = (RedisError, RedisClusterException, OSError)  # the second is no RedisError


class RedisSteps(Records):
    """The operations of the store; one object for all threads and tasks of a process."""

    _failures = FAILURES

    def _unavailable(self, operation: str, error: Exception) -> StoreUnavailableError:
        if isinstance(error, Unkept):
            wait = error.wait
            return NotReplicatedError(
                self.name, operation, error.confirmed, wait.replicas, wait.seconds
            )
        return super()._unavailable(operation, error)

    def _keeping(self, is_end: bool = False) -> Keeping | None:
        """Return what asks replicas for what an operation writes, if that is wanted.

        :param is_end: it takes something away: a session, an id or all that a session holds.
        """
        if self._wait is None or (self._wait.is_for_ends_only and not is_end):
            return None
        return Keeping(self._wait)

    @operation
    async def load(self, key: str) -> Record | None:
        """Return the record, None if there is none; 1 round trip, 3 or 5 by an old key.

        Each INDEX_INTERVAL one more for a session that has a user, whose index may have lost it.
        """
        at, epoch = key, await self._known_epoch()
        try:
            pairs = pairs_of(await self._ask(Call(("HGETALL", self._record_prefix + key))))
        except ResponseError as error:
            is_wrong_type(error)
            raise CorruptRecordError(self.name, "its key holds no hash") from error
        if lua.TO in pairs or lua.PENDING in pairs:
            at, pairs = await self._read(key)
        record = self._record(pairs, epoch)
        if record is None or (user := record.values.get(USER)) is None or lua.TO in pairs:
            return record
        if self._is_due(user, pairs) and await self._has_ended(
            at, pairs, user, record.values.get(HANDLE)
        ):
            await self._drop([at], epoch, 1, 0)
            return None
        return record

    @operation
    async def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> bool:
        """Store a new record; False if there is one."""
        epoch = await self._read_epoch()
        user = sets.get(USER)
        if user is not None:
            index = self._index_key(user)
            await self._heal_at_times(index, await self._evaluate(lua.INDEX, index, key))
        keeping = self._keeping()
        made = await self._evaluate(
            lua.CREATE,
            self._record_prefix + key,
            *(epoch, _ms(ttl), os.urandom(12)),
            *_owned(sets),
            keeping=keeping,
        )
        tell(keeping)
        return bool(made)

    @operation
    async def commit(
        self, key: str, generation: int, change: Change, ttl: float, base: Record | None = None
    ) -> Answer:
        """Merge a change into a record; 1 round trip. ``base`` is not needed here."""
        digest = hashlib.blake2b(change.commit_id.encode(), digest_size=12).digest()
        keeping = None if self._wait is None else self._keeping(clears(change.ops))
        arguments = (generation, _ms(ttl), digest, *_arguments(change))
        _, reply = await self._at_record(lua.COMMIT, key, *arguments, keeping=keeping)
        tell(keeping)
        if not reply:  # there is nothing, or no record
            return _REVOKED
        return _COMMITTED if reply == b"C" else _answer(reply)

    @operation
    async def touch(self, key: str, ttl: float) -> bool:
        """Renew the expiry; 1 round trip, 2 or 4 by an old key."""
        _, done = await self._at_record(lua.TOUCH, key, _ms(ttl))
        return bool(done)

    @operation
    async def delete(self, key: str) -> bool:
        """Remove the record; 1 round trip, 2 or 4 by an old key."""
        # No question about the epoch comes first, between which and this the key could be moved.
        keeping = self._keeping(True)
        at, done = await self._at_record(lua.DELETE, key, epoch=self._epoch, keeping=keeping)
        if done is None:  # it is of another type, which no script reads
            done = await self._ask(Call(("DEL", self._record_prefix + at)))
        if not done and keeping is not None:  # a replica may have yet to lose it
            await self._evaluate(lua.FENCE, self._record_prefix + at, keeping=keeping)
        tell(keeping)
        return bool(done)

    @operation
    async def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float = 0
    ) -> bool:
        """Give the record a new key, in one instant for whoever watches; 6 round trips.

        In the steps that :mod:`.scripts` explains.
        """
        keeping = self._keeping(grace <= 0)
        is_moved = await self._move(old, new, sets, ttl, grace, keeping)
        tell(keeping)
        return is_moved

    async def _move(
        self,
        old: str,
        new: str,
        sets: Mapping[str, bytes],
        ttl: float,
        grace: float,
        keeping: Keeping | None,
    ) -> bool:
        while True:
            at, found = await self._at_record(lua.FIND, old, new)
            if at == new or found == [b"moved"]:  # the answer to this move was lost
                if keeping is not None and at != new:
                    await self._finish(at, new, keeping)
                return await self._confirm(new, keeping)
            if not found or (grace and at != old):
                return False
            owner = found[1]
            if not await self._announce(new, at, sets.get(USER, owner), ttl):
                return False
            left = await self._leave(at, new, sets, ttl, grace)
            if left:
                return await self._arrive(at, left, owner, keeping)
            await self._discard(new, at)  # somebody was faster: look where it is now

    async def _leave(
        self, at: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float
    ) -> Pairs:
        epoch = await self._known_epoch()
        grace_ms = max(1, _ms(grace)) if grace > 0 else 0
        changes = (_ms(ttl), grace_ms, *_owned(sets))
        reply = await self._evaluate(lua.LEAVE, self._record_prefix + at, epoch, new, *changes)
        return pairs_of(reply[2]) if reply else {}

    async def _announce(self, new: str, old: str, user: bytes | None, ttl: float) -> bool:
        """Let the new key wait for the record; False if there is something else."""
        calls = [in_batch(lua.STUB, self._record_prefix + new, old, max(_ms(ttl), KEEP_MS))]
        if user is not None:
            index = self._index_key(user)
            calls.append(in_batch(lua.INDEX, index, new))
        made, *count = await self._ask(Batch(calls))
        if is_wrong_type(made) or not made:
            return False
        if user is not None and not is_wrong_type(count[0]):
            await self._heal_at_times(index, count[0])
        return True

    async def _arrive(
        self, at: str, left: Pairs, owner: bytes | None, keeping: Keeping | None
    ) -> bool:
        """Finish a move, and tidy up; False if the record was removed in between."""
        new, user = target_of(left), left.get(USER.encode())
        kept = await self._carry(at, left, keeping)
        if not kept:
            await self._discard(new, at)
            return False
        tidy: list[tuple[Argument, ...]] = []
        if user is not None:  # again: the index may have been healed of it
            tidy.append(in_batch(lua.INDEX, self._index_key(user), new))
        if owner is not None:
            tidy.append(("ZREM", self._index_key(owner), at))
        if had_grace(left):
            trail = self._trail(number_of(at, left), generation_of(left))
            tidy.append(("SET", trail, new, "PX", kept))
        return await self._confirm(new, keeping, *tidy)

    async def _confirm(
        self, new: str, keeping: Keeping | None, *tidy: tuple[Argument, ...]
    ) -> bool:
        """Let the new key stand for itself; whatever comes of the rest, the record is moved."""
        name = self._record_prefix + new
        confirmed, *_ = await self._ask(Batch([in_batch(lua.CONFIRM, name), *tidy]))
        if keeping is not None:
            confirmed = await self._evaluate(lua.CONFIRM, name, keeping=keeping)
        return not is_wrong_type(confirmed) and bool(confirmed)

    async def _discard(self, new: str, old: str) -> None:
        await self._evaluate(lua.DISCARD, self._record_prefix + new, old)

    @operation
    async def list(self, user: str) -> Sequence[tuple[str, Record]]:
        """Return a user's live records and heal the index; 2 round trips, 3 if it was not."""
        found, _ = await self._look_up(self._index_key(user.encode()))
        records = [(one.key, one.record) for one in found]
        return sorted(records, key=lambda pair: pair[1].touched)

    @operation
    async def revoke(
        self, user: str, except_key: str | None = None, handle: str | None = None
    ) -> int:
        """Remove a user's records, whoever moves them meanwhile; 4 round trips and more then.

        One notes the end, for records that the index has lost.
        """
        epoch = await self._known_epoch()
        spared = None
        if except_key is not None:
            spared = number_of(*(await self._read(except_key)))
        index = self._index_key(user.encode())
        keeping = self._keeping(True)
        await self._note_end(index, handle, spared, keeping)
        found, _ = await self._look_up(index)
        wanted = None if handle is None else handle.encode()
        keys = [
            one.at
            for one in found
            if one.number != spared and wanted in (None, one.record.values.get(HANDLE))
        ]
        count = await self._drop(keys, epoch, 1, 0, keeping)
        tell(keeping)
        return count

    async def _drop(
        self,
        keys: Iterable[str],
        epoch: int,
        is_led: int,
        with_aliases: int,
        keeping: Keeping | None = None,
    ) -> int:
        """Remove records wherever they have gone, and go; return how many."""
        count = 0
        while keys:
            names = [self._record_prefix + key for key in keys]
            arguments = (epoch, is_led, with_aliases)
            replies: list[Any]
            if keeping is None:
                calls = [in_batch(lua.DROP, name, *arguments) for name in names]
                replies = await self._ask(Batch(calls))
                replies = [reply for reply in replies if not is_wrong_type(reply)]
            else:  # each on the connection that is then asked who has it
                replies = [
                    await self._evaluate(lua.DROP, name, *arguments, keeping=keeping)
                    for name in names
                ]
            count += sum(reply for reply in replies if isinstance(reply, int))
            keys = dict.fromkeys(reply[1].decode() for reply in replies if isinstance(reply, list))
            is_led = 1
        return count

    @operation
    async def revoke_everyone(self) -> int:
        """Remove every record on every node, whoever moves it meanwhile."""
        former, keeping = await self._read_epoch(), self._keeping(True)
        self._learn(int(await self._evaluate(lua.BUMP, self._epoch_key, keeping=keeping)))
        count = 0
        for node in self._primaries():
            cursor = b"0"
            while True:
                cursor, names = await self._page(node, cursor, self._record_prefix, "hash")
                keys = [name.removeprefix(self._record_prefix) for name in names]
                count += await self._drop(keys, former, 0, 1)
                if cursor == b"0":
                    break
        tell(keeping)  # of the epoch, which ends all that a failover brings back
        return count

    @operation
    async def purge(self) -> int:
        """Drop what the users' indexes hold of records that are gone; return how many entries.

        Redis removes the records themselves. Up to 4 round trips for some 500 indexes.
        """
        await self._read_epoch()  # an asyncio cluster knows its nodes after a first command
        dropped = 0
        for node in self._primaries():
            cursor = b"0"
            while True:
                cursor, keys = await self._page(node, cursor, self._user_prefix, "zset")
                dropped += await self._purge_indexes(keys)
                if cursor == b"0":
                    break
        return dropped

    async def _purge_indexes(self, indexes: Sequence[str]) -> int:
        found = await self._all([("ZRANGE", index, 0, -1) for index in indexes])
        entries = [
            (index, member.decode())
            for index, members in zip(indexes, found, strict=True)
            if not is_wrong_type(members)
            for member in members
        ]
        there = await self._all([("EXISTS", self._record_prefix + key) for _, key in entries])
        gone: dict[str, list[str]] = {}
        for (index, key), is_there in zip(entries, there, strict=True):
            if not is_there:
                gone.setdefault(index, []).append(key)
        healed = [in_batch(lua.HEAL, index, IN_FLIGHT, *keys) for index, keys in gone.items()]
        return sum(count for count in await self._all(healed) if not is_wrong_type(count))

    async def _all(self, calls: Sequence[tuple[Argument, ...]]) -> Sequence[Any]:
        """Return the replies of any number of calls, BATCH with each round trip."""
        replies: list[Any] = []
        for start in range(0, len(calls), BATCH):
            replies += await self._ask(Batch(list(calls[start : start + BATCH])))
        return replies

    @named("scan")
    async def _scan_page(self, node: object, cursor: bytes) -> tuple[bytes, Sequence[str]]:
        """Return the next cursor, ``b"0"`` at the end, and the names of some records of a node."""
        return await self._page(node, cursor, self._record_prefix, "hash")

    async def _page(
        self, node: object, cursor: bytes, prefix: str, kind: str
    ) -> tuple[bytes, Sequence[str]]:
        """Return the next cursor, and names of a node that are a prefix and a key.

        A key has no colon: what else begins so is of a store whose own prefix begins so.
        """
        pattern = "".join(f"\\{char}" if char in "*?[]\\" else char for char in prefix) + "*"
        arguments = ("SCAN", cursor, "MATCH", pattern, "COUNT", BATCH, "TYPE", kind)
        after, keys = await self._ask(Call(arguments, node))
        if isinstance(after, dict):  # a cluster's answer has one for each node
            (after,) = after.values()
        names = [key.decode() for key in keys]
        return str(int(after)).encode(), [name for name in names if ":" not in name[len(prefix) :]]

    @named("scan")
    async def _scan_records(self, names: Sequence[str]) -> Sequence[tuple[str, Record]]:
        """Return the live records among these hashes, by their own keys."""
        epoch = await self._known_epoch()
        if not names:
            return []
        replies: list[Any] = await self._ask(Batch([("HGETALL", name) for name in names]))
        found: dict[str, tuple[Any, Record]] = {}
        for name, reply in zip(names, replies, strict=True):
            if (record := self._readable(reply, epoch)) is not None:
                pairs = pairs_of(reply)
                key = target_of(pairs) or name.removeprefix(self._record_prefix)
                found[key] = (pairs.get(lua.PENDING), record)
        waiting = {key: old for key, (old, _) in found.items() if old is not None}
        late = await self._not_led(waiting)
        return [(key, record) for key, (_, record) in found.items() if key not in late]

    async def _not_led(self, waiting: Mapping[str, bytes]) -> set[str]:
        """Return the keys, of those that wait for another's record, that have not got it."""
        late: set[str] = set()
        for key, old in waiting.items():
            if not await self._is_led(old.decode(), key):
                late.add(key)
        return late


_REVOKED = Answer("revoked")
_COMMITTED = Answer("committed")


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _flat(sets: Mapping[str, bytes]) -> Iterable[Argument]:
    for name, value in sets.items():
        yield name.encode()
        yield value


def _owned(sets: Mapping[str, bytes]) -> Iterable[Argument]:
    """Return fields and values, and if there is a user the field that the script fills in."""
    yield from _flat(sets)
    if USER in sets:
        yield lua.INDEXED
        yield b""


def _arguments(change: Change) -> list[Argument]:
    sets, deletes, ops = change.sets, change.deletes, change.ops
    if deletes and not ops:  # the script sets first then
        deletes = [name for name in deletes if name not in sets]
    arguments: list[Argument] = [len(deletes), 2 * len(sets)]
    arguments += *map(str.encode, deletes), *_flat(sets)
    if not ops:
        return arguments
    expected = [op for op in ops if isinstance(op, Expect)]
    arguments += int(clears(ops)), len(expected)
    for field, value in expected:
        arguments += field.encode(), int(value is not None), value or b""
    arguments.append(len(ops))
    for op in ops:
        if isinstance(op, Incr):
            arguments += "i", op.field.encode(), op.amount
        elif isinstance(op, Take):
            arguments += "t", op.field.encode(), 0
        else:
            arguments += "n", "", 0
    return arguments


def _answer(reply: bytes) -> Answer:
    if reply[:1] != b"C":
        return Answer("revoked" if reply == b"R" else "conflict")
    results: list[Result] = []
    at = 1
    while at < len(reply):
        kind = reply[at : at + 1]
        if kind == b"n":
            results.append(None)
            at += 1
        elif kind == b"i":
            stop = reply.index(b";", at)
            results.append(int(reply[at + 1 : stop]))
            at = stop + 1
        else:
            start = reply.index(b":", at) + 1
            at = start + int(reply[at + 1 : start - 1])
            results.append(reply[start:at])
    return Answer("committed", tuple(results))
