"""What the Redis store does, without doing any input or output itself.

Each operation is a generator: it yields what to ask the server and is sent the reply, or
has the error thrown in. :mod:`ctxlocal.session.stores.redis` drives them, once for
threads and once for asyncio, so nothing here is written twice.

Every command can be repeated with the same effect, so one whose reply was lost is sent
once more, whatever the client itself retries.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from redis.exceptions import ConnectionError, NoScriptError, ResponseError, TimeoutError

from ..errors import CorruptRecordError
from ..protocol import USER, Answer, Expect, Incr, Op, Record, Result, Take
from . import _redis_scripts as lua
from ._unreadable import skip
from .merge import clears, reaches_moved

R = TypeVar("R")
Argument = str | bytes | int
Pairs = Mapping[bytes, bytes]

KEEP_MS = 60_000  #: how long a finished or broken move can be recognised
IN_FLIGHT = 60  #: seconds in which an entry of the index may still be without its record
PATIENCE = 64  #: how often a load looks again for the end of a move; one takes 3 round trips
HEAL_EVERY = 64  #: the index of a user who is never listed is healed when it has grown so
BATCH = 500


class Call(NamedTuple):
    """One command; ``node`` is where to send it if its key does not tell."""

    arguments: tuple[Argument, ...]
    node: object = None


class Batch(NamedTuple):
    """Many commands in one go, each of its own key; an error of the server's is its reply."""

    calls: list[tuple[Argument, ...]]


Steps = Generator[Call | Batch, Any, R]


def _ask(call: Call | Batch) -> Steps[Any]:
    """Ask, and once more if the reply is lost."""
    try:
        return (yield call)
    except (ConnectionError, TimeoutError):
        return (yield call)


def _evaluate(script: lua.Script, key: str, *arguments: Argument) -> Steps[Any]:
    """Run a script; None if what is there is no hash."""
    try:
        try:
            return (yield from _ask(Call(("EVALSHA", script.sha, 1, key, *arguments))))
        except NoScriptError:
            return (yield from _ask(Call(("EVAL", script.text, 1, key, *arguments))))
    except ResponseError as error:
        if not _is_wrong_type(error):
            raise
        return None


def _is_wrong_type(reply: object) -> bool:
    """Whether a reply is the error that what is there is of another type.

    Out of a script it stands within the text. Any other error of the server's is raised.
    """
    if not isinstance(reply, Exception):
        return False
    if "WRONGTYPE" not in str(reply):
        raise reply
    return True


def _each(
    script: lua.Script, keys: Iterable[str], *arguments: Argument
) -> Batch:  # EVAL, because no node of a cluster is sure to know the script
    return Batch([("EVAL", script.text, 1, key, *arguments) for key in keys])


class RedisSteps:
    """The operations of the store; one object for all threads and tasks of a process.

    :param name: the store's, for errors.
    :param prefix: what the names of all keys begin with.
    :param epoch_interval: seconds; how old the process's knowledge of the epoch may be.
    :param primaries: the nodes to search, ``[None]`` without a cluster.
    """

    def __init__(
        self,
        name: str,
        prefix: str,
        epoch_interval: float,
        primaries: Callable[[], Sequence[object]],
    ) -> None:
        self._name = name
        self._record_prefix = f"{prefix}session:"
        self._user_prefix = f"{prefix}user:"
        self._epoch_key = f"{prefix}epoch"
        self._epoch_interval = epoch_interval
        self._primaries = primaries
        self._epoch = 0
        self._epoch_read_at = float("-inf")

    def load(self, key: str) -> Steps[Record | None]:
        epoch = yield from self._known_epoch()
        for _ in range(PATIENCE):
            try:
                pairs = _pairs((yield from _ask(Call(("HGETALL", self._record_prefix + key)))))
            except ResponseError as error:
                _is_wrong_type(error)
                raise CorruptRecordError(self._name, "its key holds no hash") from error
            if lua.TO not in pairs:
                return self._record(pairs, epoch)
            if lua.FOLLOW in pairs:
                key = pairs[lua.TO].decode()
            elif pairs.get(lua.MOVING) != b"1":
                return None
        return None

    def create(self, key: str, sets: Mapping[str, bytes], ttl: float) -> Steps[bool]:
        epoch = yield from self._read_epoch()
        user = sets.get(USER)
        if user is not None:
            yield from self._add_to_index(user, key)
        made = yield from _evaluate(
            lua.CREATE,
            self._record_prefix + key,
            *(epoch, 0, _ms(ttl), os.urandom(12)),
            *_flat(sets),
        )
        return bool(made)

    def commit(
        self,
        key: str,
        generation: int,
        sets: Mapping[str, bytes],
        deletes: Sequence[str],
        ops: Sequence[Op],
        ttl: float,
        commit_id: str,
    ) -> Steps[Answer]:
        epoch = yield from self._known_epoch()
        digest = hashlib.blake2b(commit_id.encode(), digest_size=12).digest()
        arguments = _changes(sets, deletes, ops)
        wanted: Argument = generation
        for _ in range(PATIENCE):
            reply: bytes | None = yield from _evaluate(
                lua.COMMIT, self._record_prefix + key, epoch, wanted, _ms(ttl), digest, *arguments
            )
            if reply == b"C":
                return _COMMITTED
            if reply is None:  # what is there is no record
                break
            if reply[:1] == b"M":
                key = reply[1:].decode()
                wanted = "*" if reaches_moved(sets, deletes, ops) else "-"
            elif reply != b"W":
                return _answer(reply)
        return Answer("revoked")

    def touch(self, key: str, ttl: float) -> Steps[bool]:
        epoch = yield from self._known_epoch()
        done = yield from _evaluate(lua.TOUCH, self._record_prefix + key, epoch, _ms(ttl))
        return bool(done)

    def delete(self, key: str) -> Steps[bool]:
        epoch = yield from self._known_epoch()
        for _ in range(PATIENCE):
            name = self._record_prefix + key
            reply = yield from _evaluate(lua.DELETE, name, epoch)
            if reply is None:  # it is of another type, which no script reads
                reply = yield from _ask(Call(("DEL", name)))
            if not isinstance(reply, bytes):
                return bool(reply)
            key = reply[1:].decode()
        return False

    def move(
        self, old: str, new: str, sets: Mapping[str, bytes], ttl: float, grace: float
    ) -> Steps[bool]:
        """Make the old key an alias that is dead, write the new one, settle the old one.

        Whoever stops in between leaves no live record. A revocation in between removes
        the alias, which settling notices.
        """
        epoch = yield from self._known_epoch()
        followed = int(grace > 0)
        source = self._record_prefix + old
        flat = yield from _evaluate(lua.LEAVE, source, epoch, new, followed, KEEP_MS)
        if flat is None:
            return False
        left: dict[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))
        if lua.META in left and not (yield from self._write_moved(left, old, new, sets, ttl)):
            return False
        keep = _ms(grace) if followed else KEEP_MS
        if (yield from _evaluate(lua.SETTLE, source, new, followed, keep)):
            return True
        yield from _evaluate(lua.DROP, self._record_prefix + new, epoch)
        return False

    def _write_moved(
        self, left: dict[bytes, bytes], old: str, new: str, sets: Mapping[str, bytes], ttl: float
    ) -> Steps[bool]:
        generation, epoch, *_ = left[lua.META].split()
        kept = {
            name: value for name, value in left.items() if name not in _OWN or name == lua.MEMORY
        }
        kept.update((name.encode(), value) for name, value in sets.items())
        user = kept.get(USER.encode())
        if user is not None:
            yield from self._add_to_index(user, new)
        made = yield from _evaluate(
            lua.CREATE,
            self._record_prefix + new,
            *(epoch, int(generation) + 1, _ms(ttl), old),
            *(item for pair in kept.items() for item in pair),
        )
        return bool(made)

    def list_of(self, user: str) -> Steps[list[tuple[str, Record]]]:
        found, _ = yield from self._look_up(self._index_key(user.encode()))
        return sorted(found, key=lambda pair: pair[1].touched)

    def revoke(self, user: str, except_key: str | None) -> Steps[int]:
        epoch = yield from self._known_epoch()
        index = self._index_key(user.encode())
        members: list[bytes] = yield from _ask(Call(("ZRANGE", index, 0, -1)))
        keys = [
            self._record_prefix + key for key in map(bytes.decode, members) if key != except_key
        ]
        if not keys:
            return 0
        counts: list[Any] = yield from _ask(
            _each(lua.REVOKE, keys, epoch, user.encode(), except_key or "")
        )
        return sum(0 if _is_wrong_type(count) else count for count in counts)

    def revoke_everyone(self) -> Steps[int]:
        self._learn((yield from _evaluate(lua.BUMP, self._epoch_key)))
        count = 0
        for node in self._primaries():
            cursor = b"0"
            while True:
                cursor, keys = yield from self.page(node, cursor)
                if keys:
                    counts = yield from _ask(_each(lua.DROP, keys, 0))
                    count += sum(0 if _is_wrong_type(one) else one for one in counts)
                if cursor == b"0":
                    break
        return count

    def purge(self) -> Steps[int]:
        """Redis removes expired records itself; what is left of them is in the indexes."""
        yield from self._read_epoch()  # an asyncio cluster knows its nodes after a first command
        dropped = 0
        for node in self._primaries():
            cursor = b"0"
            while True:
                cursor, keys = yield from self._page(node, cursor, self._user_prefix, "zset")
                for index in keys:
                    dropped += (yield from self._look_up(index))[1]
                if cursor == b"0":
                    break
        return dropped

    def page(self, node: object, cursor: bytes) -> Steps[tuple[bytes, list[str]]]:
        """Return the next cursor, ``b"0"`` at the end, and the names of some records of a node."""
        return self._page(node, cursor, self._record_prefix, "hash")

    def _page(
        self, node: object, cursor: bytes, prefix: str, kind: str
    ) -> Steps[tuple[bytes, list[str]]]:
        pattern = "".join(f"\\{char}" if char in "*?[]\\" else char for char in prefix) + "*"
        arguments = ("SCAN", cursor, "MATCH", pattern, "COUNT", BATCH, "TYPE", kind)
        after, keys = yield from _ask(Call(arguments, node))
        if isinstance(after, dict):  # a cluster's answer has one for each node
            (after,) = after.values()
        return str(int(after)).encode(), [key.decode() for key in keys]

    def records(self, names: list[str]) -> Steps[list[tuple[str, Record]]]:
        """Return the live ones of these records, by their keys."""
        if not names:
            return []
        epoch = yield from self._known_epoch()
        found = yield from _ask(Batch([("HGETALL", name) for name in names]))
        start = len(self._record_prefix)
        records = (
            (name[start:], self._readable(reply, epoch))
            for name, reply in zip(names, found, strict=True)
        )
        return [(key, record) for key, record in records if record is not None]

    def _readable(self, reply: Any, epoch: int) -> Record | None:
        """Return the record that a reply holds; one that cannot be read is left out."""
        try:
            if _is_wrong_type(reply):
                raise CorruptRecordError(self._name, "its key holds no hash")
            return self._record(_pairs(reply), epoch)
        except CorruptRecordError as error:
            skip(error)
            return None

    def _record(self, pairs: Pairs, epoch: int) -> Record | None:
        """Make a record of a hash; None if there is none, or one from before everyone's end."""
        if not pairs or lua.TO in pairs:
            return None
        meta = _meta(pairs.get(lua.META, b""))
        if meta is None:
            raise CorruptRecordError(self._name, "the hash has no meta field of ours")
        generation, born, touched, expires = map(int, meta.groups())
        try:
            values = {name.decode(): value for name, value in pairs.items() if name not in _OWN}
        except UnicodeDecodeError as error:
            raise CorruptRecordError(self._name, "a field's name is no UTF-8") from error
        if born < epoch:
            return None
        return Record(values, generation, touched / 1000, expires / 1000)

    def _look_up(self, index: str) -> Steps[tuple[list[tuple[str, Record]], int]]:
        """Return a user's records and how many entries without one left the index.

        An alias stays in it until it is gone, so that a revocation finds it.
        """
        members: list[bytes] = yield from _ask(Call(("ZRANGE", index, 0, -1)))
        names = [self._record_prefix + key.decode() for key in members]
        if not names:
            return [], 0
        epoch = yield from self._known_epoch()
        found: list[Any] = yield from _ask(Batch([("HGETALL", name) for name in names]))
        mine: list[tuple[str, Record]] = []
        stale: list[bytes] = []
        for member, reply in zip(members, found, strict=True):
            record = self._readable(reply, epoch)
            owner = None if record is None else record.values.get(USER)
            if record is not None and owner is not None and self._index_key(owner) == index:
                mine.append((member.decode(), record))
            elif isinstance(reply, Exception) or lua.TO not in _pairs(reply):
                stale.append(member)
        dropped = 0
        if stale:
            dropped = yield from _evaluate(lua.HEAL, index, IN_FLIGHT, *stale)
        return mine, dropped

    def _add_to_index(self, user: bytes, key: str) -> Steps[None]:
        index = self._index_key(user)
        count = yield from _evaluate(lua.INDEX, index, key)
        if count % HEAL_EVERY == 0:
            yield from self._look_up(index)

    def _index_key(self, user: bytes) -> str:
        return self._user_prefix + hashlib.sha256(user).hexdigest()

    def _known_epoch(self) -> Steps[int]:
        if time.monotonic() < self._epoch_read_at + self._epoch_interval:
            return self._epoch
        return (yield from self._read_epoch())

    def _read_epoch(self) -> Steps[int]:
        self._learn((yield from _ask(Call(("GET", self._epoch_key)))))
        return self._epoch

    def _learn(self, epoch: bytes | None) -> None:
        self._epoch = max(self._epoch, int(epoch or 0))
        self._epoch_read_at = time.monotonic()


_OWN = frozenset((lua.META, lua.MEMORY, lua.MAKER, lua.TO, lua.MOVING, lua.FOLLOW))
_COMMITTED = Answer("committed")
_meta = re.compile(rb"(\d+) (\d+) (\d+) (\d+)").fullmatch


def _pairs(reply: Any) -> Pairs:
    """Make a dict of a hash's reply, if nobody did yet."""
    if isinstance(reply, dict):
        return reply
    items = iter(reply)
    return dict(zip(items, items, strict=True))


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _flat(sets: Mapping[str, bytes]) -> Iterable[Argument]:
    for name, value in sets.items():
        yield name.encode()
        yield value


def _changes(
    sets: Mapping[str, bytes], deletes: Sequence[str], ops: Sequence[Op]
) -> list[Argument]:
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
