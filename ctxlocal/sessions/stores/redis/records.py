"""How the Redis store comes from a key to a record, and to a user's; the base of its steps."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from ...errors import CorruptRecordError, SessionConfigError
from ..forwarding import Operations
from ..protocol import USER, Record
from ..unreadable import skip
from . import scripts as lua
from .calls import Argument, Asking, Batch, Call, in_batch, is_wrong_type
from .keeping import Keeping, Wait
from .sentinel import nodes_of

Pairs = Mapping[bytes, bytes]

KEEP_MS = 600_000  #: how long a key that was moved tells where to, to those who remove the record
IN_FLIGHT = 60  #: seconds in which an entry of the index may still be without its record
INDEX_INTERVAL = 60  #: seconds for which a user's index that had a session is trusted to have it
HEAL_EVERY = 64  #: the index of a user who is never listed is healed when it has grown so


class Found(NamedTuple):
    """A record that was found by a user's index."""

    key: str  #: its own
    at: str  #: where it was read: there, or where it has yet to leave
    number: bytes  #: the session's
    record: Record


class Records(Asking, Operations):
    """Finds records; one object for all threads and tasks of a process.

    :param client: of redis, or redis.asyncio.
    :param prefix: what the names of all keys begin with.
    :param epoch_interval: seconds; how old the process's knowledge of the epoch may be.
    :param wait: for what replicas have to confirm; None: for nothing.
    """

    def __init__(
        self, client: Any, prefix: str, epoch_interval: float, owned: bool, wait: Wait | None
    ) -> None:
        if not epoch_interval >= 0:
            raise SessionConfigError("epoch_interval", "give seconds, 0 or more")
        self.name = _name(client)
        self._client = client
        self._owned = owned
        self._wait = wait
        self._record_prefix = f"{prefix}session:"
        self._user_prefix = f"{prefix}user:"
        self._trail_prefix = f"{prefix}trail:"
        self._ends_prefix = f"{prefix}ended:"
        self._ended: dict[str, int] = {}  # indexes of whom this process ended; server's time, us
        self._epoch_key = f"{prefix}epoch"
        self._epoch_interval = epoch_interval
        self._epoch = 0
        self._epoch_read_at = float("-inf")

    def _own_pool(self) -> Any:
        """Return the pool of a client that is the store's own; a cluster has none."""
        return getattr(self._client, "connection_pool", None) if self._owned else None

    def _primaries(self) -> Sequence[object]:
        """Return the nodes to search, ``[None]`` without a cluster."""
        if not hasattr(self._client, "get_primaries"):
            return [None]
        nodes: Sequence[object] = self._client.get_primaries()
        return nodes

    # From a key to its record.

    async def _read(self, key: str) -> tuple[str, Pairs]:
        """Return where the record is that a key leads to, and its hash."""
        at, found = await self._at_record(lua.READ, key)
        return at, pairs_of(found[1]) if found else {}

    async def _at_record(
        self,
        script: lua.Script,
        key: str,
        *arguments: Argument,
        epoch: int | None = None,
        keeping: Keeping | None = None,
    ) -> tuple[str, Any]:
        """Run a script on the record that a key leads to; return where that is, and the reply.

        The reply is False if the key leads nowhere, None if what is there is no hash.
        """
        if epoch is None:
            epoch = await self._known_epoch()
        way: Argument = ""
        passed: set[str] = set()  # trails, each taken once, and keys that would not be left
        while True:
            name = self._record_prefix + key
            reply = await self._evaluate(script, name, epoch, way, *arguments, keeping=keeping)
            match reply:
                case [b"alias", bytes() as began, bytes() as to, number, generation]:
                    trail = self._trail(number, generation)
                    if way and trail not in passed:
                        passed.add(trail)
                        to = (await self._ask(Call(("GET", trail)))) or to
                    key, way = to.decode(), began
                case [b"left", bytes() as began, flat]:
                    pairs = pairs_of(flat)
                    if await self._carry(key, pairs):
                        key, way = target_of(pairs), began
                    elif key in passed:  # what was to wait for the record is gone
                        return key, False
                    else:  # it was removed, or moved on: look again
                        passed.add(key)
                case [b"pending", bytes() as old]:
                    if not await self._is_led(old.decode(), key):
                        return key, False
                    way = "0"
                case _:
                    return key, reply

    async def _carry(self, at: str, left: Pairs, keeping: Keeping | None = None) -> int:
        """Bring a record that has left its key to the next; return how long the alias is kept.

        0: it was removed in between.
        """
        new = target_of(left)
        if not await self._write_moved(left, at, new):
            return 0
        return (await self._finish(at, new, keeping)) or 0

    async def _finish(self, at: str, new: str, keeping: Keeping | None) -> Any:
        name = self._record_prefix + at
        return await self._evaluate(lua.FINISH, name, new, KEEP_MS, keeping=keeping)

    async def _write_moved(self, left: Pairs, old: str, new: str) -> bool:
        fields = [
            item for pair in left.items() if pair[0] not in (lua.TO, lua.PENDING) for item in pair
        ]
        written = await self._evaluate(lua.WRITE, self._record_prefix + new, old, *fields)
        return bool(written)

    async def _is_led(self, old: str, new: str) -> bool:
        """Whether a record went from one key to the other; it has arrived then."""
        epoch = await self._known_epoch()
        reply = await self._evaluate(lua.FIND, self._record_prefix + old, epoch, "0", new)
        match reply:
            case [b"moved"]:
                return True
            case [b"left", _, flat] if target_of(pairs := pairs_of(flat)) == new:
                return bool(await self._carry(old, pairs))
        return False

    def _record(self, pairs: Pairs, epoch: int) -> Record | None:
        """Make a record of a hash; None if there is none, or one from before everyone's end."""
        if lua.META not in pairs and (not pairs or lua.TO in pairs or lua.PENDING in pairs):
            return None
        meta = _meta(pairs.get(lua.META, b""))
        if meta is None:
            raise CorruptRecordError(self.name, "the hash has no meta field of ours")
        generation, born, touched, expires = map(int, meta.groups())
        try:
            values = {name.decode(): value for name, value in pairs.items() if name not in _OWN}
        except UnicodeDecodeError as error:
            raise CorruptRecordError(self.name, "a field's name is no UTF-8") from error
        if born <= epoch:
            return None
        return Record(values, generation, touched / 1000, expires / 1000)

    def _readable(self, reply: Any, epoch: int) -> Record | None:
        """Return the record that a reply holds; one that cannot be read is left out."""
        try:
            if is_wrong_type(reply):
                raise CorruptRecordError(self.name, "its key holds no hash")
            return self._record(pairs_of(reply), epoch)
        except CorruptRecordError as error:
            skip(error)
            return None

    # From a user to his records.

    async def _look_up(self, index: str) -> tuple[list[Found], int]:
        """Return a user's records and how many entries that lead to none left the index."""
        members: list[bytes] = await self._ask(Call(("ZRANGE", index, 0, -1)))
        keys = [member.decode() for member in members]
        found = await self._gather(keys)
        mine = [one for one in found if self._is_owner(one.record, index)]
        for key in {one.key for one in mine} - set(keys):  # it went there while nobody noted it
            await self._evaluate(lua.INDEX, index, key)
        useful = {key for one in mine for key in (one.key, one.at)}
        stale = [key for key in keys if key not in useful]
        dropped = 0
        if stale:
            dropped = await self._evaluate(lua.HEAL, index, IN_FLIGHT, *stale)
        return mine, dropped

    def _is_owner(self, record: Record, index: str) -> bool:
        owner = record.values.get(USER)
        return owner is not None and self._index_key(owner) == index

    async def _gather(self, keys: Iterable[str]) -> list[Found]:
        """Return the records that keys lead to, each once, whether a grace runs or not."""
        epoch = await self._known_epoch()
        found: dict[bytes, Found] = {}
        todo: dict[_Place, bytes | None] = {_Place(key, False): None for key in keys}
        asked: set[_Place] = set()
        while todo:
            asked.update(todo)
            calls: list[tuple[Argument, ...]] = [
                ("HGETALL", self._record_prefix + place.key) for place in todo
            ]
            replies: list[Any] = await self._ask(Batch(calls))
            after: dict[_Place, bytes | None] = {}
            for place, reply in zip(todo, replies, strict=True):
                pairs = {} if isinstance(reply, Exception) else pairs_of(reply)
                following = _following(pairs, place.is_led)
                if following is not None:
                    after[following] = pairs.get(lua.NUMBER)
                elif (record := self._readable(reply, epoch)) is not None:
                    _keep_latest(found, place.key, pairs, record)
            todo = {
                place: number
                for place, number in after.items()
                if place not in asked and number not in found
            }
        return list(found.values())

    # What an index has lost: evicted, or gone alone in a failover.

    def _is_due(self, user: bytes, pairs: Pairs) -> bool:
        """Whether a session of this user has to be looked for in his index."""
        found = _indexed(pairs.get(lua.INDEXED, b""))
        seen = 0 if found is None else int(found[2])
        if seen / 1e6 + INDEX_INTERVAL <= time.time():
            return True
        return bool(self._ended) and seen <= self._ended.get(self._index_key(user), 0)

    async def _has_ended(self, key: str, pairs: Pairs, user: bytes, handle: bytes | None) -> bool:
        """Enter a session into its user's index again; whether it was missed when he was ended."""
        index = self._index_key(user)
        born = pairs[lua.META].split()[1]
        calls = [
            in_batch(lua.ENLIST, index, key, also=self._ends_key(index)),
            in_batch(lua.ENLISTED, self._record_prefix + key, born),
        ]
        reply, _ = await self._ask(Batch(calls))
        if is_wrong_type(reply):
            return False
        ends = pairs_of(reply)
        found = _indexed(pairs.get(lua.INDEXED, b""))
        since = int(born if found is None else found[1])
        number = number_of(key, pairs)
        which = [_ALL] if handle is None else [_ALL, _named(handle)]
        return any(_is_after(ends.get(each), since, number) for each in which)

    async def _note_end(
        self, index: str, handle: str | None, spared: bytes | None, keeping: Keeping | None
    ) -> None:
        """Let those sessions of a user end, too, that his index does not have.

        The sessions that this process loads are looked for at once, by others each
        INDEX_INTERVAL.
        """
        which = _ALL if handle is None else _named(handle.encode())
        ends = self._ends_key(index)
        at = await self._evaluate(lua.END, ends, which, spared or b"", keeping=keeping)
        if at is None:
            return  # somebody else's key
        now = self._ended[index] = int(at)
        for each, ended in self._ended.copy().items():
            if ended + INDEX_INTERVAL * 1_000_000 < now:  # by now all have looked
                self._ended.pop(each, None)

    def _ends_key(self, index: str) -> str:
        """Return a name in the same slot of a cluster as the index."""
        return f"{self._ends_prefix}{{{index}}}"

    async def _heal_at_times(self, index: str, entries: int) -> None:
        if entries % HEAL_EVERY == 0:
            await self._look_up(index)

    def _index_key(self, user: bytes) -> str:
        return self._user_prefix + hashlib.sha256(user).hexdigest()

    def _trail(self, number: bytes, generation: bytes) -> str:
        return f"{self._trail_prefix}{number.hex()}:{generation.decode()}"

    # Everyone's end.

    async def _known_epoch(self) -> int:
        if time.monotonic() < self._epoch_read_at + self._epoch_interval:
            return self._epoch
        return await self._read_epoch()

    async def _read_epoch(self) -> int:
        """Learn the server's; one that it has lost is written back, if it is none of the future."""
        held = await self._ask(Call(("GET", self._epoch_key)))
        try:
            epoch = int(held or 0)
        except ValueError:  # somebody else's
            raise ResponseError(f"{self._epoch_key} holds no number: delete it") from None
        known = self._epoch
        if epoch < known:
            epoch = int(await self._evaluate(lua.RECALL, self._epoch_key, known))
            if epoch < known == self._epoch:
                self._epoch = epoch
        self._learn(epoch)
        return self._epoch

    def _learn(self, epoch: int) -> None:
        self._epoch = max(self._epoch, epoch)
        self._epoch_read_at = time.monotonic()


def _name(client: Any) -> str:
    if hasattr(client, "get_primaries"):
        nodes = sorted(client.nodes_manager.startup_nodes)
        return f"redis+cluster://{nodes[0]}" if nodes else "redis+cluster"
    pool = client.connection_pool
    known = pool.connection_kwargs
    if hasattr(pool, "sentinel_manager"):
        asked = ",".join(f"{host}:{port}" for host, port in nodes_of(pool.sentinel_manager))
        return f"redis+sentinel://{asked}/{pool.service_name}/{known.get('db') or 0}"
    if "path" in known:
        return f"unix://{known['path']}"
    return (
        f"redis://{known.get('host', 'localhost')}:{known.get('port', 6379)}/{known.get('db') or 0}"
    )


class _Place(NamedTuple):
    """A key to be asked, and whether an alias led there, so that it need not be confirmed."""

    key: str
    is_led: bool


_OWN = frozenset((lua.META, lua.MEMORY, lua.NUMBER, lua.INDEXED, lua.GRACES, lua.TO, lua.PENDING))
_indexed = re.compile(rb"(\d+) (\d+)").fullmatch
_ALL = b"*"  # of a user's sessions are ended
_meta = re.compile(rb"(\d+) (\d+) (\d+) (\d+)").fullmatch


def _named(handle: bytes) -> bytes:
    return b":" + handle


def _is_after(end: bytes | None, since: int, number: bytes) -> bool:
    """Whether an end came after ``since``, and does not spare this session."""
    at, _, spared = (end or b"0 ").partition(b" ")
    return int(at) > since and spared != number


def _following(pairs: Pairs, is_led: bool) -> _Place | None:
    """Return where to go on if a hash holds no record of its key's own."""
    if lua.TO in pairs:
        return None if lua.META in pairs else _Place(target_of(pairs), True)
    if lua.PENDING in pairs and not is_led:
        return _Place(pairs[lua.PENDING].decode(), False)
    return None


def _keep_latest(found: dict[bytes, Found], at: str, pairs: Pairs, record: Record) -> None:
    one = Found(target_of(pairs) or at, at, number_of(at, pairs), record)
    known = found.get(one.number)
    if known is None or known.record.touched <= record.touched:
        found[one.number] = one


def pairs_of(reply: Any) -> Pairs:
    """Make a dict of a hash's reply, if nobody did yet."""
    if isinstance(reply, dict):
        return reply
    items = iter(reply)
    return dict(zip(items, items, strict=True))


def target_of(pairs: Pairs) -> str:
    """Return the key that a hash was moved to, blank if it was not."""
    return pairs.get(lua.TO, b"").rpartition(b" ")[2].decode()


def number_of(key: str, pairs: Pairs) -> bytes:
    """Return what names the session of a record."""
    return pairs.get(lua.NUMBER, key.encode())


def generation_of(pairs: Pairs) -> bytes:
    """Return the generation in which a record was moved."""
    return pairs[lua.TO].split(b" ")[2]


def had_grace(pairs: Pairs) -> bool:
    """Whether a record was moved with a grace."""
    return not pairs[lua.TO].startswith(b"0 ")
