"""SQLiteStore: many processes, greenlets, forks, and files that are not as they should be."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ctxlocal.sessions.errors import CorruptRecordError, SessionConfigError, StoreUnavailableError
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.stores.protocol import HANDLE, USER, Answer, Change, Incr, Record
from ctxlocal.sessions.stores.sqlite import SQLiteStore, file
from ctxlocal.sessions.stores.sqlite.file import Connections, transaction

from .conftest import KEY, OTHER
from .racing import revoke_what_others_renew


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    made = SQLiteStore(path)
    yield made
    made.close()


def execute(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


WORKER = """
import sys
from ctxlocal.sessions.stores.protocol import Answer, Change, Incr
from ctxlocal.sessions.stores.sqlite import SQLiteStore
store = SQLiteStore(sys.argv[1])
store.create(sys.argv[2], {}, 1000)   # they make the file together
name, each = sys.argv[3], 10
for turn in range(each):
    base = store.load(sys.argv[2])
    print("loaded", flush=True)
    sys.stdin.readline()
    change = Change(f"{name}.{turn}", {f"{name}.{turn}": b"1"}, ops=(Incr("n", 1),))
    answer = store.commit(sys.argv[2], 0, change, 1000, base)
    assert answer.outcome == "committed", answer
store.close()
"""


def test_processes_lose_nothing(path: Path) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path), KEY, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(5)
    ]
    for _ in range(10):
        for worker in workers:  # a barrier through pipes: all have loaded before any commits
            assert worker.stdout is not None
            assert worker.stdout.readline() == "loaded\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
    assert [worker.communicate()[0] for worker in workers] == [""] * 5
    assert [worker.returncode for worker in workers] == [0] * 5
    store = SQLiteStore(path)
    record = store.load(KEY)
    store.close()
    assert record is not None
    expected = {f"{number}.{turn}": b"1" for number in range(5) for turn in range(10)}
    assert record.values == {**expected, "n": b"50"}


def test_greenlets_lose_nothing(run_python: Callable[..., str], path: Path) -> None:
    code = """
    from gevent import monkey; monkey.patch_all()
    import sys, gevent, threading
    from gevent.event import Event
    from ctxlocal.sessions.stores.protocol import Answer, Change, Incr
    from ctxlocal.sessions.stores.sqlite import SQLiteStore
    import os
    store = SQLiteStore(os.environ["SESSIONS"])
    store.create("k", {}, 100)
    ready, go = [], Event()
    def request(number):
        base = store.load("k")
        ready.append(number)
        go.wait()
        change = Change(f"{number}", {f"f{number}": b"1"}, ops=(Incr("n", 1),))
        store.commit("k", 0, change, 100, base)
    jobs = [gevent.spawn(request, number) for number in range(100)]
    while len(ready) < 100:
        gevent.sleep(0)
    go.set()
    gevent.joinall(jobs, raise_error=True)
    print(len(store.load("k").values), store.load("k").values["n"])
    """
    assert run_python(code, SESSIONS=str(path)) == "101 b'100'\n"


def test_a_fork_uses_connections_of_its_own(store: SQLiteStore) -> None:
    store.create(KEY, {}, 100)
    inherited = store._connections._idle[0]
    child = os.fork()
    if child == 0:
        answer = store.commit(KEY, 0, Change("child", {"child": b"1"}), 100, store.load(KEY))
        fine = answer.outcome == "committed" and inherited not in store._connections._idle
        os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    answer = store.commit(KEY, 0, Change("parent", {"parent": b"1"}), 100, store.load(KEY))
    assert answer.outcome == "committed"
    record = store.load(KEY)
    assert record is not None
    assert record.values == {"child": b"1", "parent": b"1"}


def test_threads_leave_few_connections(store: SQLiteStore) -> None:
    barrier = threading.Barrier(20)

    def use() -> None:
        barrier.wait()
        store.load(KEY)

    store.create(KEY, {}, 100)
    threads = [threading.Thread(target=use) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store._connections._idle) <= 8


def test_what_is_committed_is_there_for_the_next_process(path: Path) -> None:
    first = SQLiteStore(path)
    first.create(KEY, {"a": b"1"}, 100)
    first.close()
    second = SQLiteStore(path)
    record = second.load(KEY)
    second.close()
    assert record is not None
    assert record.values == {"a": b"1"}


def test_a_closed_store_opens_again(store: SQLiteStore) -> None:
    store.create(KEY, {"a": b"1"}, 100)
    store.close()
    store.close()
    assert store.load(KEY) is not None


def test_a_connection_in_use_is_closed_when_it_comes_back(path: Path) -> None:
    connections = Connections(str(path), 1)
    taken = connections.take()
    connections.close()
    connections.give(taken)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        taken.execute("SELECT 1")


def unavailable(operation: str, path: Path) -> str:
    return rf"^The session store sqlite {re.escape(str(path))} failed in {operation}; see the cause"


def test_a_missing_directory_makes_it_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "sessions.db"
    store = SQLiteStore(path)
    with pytest.raises(StoreUnavailableError, match=unavailable("load", path)) as caught:
        store.load(KEY)
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)


def test_each_connection_waits_as_long_as_it_was_told(path: Path) -> None:
    store = SQLiteStore(path, timeout=0.2)
    store.create(KEY, {}, 100)
    (connection,) = store._connections._idle
    assert connection.execute("PRAGMA busy_timeout").fetchone() == (200,)
    store.close()


def test_a_locked_file_makes_it_unavailable(path: Path) -> None:
    store = SQLiteStore(path, timeout=0.2)
    store.create(KEY, {"a": b"1"}, 100)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match=unavailable("commit", path)) as caught:
        store.commit(KEY, 0, Change("c", {"a": b"2"}), 100, store.load(KEY))
    assert "locked" in str(caught.value.__cause__)
    assert store.load(KEY) is not None  # readers do not wait for writers
    other.execute("ROLLBACK")
    other.close()
    assert store.commit(KEY, 0, Change("c", {"a": b"2"}), 100).outcome == "committed"
    store.close()


def test_a_full_disk_makes_it_unavailable_and_harms_nothing(
    path: Path, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(KEY, {"a": b"1"}, 100)
    store.close()
    opened = Connections._open

    def limited(self: Connections) -> sqlite3.Connection:
        connection = opened(self)
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    monkeypatch.setattr(Connections, "_open", limited)
    big = {"b": b"x" * 100_000}
    for base in (None, store.load(KEY)):
        with pytest.raises(StoreUnavailableError, match=unavailable("commit", path)) as caught:
            store.commit(KEY, 0, Change("c", big, ops=(Incr("n", 1),)), 100, base)
        assert "full" in str(caught.value.__cause__)
    with pytest.raises(StoreUnavailableError, match=unavailable("create", path)):
        store.create(OTHER, big, 100)
    assert store.commit(KEY, 0, Change("d", {"c": b"2"}), 100).outcome == "committed"
    record = store.load(KEY)
    assert record is not None
    assert record.values == {"a": b"1", "c": b"2"}


READ_ONLY = """
import os
from ctxlocal.sessions.errors import StoreUnavailableError
from ctxlocal.sessions.stores.sqlite import SQLiteStore
if os.getuid() == 0:
    os.setuid(65534)  # root may write everywhere
store = SQLiteStore(os.environ["SESSIONS"])
try:
    store.create("b" * 64, {}, 100)
except StoreUnavailableError as error:
    print(type(error.__cause__).__name__)
"""


def test_a_read_only_file_makes_it_unavailable(run_python: Callable[..., str]) -> None:
    directory = Path(tempfile.mkdtemp())  # pytest's own lets nobody else in
    try:
        path = directory / "sessions.db"
        store = SQLiteStore(path)
        store.create(KEY, {"a": b"1"}, 100)
        store.close()
        path.chmod(0o444)
        directory.chmod(0o555)
        assert run_python(READ_ONLY, SESSIONS=str(path)) == "OperationalError\n"
    finally:
        directory.chmod(0o755)
        shutil.rmtree(directory)


@pytest.mark.parametrize("name", ["a b", "?mode=ro", "#", "%41", "C:", "ü", "\udcff"], ids=ascii)
def test_a_file_has_the_name_that_it_was_given(tmp_path: Path, name: str) -> None:
    store = SQLiteStore(tmp_path / name)
    store.create(KEY, {}, 100)
    store.close()
    assert {each.partition("-")[0] for each in os.listdir(tmp_path)} == {name}


def test_what_is_no_database_makes_it_unavailable(path: Path, store: SQLiteStore) -> None:
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreUnavailableError, match=unavailable("load", path)) as caught:
        store.load(KEY)
    assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)
    assert path.read_bytes() == b"no database at all" * 100


def test_a_torn_file_makes_it_unavailable(path: Path, store: SQLiteStore) -> None:
    store.create(KEY, {"a": b"x" * 10_000}, 100)
    store.close()
    content = path.read_bytes()
    path.write_bytes(content[:2048] + b"\xff" * (len(content) - 2048))
    with pytest.raises(StoreUnavailableError, match=unavailable("load", path)):
        store.load(KEY)


def test_a_database_of_something_else_is_left_alone(path: Path, store: SQLiteStore) -> None:
    execute(path, "CREATE TABLE customers (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreUnavailableError, match=unavailable("create", path)) as caught:
        store.create(KEY, {}, 100)
    cause = caught.value.__cause__
    assert isinstance(cause, SessionConfigError)
    assert str(cause) == (
        f"path: {str(path)!r} is a database of something else. Use a file of its own for sessions"
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize("layout", [1, 3])
def test_another_layout_is_refused(path: Path, store: SQLiteStore, layout: int) -> None:
    store.create(KEY, {}, 100)
    store.close()
    execute(path, f"PRAGMA user_version = {layout}")
    with pytest.raises(StoreUnavailableError) as caught:
        store.load(KEY)
    assert str(caught.value.__cause__) == (
        f"path: the sessions in {str(path)!r} are of layout {layout}; this version of ctxlocal "
        "knows layout 2 alone. Remove the file, which ends the sessions in it, or use another one"
    )


@pytest.mark.parametrize(
    "body",
    ["x''", "x'ff'", "x'00'", "x'93c0c0c0'", "'text'", "zeroblob(99)", "x'9381a1ffc401619080'"],
)
def test_r32_a_corrupt_row_is_told_from_a_missing_one(
    path: Path, store: SQLiteStore, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.create(KEY, {USER: b"ann", "a": b"1"}, 100)
    store.create(OTHER, {USER: b"ann", "a": b"1"}, 100)
    base = store.load(KEY)
    execute(path, f"UPDATE session SET body = {body}, version = 0 WHERE key = '{KEY}'")
    message = (
        f"The session store sqlite {path} holds a record it cannot read: "
        "a row's body is no msgpack of ours."
    )
    with pytest.raises(CorruptRecordError, match=f"^{re.escape(message)}$"):
        store.load(KEY)
    assert store.commit(KEY, 0, Change("c", {"b": b"2"}), 100, base) == Answer("revoked")
    assert not store.move(KEY, "new", {}, 100)
    assert [key for key, _ in store.list("ann")] == [OTHER]
    assert [key for key, _ in store.scan()] == [OTHER]
    assert caplog.messages == [f"record left out: {message}"] * 2
    assert store.touch(KEY, 100)
    assert store.delete(KEY)
    assert store.load(KEY) is None


def test_an_uncontended_commit_is_one_statement(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(KEY, {"a": b"1"}, 100)
    base = store.load(KEY)
    statements: list[str] = []
    store._connections._idle[0].set_trace_callback(statements.append)
    store.commit(KEY, 0, Change("c", {"b": b"2"}, ops=(Incr("n", 1),)), 100, base)
    assert [statement.split()[0] for statement in statements] == ["UPDATE"]
    statements.clear()
    store.commit(KEY, 0, Change("d", {"c": b"3"}), 100, base)  # somebody was faster
    assert [statement.split()[0] for statement in statements] == [
        "UPDATE", "BEGIN", "SELECT", "UPDATE", "COMMIT",
    ]  # fmt: skip


def test_purge_locks_in_small_parts(store: SQLiteStore, path: Path) -> None:
    store.create(KEY, {}, 100)
    execute(
        path,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) "
        "INSERT INTO session SELECT NULL, 'k' || i, 1, 0, 0, 1, NULL, x'' FROM n",
    )
    assert store.purge() == 2500
    assert store.load(KEY) is not None


def test_purge_looks_at_each_row_once(store: SQLiteStore, path: Path) -> None:
    """The 20000 live ones that come first take more steps than the 5000 expired ones."""
    store.create(KEY, {}, 100)
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000) "
    execute(
        path,
        many + "INSERT INTO session SELECT NULL, 'k' || i, 1, 0, 0, CASE WHEN i > 20000 THEN 1 "
        "ELSE 1e12 END, NULL, x'' FROM n",
    )
    steps: list[None] = []
    store._connections._idle[0].set_progress_handler(lambda: steps.append(None), 1)
    assert store.purge() == 5000
    assert len(steps) < 16 * 25_000


def test_purge_looks_for_what_has_expired_without_a_lock(store: SQLiteStore, path: Path) -> None:
    store.create(KEY, {}, 100)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert store.purge() == 0
    writer.close()


# Renewals.


@pytest.mark.parametrize("graces", [("0",), ("100",), ("0", "100")], ids="-".join)
def test_r8_a_revocation_ends_what_other_processes_renew(
    path: Path, store: SQLiteStore, graces: tuple[str, ...]
) -> None:
    names = ("a", "b", "c")
    assert revoke_what_others_renew(store, f"sqlite:///{path}", "ann", names, graces) == 3


def steps_of(store: SQLiteStore, call: Callable[[], object]) -> int:
    """Return how many instructions SQLite took for a call."""
    steps: list[None] = []
    connection = store._connections._idle[-1]
    connection.set_progress_handler(lambda: steps.append(None), 1)
    call()
    connection.set_progress_handler(None, 1)
    return len(steps)


def test_the_8000th_renewal_within_a_grace_costs_what_the_first_does(store: SQLiteStore) -> None:
    store.create("0", {USER: b"ann"}, 1000)

    def renew(number: int) -> int:
        old, new = f"{number}", f"{number + 1}"
        return steps_of(store, lambda: store.move(old, new, {}, 1000, 100))

    first = renew(0), steps_of(store, lambda: store.load("0"))
    for number in range(1, 7999):
        store.move(f"{number}", f"{number + 1}", {}, 1000, 100)
    last = renew(7999), steps_of(store, lambda: store.load("0"))
    assert last[0] < 1.5 * first[0]
    assert last[1] <= first[1]
    assert store.commit("0", 0, Change("c", {"a": b"1"}), 1000).outcome == "committed"
    assert [key for key, _ in store.list("ann")] == ["8000"]
    assert store.revoke("ann") == 1
    assert all(store.load(f"{number}") is None for number in (0, 4000, 8000))


def test_an_old_key_never_leads_to_a_later_record(store: SQLiteStore, path: Path) -> None:
    """SQLite gives the later one the id of the one that was removed last."""
    store.create(KEY, {"a": b"1"}, 1000)
    store.move(KEY, OTHER, {}, 1000, 500)
    for end in (
        lambda: store.delete(OTHER),
        lambda: execute(path, "DELETE FROM session"),  # somebody tidies up by hand
    ):
        end()
        store.create("later", {"b": b"2"}, 1000)
        assert store.load(KEY) is None
        assert store.move("later", OTHER, {}, 1000, 500)
        assert store.load("later") is not None


def test_an_expired_grace_leaves_nothing(path: Path) -> None:
    now = [1_000_000.0]
    store = SQLiteStore(path, clock=lambda: now[0])
    store.create("0", {}, 1000)
    for number in range(10):
        assert store.move(f"{number}", f"{number + 1}", {}, 1000, 5)
        now[0] += 6
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT key FROM old_key").fetchall() == [("9",)]
    assert store.purge() == 0
    assert connection.execute("SELECT count(*) FROM old_key").fetchone() == (0,)
    connection.close()
    store.close()


def test_r32_a_corrupt_row_has_no_handle(store: SQLiteStore, path: Path) -> None:
    for key in (KEY, OTHER):
        store.create(key, {USER: b"ann", HANDLE: key[:32].encode()}, 100)
    execute(path, f"UPDATE session SET body = x'' WHERE key = '{KEY}'")
    assert store.revoke("ann", None, KEY[:32]) == 0
    assert store.revoke("ann", None, OTHER[:32]) == 1
    assert store.revoke("ann") == 1


def test_a_commit_does_not_revive_what_a_touch_let_expire(path: Path) -> None:
    now = [1_000_000.0]
    store = SQLiteStore(path, clock=lambda: now[0])
    store.create(KEY, {}, 1000)
    base = store.load(KEY)
    assert store.touch(KEY, 5)
    now[0] += 5
    assert store.commit(KEY, 0, Change("c", {"a": b"1"}), 1000, base) == Answer("revoked")
    store.close()


# The file is removed, or another one is put in its place.


def remove(path: Path, *ends: str) -> None:
    for end in ends:
        Path(f"{path}{end}").unlink(missing_ok=True)


def filled(path: Path, **values: bytes) -> None:
    """Make a file with a record of KEY, as a backup is restored."""
    store = SQLiteStore(path)
    store.create(KEY, values, 1000)
    store.close()


def loaded(store: SQLiteStore, key: str = KEY) -> dict[str, bytes] | None:
    record = store.load(key)
    return None if record is None else record.values


def agree(*stores: SQLiteStore) -> None:
    """Whatever one commits the others see, and none of it is lost."""
    for number, store in enumerate(stores):
        assert store.create(f"new{number}", {"n": b"%d" % number}, 1000)
    for number in range(len(stores)):
        for other in stores:
            base = other.load(f"new{number}")
            answer = other.commit(f"new{number}", 0, Change("c", ops=(Incr("n", 1),)), 1000, base)
            assert answer == Answer("committed", (number + 1,))
        assert {str(loaded(other, f"new{number}")) for other in stores} == {
            str({"n": b"%d" % (number + 1)})
        }


@pytest.fixture
def workers(path: Path) -> Iterator[list[SQLiteStore]]:
    """Two that have used the file, with a record of KEY in it."""
    made = [SQLiteStore(path) for _ in range(2)]
    made[0].create(KEY, {"is": b"old"}, 1000)
    assert [loaded(worker) for worker in made] == [{"is": b"old"}] * 2
    yield made
    for worker in made:
        worker.close()


@pytest.mark.parametrize("ends", [("", "-wal", "-shm"), ("",), ("", "-wal"), ("", "-shm")])
def test_a_removed_file_is_removed_for_all(
    path: Path, workers: list[SQLiteStore], ends: tuple[str, ...]
) -> None:
    base = workers[0].load(KEY)
    remove(path, *ends)
    started = SQLiteStore(path)
    assert started.create(OTHER, {"is": b"new"}, 1000)
    assert workers[0].commit(KEY, 0, Change("c", {"b": b"2"}), 1000, base) == Answer("revoked")
    assert [loaded(worker, OTHER) for worker in workers] == [{"is": b"new"}] * 2
    assert [loaded(worker) for worker in workers] == [None] * 2
    agree(*workers, started)
    started.close()


def test_a_removed_file_is_made_anew(path: Path, workers: list[SQLiteStore]) -> None:
    remove(path, "")
    assert loaded(workers[0]) is None
    assert path.exists()
    agree(*workers)


HOLDER = """
import sys
from ctxlocal.sessions.stores.protocol import Change
from ctxlocal.sessions.stores.sqlite import SQLiteStore
store = SQLiteStore(sys.argv[1])
for line in sys.stdin:
    print(eval(line), flush=True)
store.close()
"""


@pytest.mark.parametrize("ends", [("", "-wal", "-shm"), ("",)])
def test_a_file_that_is_removed_is_left_by_other_processes(
    path: Path, ends: tuple[str, ...]
) -> None:
    """With the shared memory of the removed file SQLite cannot make a new one."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def ask(call: str) -> str:
            assert process.stdin is not None
            assert process.stdout is not None
            print(call, file=process.stdin, flush=True)
            return process.stdout.readline()

        assert ask("store.create('theirs', {}, 1000)") == "True\n"
        remove(path, *ends)
        store = SQLiteStore(path)
        assert store.create(KEY, {"is": b"new"}, 1000)
        assert ask(f"store.load('{KEY}').values") == "{'is': b'new'}\n"
        assert ask("store.load('theirs')") == "None\n"
        assert ask(f"store.commit('{KEY}', 0, Change('c', {{'a': b'1'}}), 1000).outcome") == (
            "committed\n"
        )
        assert loaded(store) == {"is": b"new", "a": b"1"}
        store.close()
    assert process.returncode == 0
    store = SQLiteStore(path)
    assert loaded(store) == {"is": b"new", "a": b"1"}
    store.close()


@pytest.mark.parametrize("is_moved_away", [True, False])
def test_a_restored_file_is_used_by_all(
    path: Path, workers: list[SQLiteStore], is_moved_away: bool
) -> None:
    backup = path.with_name("backup.db")
    filled(backup, **{"is": b"restored"})
    if is_moved_away:
        path.rename(path.with_name("former.db"))
    remove(path, "-wal", "-shm")
    backup.replace(path)
    started = SQLiteStore(path)
    assert [loaded(worker) for worker in (*workers, started)] == [{"is": b"restored"}] * 3
    agree(*workers, started)
    started.close()


def test_a_restored_file_beside_the_former_ones_log_is_refused(
    path: Path, workers: list[SQLiteStore]
) -> None:
    """SQLite would mix the pages of both."""
    backup = path.with_name("backup.db")
    filled(backup, **{"is": b"restored"})
    backup.replace(path)
    for worker in [*workers, *workers]:
        with pytest.raises(StoreUnavailableError, match=unavailable("load", path)) as caught:
            worker.load(KEY)
        assert str(caught.value.__cause__) == (
            f"path: {str(path)!r} was replaced, but the file beside it that ends in -wal is still "
            "the former one's. Stop every process that uses it, remove the files that end in -wal "
            "and -shm, and start again"
        )
    remove(path, "-wal", "-shm")
    assert [loaded(worker) for worker in workers] == [{"is": b"restored"}] * 2
    agree(*workers)


def test_an_empty_file_is_filled(path: Path, workers: list[SQLiteStore]) -> None:
    remove(path, "", "-wal", "-shm")
    path.touch()
    assert loaded(workers[0]) is None
    agree(*workers)


def test_a_file_of_something_else_is_refused(path: Path, workers: list[SQLiteStore]) -> None:
    remove(path, "", "-wal", "-shm")
    execute(path, "CREATE TABLE customers (name TEXT)")
    for worker in workers:
        with pytest.raises(StoreUnavailableError) as caught:
            worker.create(OTHER, {}, 1000)
        assert "is a database of something else" in str(caught.value.__cause__)
    remove(path, "")
    agree(*workers)


def test_a_directory_may_go_and_come_back(path: Path) -> None:
    inner = path.parent / "inner"
    inner.mkdir()
    store = SQLiteStore(inner / "s.db")
    store.create(KEY, {"is": b"old"}, 1000)
    away = inner.rename(path.parent / "away")
    with pytest.raises(StoreUnavailableError) as caught:
        store.load(KEY)
    assert "unable to open" in str(caught.value.__cause__)
    away.rename(inner)
    assert loaded(store) == {"is": b"old"}
    inner.rename(away)
    inner.mkdir()
    assert loaded(store) is None
    agree(store, SQLiteStore(inner / "s.db"))
    store.close()


def test_a_link_may_be_turned(path: Path) -> None:
    for name in ("one", "two"):
        filled(path.with_name(name), **{"is": name.encode()})
    path.symlink_to("one")
    store = SQLiteStore(path)
    assert loaded(store) == {"is": b"one"}
    path.unlink()
    path.symlink_to("two")
    assert loaded(store) == {"is": b"two"}
    path.with_name("two").unlink()
    assert loaded(store) is None
    assert path.is_symlink()
    assert path.with_name("two").exists()
    store.close()


def test_a_relative_path_stays_where_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    store = SQLiteStore(path.name)
    store.create(KEY, {}, 1000)
    other = path.parent / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    assert loaded(store) == {}
    store.close()
    assert loaded(store) == {}
    assert list(other.iterdir()) == []
    store.close()


def test_a_connection_to_the_removed_file_is_not_used_again(path: Path) -> None:
    """Two were in use, and one idle, while the file was removed."""
    connections = Connections(str(path), 1)
    taken = [connections.take() for _ in range(3)]
    connections.give(taken.pop())
    remove(path, "", "-wal", "-shm")
    fresh = connections.take()
    for connection in taken:
        connections.give(connection)
    last = connections.take()
    assert last not in taken
    last.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        taken[0].execute("SELECT 1")
    fresh.close()


def test_a_forked_child_notices_too(path: Path, store: SQLiteStore) -> None:
    store.create(KEY, {}, 1000)
    remove(path, "", "-wal", "-shm")
    child = os.fork()
    if child == 0:
        os._exit(0 if store.load(KEY) is None and store.create(OTHER, {}, 1000) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (loaded(store), loaded(store, OTHER)) == (None, {})


def test_a_scan_and_a_purge_go_on_in_the_file_that_is_there(path: Path, store: SQLiteStore) -> None:
    store.create(KEY, {"is": b"old"}, 1000)
    scan = store.scan()
    assert next(scan)[0] == KEY
    remove(path, "", "-wal", "-shm")
    for number in range(3):
        store.create(f"new{number}", {}, 1000)
    found: list[tuple[str, Record]] = list(scan)
    assert [key for key, _ in found] == ["new1", "new2"]  # after the id of the one seen last
    assert store.purge() == 0
    assert len(list(store.scan())) == 3


@pytest.mark.asyncio
async def test_the_event_loop_notices_too(path: Path) -> None:
    sessions = [StoredSessions(SQLiteStore(path, is_blocking=False)) for _ in range(2)]

    async def saved(number: int) -> str:
        session = await sessions[number].open_async("")
        session["a"] = number
        asked = await sessions[number].save_async(session)
        return asked.cookies[0].partition(";")[0]

    former = await saved(0)
    remove(path, "", "-wal", "-shm")
    cookie = await saved(1)
    assert (await sessions[0].open_async(cookie)).get("a") == 1
    assert (await sessions[0].open_async(former)).get("a") is None
    for each in sessions:
        each.store.close()


@pytest.mark.parametrize("wrong", ["", ":memory:"])
def test_a_path_that_is_no_file_is_refused(wrong: str) -> None:
    with pytest.raises(SessionConfigError, match=r"^path: .* is no file; use MemoryStore\(\)$"):
        SQLiteStore(wrong)


def test_a_negative_timeout_is_refused(path: Path) -> None:
    with pytest.raises(SessionConfigError, match=r"^timeout: -1 is negative$"):
        SQLiteStore(path, timeout=-1)


@pytest.mark.parametrize("is_blocking", [True, False])
@pytest.mark.asyncio
async def test_the_event_loop_makes_the_calls_if_they_are_said_not_to_block(
    path: Path, is_blocking: bool
) -> None:
    callers = set()

    def clock() -> float:
        callers.add(threading.get_ident())
        return time.time()

    store = SQLiteStore(path, clock=clock, is_blocking=is_blocking)
    sessions = StoredSessions(store)
    session = await sessions.open_async("")
    session["a"] = 1
    asked = await sessions.save_async(session)
    again = await sessions.open_async(asked.cookies[0].partition(";")[0])
    assert again.is_loaded is is_blocking
    assert again["a"] == 1
    assert (callers == {threading.get_ident()}) is not is_blocking
    store.close()


def test_a_new_file_has_small_pages(path: Path, store: SQLiteStore) -> None:
    """Each commit writes whole pages, and a record takes a few hundred bytes."""
    store.create(KEY, {}, 600)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA page_size").fetchone() == (2048,)


# What SQLite itself does not do


def test_what_a_transaction_did_is_undone_when_it_fails() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (n)")

        def fail() -> None:
            with transaction(connection):
                connection.execute("INSERT INTO t VALUES (1)")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert not connection.in_transaction
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


class Clocked:
    """A module ``time`` whose hands move by sleeping alone."""

    def __init__(self, woken: Callable[[], object] = lambda: None) -> None:
        self.slept: list[float] = []
        self.woken = woken

    def monotonic(self) -> float:
        return 100 + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.woken()


@pytest.fixture
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that has locked a new file, which is not yet of a log's mode."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as found:
        found.execute("BEGIN EXCLUSIVE")
        yield found


def test_a_new_file_that_is_locked_is_waited_for(
    path: Path, locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clocked(locked.rollback)
    monkeypatch.setattr(file, "time", clock)
    monkeypatch.setattr(file, "_is_ours", lambda *_: False)  # it could not be read either
    store = SQLiteStore(path, timeout=0)
    assert store.create(KEY, {}, 60)
    assert clock.slept == [0.01]


def test_a_new_file_that_stays_locked_is_unavailable_after_the_timeout(
    path: Path, locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clocked()
    monkeypatch.setattr(file, "time", clock)
    monkeypatch.setattr(file, "_is_ours", lambda *_: False)
    with pytest.raises(StoreUnavailableError) as caught:
        SQLiteStore(path, timeout=0.025).create(KEY, {}, 60)
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert clock.slept == [0.01, 0.01, 0.01]


def test_a_file_that_is_replaced_again_and_again_is_unavailable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = itertools.count()
    monkeypatch.setattr(file, "_identify", lambda path: (1, next(numbers)))
    path.touch()
    with pytest.raises(StoreUnavailableError) as caught:
        SQLiteStore(path).create(KEY, {}, 60)
    assert str(caught.value.__cause__) == "the file is replaced again and again"
