"""The memory of the native twin of a session's values: counts that stay, cycles that go.

.ci/run has these run under AddressSanitizer too.
"""

from __future__ import annotations

import gc
import re
import sys
import weakref
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import pytest

from ctxlocal.sessions.codec import decode, encode
from ctxlocal.sessions.session import Session
from ctxlocal.sessions.values import Values, pure

from ...support.another_module import another_module
from ...support.session_twins import IS_NATIVE

pytestmark = pytest.mark.skipif(not IS_NATIVE, reason="the native twin is not built")

FIELDS: dict[str, Any] = {
    "name": b"\xa5u1042",
    "long": b"\xd9\x40" + b"5f" * 32,
    "count": b"1000000",
    "none": b"\xc0",
    "list": b"\x91\x01",
    "bad": b"\xc1",
}


class Loaded(Session):
    __slots__ = ("stored",)

    def __init__(self, stored: Any = FIELDS) -> None:
        super().__init__(None, "cookies")
        self.stored = stored

    def _fetch(self) -> None:
        self._begin(self.stored)


def read(value: Any) -> None:
    session = Loaded()
    for _ in range(2):
        assert (session["name"], session["count"], session["none"]) == ("u1042", 1_000_000, None)
        session["long"]
    with suppress(KeyError):
        session["missing"]
    with suppress(TypeError):
        session[[]]  # type: ignore[index]


def write(value: Any) -> None:
    session = Loaded()
    session["name"]
    for each in (1_000_001, "x" * 40, None, True, -5, 2.5, [1], "é"):
        session["new"] = each
        assert session["new"] is each
    session._sets()
    for refused in (value, 2**70):
        with suppress(Exception):
            session["new"] = refused
    for key in ("\0", 5, "\ud800"):
        with suppress(Exception):
            session[key] = 1  # type: ignore[index]
    session._sets()


def fall_back(value: Any) -> None:
    session = Loaded(MappingProxyType(FIELDS))
    session["list"]
    session["list"] = session["name"]
    del session["name"]
    session["count"]
    session["other"] = 5
    session._sets()
    with suppress(KeyError):
        session["bad"]


def use_all(session: Any) -> None:
    with suppress(Exception):
        session["count"]
    with suppress(Exception):
        session["a"] = 1
    with suppress(Exception):
        session._sets()


def put_into_slots(value: Any) -> None:
    for name in pure.Values.__slots__:
        if name != "__weakref__":
            session = Loaded()
            session["name"]
            setattr(session, name, value)
            use_all(session)
            delattr(session, name)
            use_all(session)


def make(value: Any) -> None:
    session = Session(value, cookies=value)
    Session.__init__(session, value, value)
    Session.__init__(session)
    for wrong in ((1, 2, 3), (1, 2, 3, 4)):
        with suppress(TypeError):
            Session(*wrong)
    with suppress(TypeError):
        session.__setitem__()  # type: ignore[call-arg]


@pytest.mark.parametrize("use", [read, write, fall_back, put_into_slots, make])
def test_no_reference_stays(use: Any) -> None:
    value = object()
    native = sys.modules[f"{pure.__package__}._native"]
    watched = [native, Values, Loaded, Session, value, pure.NOTHING, pure.NO_NAMES, encode, decode]
    watched += [FIELDS, *(vars(pure.Values)[n] for n in ("_sets",))]
    watched += [vars(pure.Values)[name] for name in ("__init__", "__getitem__", "__setitem__")]
    words = [*FIELDS, *FIELDS.values()]  # others have them too, and may let go of one meanwhile

    def counts(of: list[Any]) -> list[int]:
        gc.collect()
        return [sys.getrefcount(each) for each in of]

    use(value)
    before, of_words = counts(watched), counts(words)
    blocks = sys.getallocatedblocks()
    for _ in range(200):
        use(value)
    assert counts(watched) == before
    changed = [now - earlier for now, earlier in zip(counts(words), of_words, strict=True)]
    assert [change for change in changed if abs(change) > 20] == []  # each use would make 200
    assert sys.getallocatedblocks() - blocks < 100


def test_a_cycle_through_any_slot_goes() -> None:
    gone = []
    for name in pure.Values.__slots__:
        if name != "__weakref__":
            session = Loaded()
            setattr(session, name, [session])
            gone.append(weakref.ref(session))
    del session
    gc.collect()
    assert [reference() for reference in gone] == [None] * len(gone)


def test_what_watches_one_is_told_of_its_end() -> None:
    told: list[object] = []
    session = Loaded()
    reference = weakref.ref(session, told.append)
    assert reference() is session
    del session
    assert told == [reference]


def test_the_module_itself_is_collected() -> None:
    def use_another() -> list[weakref.ref[Any]]:
        module = another_module("ctxlocal.sessions.values._native")

        class Own(module.Values):  # type: ignore[misc, name-defined]
            _decode = staticmethod(decode)

            def _read(self) -> Any:
                self._accessed = True
                self._begun.extend((FIELDS, None, {}, {}))
                return FIELDS

        values = Own(None, "")
        assert values["name"] == "u1042"
        values._begun.append(values)
        return [weakref.ref(each) for each in (module, module.Values, Own, values)]

    references = use_another()
    gc.collect()
    assert [reference() for reference in references] == [None] * 4


def test_an_object_outlives_the_names_of_its_module() -> None:
    module = another_module("ctxlocal.sessions.values._native")
    values = type("Own", (module.Values,), {"_read": lambda self: {}})(None, "")
    del module
    gc.collect()
    with pytest.raises(IndexError):
        values["a"]


def test_the_module_says_what_it_cannot_import(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTHING", "NO_NAMES", "Values"):
        with monkeypatch.context() as patched:
            patched.delattr(pure, name)
            with pytest.raises(AttributeError, match=name):
                another_module("ctxlocal.sessions.values._native")


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="CPython itself crashes where a function gets no memory"
)
@pytest.mark.parametrize("use", [read, write, make])
def test_each_allocation_may_fail(use: Any) -> None:
    testcapi = pytest.importorskip("_testcapi")
    value = object()
    use(value)
    failed = 0
    for number in range(1, 150):
        testcapi.set_nomemory(number, number + 1)
        try:
            use(value)
        except (MemoryError, AssertionError):
            failed += 1
        except SystemError as error:  # CPython 3.11 has no word for a frame without memory
            assert re.search("without (setting an )?exception", str(error))  # noqa: PT017
        finally:
            testcapi.remove_mem_hooks()
    assert failed
    use(value)
