"""GroupedStore: what tasks write at once is one transaction, and each task's own all the same."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from ctxlocal._async_library import library
from ctxlocal.sessions.errors import StoreUnavailableError
from ctxlocal.sessions.stores import grouped
from ctxlocal.sessions.stores.grouped import MOST, Call, GroupedStore, threaded
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import Answer, Change, Clear, Expect, Incr
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.sessions.stores.sqlite.file import Connection
from ctxlocal.sessions.stores.threaded import ThreadedStore

from ...support.patience import PATIENCE_S
from .conftest import KEY, OTHER


class Patient(MemoryStore):
    """Does nothing together before it is let to, and notes how much that was each time."""

    is_blocking = True
    groups = True

    def __init__(self) -> None:
        super().__init__()
        self.began, self.go = threading.Event(), threading.Event()
        self.sizes: list[int] = []
        self.threads: set[threading.Thread] = set()

    def do_together(self, calls: Sequence[Call]) -> None:
        self.sizes.append(len(calls))
        self.threads.add(threading.current_thread())
        self.began.set()
        assert self.go.wait(30)
        for call in calls:
            call.make(self)


@pytest.fixture
def patient() -> Patient:
    made = Patient()
    made.create(KEY, {}, 100)
    return made


def count(store: GroupedStore, commit_id: str) -> Any:
    return store.commit(KEY, 0, Change(commit_id, ops=(Incr("n", 1),)), 100)


def number(store: MemoryStore | SQLiteStore) -> bytes:
    record = store.load(KEY)
    assert record is not None
    return record.values["n"]


async def all_wait(store: GroupedStore, number: int) -> None:
    while store._lane()._waiting.qsize() < number:
        await asyncio.sleep(0)


def test_what_waits_is_done_together(patient: Patient) -> None:
    async def main() -> None:
        store = GroupedStore(patient)
        first = asyncio.create_task(count(store, "first"))
        await asyncio.to_thread(patient.began.wait)
        others = [asyncio.create_task(count(store, str(each))) for each in range(MOST + 3)]
        await all_wait(store, len(others))
        assert await store.load(KEY) is not None  # a load waits for no write
        patient.go.set()
        assert await first == ("committed", (1,))
        assert sorted([(await each).results for each in others])[-1] == (MOST + 4,)
        await store.close()

    asyncio.run(main())
    assert patient.sizes == [1, MOST, 3]
    assert len(patient.threads) == 1


def test_a_call_that_nobody_waits_for_any_more_is_made(patient: Patient) -> None:
    async def main() -> None:
        store = GroupedStore(patient)
        running = asyncio.create_task(count(store, "running"))
        await asyncio.to_thread(patient.began.wait)
        waiting = asyncio.create_task(count(store, "waiting"))
        other = asyncio.create_task(count(store, "other"))
        await all_wait(store, 2)
        for task in (running, waiting):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        patient.go.set()
        assert await other == ("committed", (3,))
        assert await count(store, "waiting") == ("committed", (2,))
        await store.close()

    asyncio.run(main())


def test_close_waits_for_what_waits(patient: Patient) -> None:
    before = set(threading.enumerate())

    async def main() -> None:
        store = GroupedStore(patient)
        tasks = [asyncio.create_task(count(store, "0"))]
        await asyncio.to_thread(patient.began.wait)
        tasks += [asyncio.create_task(count(store, str(each))) for each in (1, 2)]
        await all_wait(store, 2)
        numbers = []
        patient.close = lambda: numbers.append(number(patient))  # type: ignore[method-assign]
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
        patient.go.set()
        await closing
        assert numbers == [b"3"]
        assert [(await task).outcome for task in tasks] == ["committed"] * 3
        await store.close()
        assert (await count(store, "again")).outcome == "committed"
        await store.close()

    asyncio.run(main())
    started = set(threading.enumerate()) - before
    assert not [one for one in started if one.name.startswith("ctxlocal-store")]


def test_several_loops_have_their_answers(patient: Patient) -> None:
    patient.go.set()
    store = GroupedStore(patient)
    barrier = threading.Barrier(4)

    async def many(name: str) -> None:
        await asyncio.gather(*(count(store, f"{name}.{turn}") for turn in range(25)))

    async def in_trio() -> None:
        async with trio.open_nursery() as nursery:
            for turn in range(25):
                nursery.start_soon(count, store, f"trio.{turn}")

    def loop(name: str) -> None:
        barrier.wait()
        if name == "trio":
            trio.run(in_trio)
        else:
            asyncio.run(many(name))

    threads = [threading.Thread(target=loop, args=(name,)) for name in ("a", "b", "c", "trio")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert number(patient) == b"100"
    asyncio.run(store.close())


def test_a_loop_that_ends_meanwhile_leaves_the_others_of_its_group_alone(patient: Patient) -> None:
    store = GroupedStore(patient)

    async def abandoned() -> None:
        task = asyncio.create_task(count(store, "abandoned"))
        await asyncio.to_thread(patient.began.wait)
        waits = asyncio.create_task(count(store, "waits"))
        await all_wait(store, 1)
        for each in (task, waits):
            each.cancel()

    async def other() -> Answer:
        task = asyncio.create_task(count(store, "other"))
        await all_wait(store, 2)
        patient.go.set()
        answer: Answer = await task
        await store.close()
        return answer

    asyncio.run(abandoned())
    assert asyncio.run(other()) == ("committed", (3,))
    assert patient.sizes == [1, 2]


def test_what_kills_the_group_is_told_and_the_next_one_is_done(patient: Patient) -> None:
    do_together = patient.do_together

    def die(calls: Sequence[Call]) -> None:
        raise SystemExit("no more")

    async def caught(call: Any) -> Any:
        try:
            return await call
        except SystemExit as error:
            caught_here.append(error)
            return None

    caught_here: list[BaseException] = []

    async def run() -> None:
        store = GroupedStore(patient)
        patient.go.set()
        patient.do_together = die  # type: ignore[method-assign]
        await caught(count(store, "a"))
        assert str(caught_here[0]) == "no more"
        patient.do_together = do_together  # type: ignore[method-assign]
        assert await count(store, "b") == ("committed", (1,))
        await store.close()

    asyncio.run(run())


def test_a_call_that_comes_as_the_thread_ends_its_work_is_made(patient: Patient) -> None:
    class Turn(deque[None]):
        """Is given back a moment too late."""

        def append(self, item: None) -> None:
            if late:
                lane.put(late.pop())
            super().append(item)

    late: list[Call] = []

    async def main() -> None:
        call = Call("touch", (KEY, 100), {}, library().gate())
        late.append(call)
        assert await count(store, "first") == ("committed", (1,))
        await asyncio.wait_for(asyncio.shield(call.gate.wait()), 20)
        assert call.answer is True
        await store.close()

    patient.go.set()
    store = GroupedStore(patient)
    lane = store._lane()
    lane._turn = Turn((None,))
    asyncio.run(main())


def test_a_thread_that_has_nothing_to_do_waits_for_the_next_call(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks for another one then: that takes longer than to wake it."""

    async def main() -> None:
        store = GroupedStore(patient)
        pool = store._lane()._pool
        submit = pool.submit
        submitted: list[Any] = []

        def counted(job: Any) -> Any:
            submitted.append(job)
            return submit(job)

        monkeypatch.setattr(pool, "submit", counted)
        monkeypatch.setattr(grouped, "LINGER", PATIENCE_S)
        for number in range(50):  # the thread is not always faster than the next call
            assert await count(store, str(number)) == ("committed", (number + 1,))
        monkeypatch.setattr(grouped, "LINGER", 0)
        await count(store, "last")
        assert len(submitted) == 1
        await store.close()

    patient.go.set()
    asyncio.run(main())
    assert len(patient.threads) == 1


def test_where_no_thread_can_be_had_any_more_it_is_an_error(patient: Patient) -> None:
    """As at the interpreter's end; nobody waits for ever."""

    async def main() -> None:
        store = GroupedStore(patient)
        store._lane().close()
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            await count(store, "a")
        assert store._lane()._waiting.empty()

    asyncio.run(main())


ENDING = """
import asyncio, sys
from ctxlocal.sessions.stores.grouped import GroupedStore
from ctxlocal.sessions.stores.protocol import Change, Incr
from ctxlocal.sessions.stores.sqlite import SQLiteStore
import os
blocking = SQLiteStore(os.environ["SESSIONS"])
blocking.create("k", {}, 100)
store = GroupedStore(blocking)
async def many(name, times):
    await asyncio.gather(*(store.commit("k", 0, Change(f"{name}.{each}", ops=(Incr("n", 1),)), 100)
                           for each in range(times)))
asyncio.run(many("parent", 20))
if os.environ["HOW"] == "fork":
    child = os.fork()
    if child == 0:
        asyncio.run(many("child", 20))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    asyncio.run(many("parent again", 20))
else:
    async def leave():
        for each in range(40):
            asyncio.ensure_future(many(f"left.{each}", 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    asyncio.run(leave())
"""


@pytest.mark.parametrize("how", ["fork", "end"])
def test_nothing_hangs_or_is_lost_at(
    how: str, run_python: Callable[..., str], tmp_path: Path
) -> None:
    """A fork after use, which takes no thread along; an interpreter that ends while some wait."""
    path = tmp_path / "sessions.db"
    run_python(ENDING, SESSIONS=str(path), HOW=how, PYTHONWARNINGS="ignore")
    with closing(SQLiteStore(path)) as store:
        record = store.load("k")
        assert record is not None
        assert record.values["n"] == b"60"


# SQLite


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The beginnings and ends of transactions; ``COMMIT`` fails while "fail" is in it."""
    seen: list[str] = []

    def execute(self: Connection, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement in ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"):
            seen.append(statement)
        if statement == "COMMIT" and "fail" in seen:
            raise sqlite3.OperationalError("disk I/O error")
        return sqlite3.Connection.execute(self, statement, *values)

    monkeypatch.setattr(Connection, "execute", execute, raising=False)
    return seen


@pytest.fixture
def sqlite(path: Path, statements: list[str]) -> Iterator[SQLiteStore]:
    with closing(SQLiteStore(path, timeout=0)) as made:
        made.create(KEY, {}, 100)
        made.create(OTHER, {"old": b"1"}, 100)
        statements.clear()
        yield made


def calls(*each: tuple[Any, ...]) -> list[Call]:
    return [Call(name, args, {}, None) for name, *args in each]  # type: ignore[arg-type]


def answers(made: list[Call]) -> list[Any]:
    return [call.answer if call.error is None else type(call.error) for call in made]


def test_two_writers_of_one_session_merge_in_a_group(
    sqlite: SQLiteStore, statements: list[str]
) -> None:
    base = sqlite.load(KEY)
    assert base is not None
    made = calls(
        ("commit", KEY, 0, Change("1", {"a": b"1"}, ops=(Incr("n", 1),)), 100, base),
        ("commit", KEY, 0, Change("2", {"b": b"2"}, ops=(Incr("n", 1),)), 100, base),
        ("commit", KEY, 0, Change("2", {"b": b"2"}, ops=(Incr("n", 1),)), 100, base),
        ("commit", KEY, 0, Change("3", ops=(Expect("a", None), Incr("n", 9))), 100, base),
        ("commit", KEY, 0, Change("4", {"c": b"3"}, ops=(Clear(),)), 100, base),
        ("commit", KEY, 0, Change("5", {"d": b"4"}), 100, base),
        ("create", KEY, {}, 100),
        ("touch", KEY, 100),
        ("move", OTHER, "c" * 64, {"new": b"2"}, 100, 0),
        ("touch", OTHER, 100),
        ("delete", "c" * 64),
        ("commit", "c" * 64, 1, Change("6", {"e": b"5"}), 100),
    )
    sqlite.do_together(made)
    assert statements == ["BEGIN IMMEDIATE", "COMMIT"]
    assert answers(made) == [
        ("committed", (1,)),
        ("committed", (2,)),
        ("committed", (2,)),
        ("conflict", ()),
        ("committed", (None,)),
        ("conflict", ()),
        False,
        True,
        True,
        False,
        True,
        ("revoked", ()),
    ]
    record = sqlite.load(KEY)
    assert record is not None
    assert record.values == {"c": b"3"}
    assert sqlite.load(OTHER) is None


def test_an_error_is_one_calls_alone(sqlite: SQLiteStore, statements: list[str]) -> None:
    made = calls(
        ("commit", KEY, 0, Change("1", ops=(Incr("n", 1),)), 100),
        ("commit", KEY, 0, Change("2", {"\ud800": b"no UTF-8"}, ops=(Incr("n", 1),)), 100),
        ("commit", KEY, 0, Change("3", ops=(Incr("n", 1),)), 100),
    )
    sqlite.do_together(made)
    assert statements[:2] == ["BEGIN IMMEDIATE", "ROLLBACK"]
    assert answers(made) == [("committed", (1,)), UnicodeEncodeError, ("committed", (2,))]
    assert number(sqlite) == b"2"


def test_what_could_not_be_stored_together_is_stored_alone(
    sqlite: SQLiteStore, statements: list[str]
) -> None:
    """Nobody was told of it, and nothing of it is there."""
    record, other = sqlite.load(KEY), sqlite.load(OTHER)
    statements.append("fail")
    made = calls(
        ("commit", KEY, 0, Change("1", {"n": b"1"}), 100, record),
        ("delete", OTHER),
        ("commit", OTHER, 0, Change("2", {"n": b"1"}), 100, other),
    )
    sqlite.do_together(made)
    assert answers(made) == [("committed", ()), StoreUnavailableError, ("committed", ())]
    assert number(sqlite) == b"1"


def test_a_group_waits_once_for_a_locked_file(
    sqlite: SQLiteStore, statements: list[str], path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        made = calls(("touch", KEY, 100), ("delete", OTHER), ("commit", KEY, 0, Change("1"), 100))
        sqlite.do_together(made)
    assert statements == ["BEGIN IMMEDIATE"]
    assert answers(made) == [StoreUnavailableError] * 3
    assert [call.error.operation for call in made if call.error] == ["touch", "delete", "commit"]  # type: ignore[attr-defined]
    assert sqlite.load(OTHER) is not None


def test_a_subclass_writes_as_it_wants(path: Path) -> None:
    class Own(SQLiteStore):
        pass

    assert type(threaded(Own(path))) is ThreadedStore
    assert type(threaded(SQLiteStore(path))) is GroupedStore
    assert type(threaded(SQLiteStore(path, is_blocking=False))) is ThreadedStore
    assert type(threaded(MemoryStore())) is ThreadedStore


def test_a_method_that_was_put_into_a_store_is_called_as_it_is(
    sqlite: SQLiteStore, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    touch = sqlite.touch
    monkeypatch.setattr(sqlite, "touch", lambda *args: touch(*args))
    made = calls(("touch", KEY, 100), ("touch", OTHER, 100))
    sqlite.do_together(made)
    assert answers(made) == [True, True]
    assert statements == []


KILLED = """
import asyncio, os, signal, sqlite3, sys
from ctxlocal.sessions.stores.grouped import GroupedStore
from ctxlocal.sessions.stores.protocol import Change
from ctxlocal.sessions.stores.sqlite import SQLiteStore
from ctxlocal.sessions.stores.sqlite.file import Connection
turns = 0
async def pause():
    for _ in range(5):
        await asyncio.sleep(0)
def execute(self, statement, *values):
    global turns
    if statement == "COMMIT":
        turns += 1
        # Who was told too early says so now.
        asyncio.run_coroutine_threadsafe(pause(), loop).result()
        if turns == 3:
            os.kill(os.getpid(), signal.SIGKILL)
    return sqlite3.Connection.execute(self, statement, *values)
async def write(store, name):
    for turn in range(1000):
        await store.commit("k", 0, Change(f"{name}.{turn}", {f"{name}.{turn}": b"1"}), 100)
        os.write(1, f"{name}.{turn}\\n".encode())
async def main():
    global loop
    loop = asyncio.get_running_loop()
    blocking = SQLiteStore(os.environ["SESSIONS"])
    blocking.create("k", {}, 100)
    Connection.execute = execute
    store = GroupedStore(blocking)
    await asyncio.gather(*(write(store, name) for name in "abcdefgh"))
asyncio.run(main())
"""


def test_what_was_answered_survives_a_kill_in_the_middle_of_a_group(path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", KILLED],
        env={**os.environ, "SESSIONS": str(path)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert ended.returncode == -9
    answered = ended.stdout.split()
    with closing(SQLiteStore(path)) as store:
        record = store.load("k")
    assert record is not None
    assert answered
    assert set(answered) == set(record.values)
