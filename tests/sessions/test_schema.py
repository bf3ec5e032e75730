"""What is no schema, and what a schema says of values that it does not take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from ctxlocal.sessions.errors import SessionConfigError
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.schema import Schema
from ctxlocal.sessions.stores.memory import MemoryStore


def exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


class Refusing(msgspec.Struct):
    n: int = 0

    def __post_init__(self) -> None:
        if self.n == 1:
            raise KeyError("no one")
        if self.n == 2:
            raise MemoryError
        if self.n == 3:
            raise KeyboardInterrupt


class Kinds(msgspec.Struct):
    refusing: Refusing = msgspec.field(default_factory=Refusing)
    number: float = 0.0


class WithoutDefaults(msgspec.Struct):
    a: int
    b: str
    c: int = 0


@dataclass
class DataWithoutDefaults:
    a: int
    b: str
    c: int = 0


@pytest.mark.parametrize("kind", [int, {"a": int}, WithoutDefaults(1, "b"), None])
def test_what_is_no_class_with_fields_is_no_schema(kind: Any) -> None:
    message = f"schema: {kind!r} is no msgspec Struct and no dataclass"
    with pytest.raises(SessionConfigError, match=exactly(message)) as caught:
        Schema(kind)
    assert caught.value.setting == "schema"


@pytest.mark.parametrize("kind", [WithoutDefaults, DataWithoutDefaults])
def test_a_schemas_field_has_a_default(kind: type) -> None:
    message = (
        f"schema: a, b of {kind.__name__} has no default, which sessions stored before it was "
        "added would need"
    )
    with pytest.raises(SessionConfigError, match=exactly(message)) as caught:
        Schema(kind)
    assert caught.value.setting == "schema"


class UndecodableStruct(msgspec.Struct):
    n: int | list[int] | tuple[int, ...] = 0


@dataclass
class UndecodableData:
    n: int | list[int] | tuple[int, ...] = 0


class UnknownStruct(msgspec.Struct):
    n: Missing = 0  # type: ignore[name-defined]  # noqa: F821


@dataclass
class UnknownData:
    n: Missing = 0  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize("kind", [UndecodableStruct, UndecodableData])
def test_a_schemas_field_can_be_decoded(kind: type) -> None:
    message = f"^schema: {kind.__name__}.n is annotated with what msgspec cannot decode"
    with pytest.raises(SessionConfigError, match=message) as caught:
        Schema(kind)
    assert caught.value.setting == "schema"


@pytest.mark.parametrize("kind", [UnknownStruct, UnknownData])
def test_a_schemas_annotations_can_be_evaluated(kind: type) -> None:
    message = f"^schema: name 'Missing' is not defined, which {kind.__name__} is annotated with"
    with pytest.raises(SessionConfigError, match=message) as caught:
        Schema(kind)
    assert caught.value.setting == "schema"


def test_there_is_no_view_without_a_schema() -> None:
    sessions = StoredSessions(MemoryStore())
    message = "schema: none was given, so there are no attributes to show"
    with pytest.raises(SessionConfigError, match=exactly(message)) as caught:
        sessions.view(sessions.open(""))
    assert caught.value.setting == "schema"


def test_what_a_fields_type_raises_is_told_without_the_value() -> None:
    schema = Schema(Kinds)
    stored = msgspec.msgpack.encode({"n": 1})
    with pytest.raises(ValueError, match=exactly("not a stored value (KeyError)")) as caught:
        schema.decode("refusing", stored)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(("n", "error"), [(2, MemoryError), (3, KeyboardInterrupt)])
def test_what_says_nothing_of_the_value_is_raised_as_it_is(
    n: int, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        Schema(Kinds).decode("refusing", msgspec.msgpack.encode({"n": n}))


@pytest.mark.parametrize(
    ("number", "fits"), [(b"\x01", True), (msgspec.msgpack.encode("a"), False)]
)
def test_a_value_fits_or_not(number: bytes, fits: bool) -> None:
    assert Schema(Kinds).fits("number", number) is fits
    assert Schema(Kinds).fits("none such", number) is False
