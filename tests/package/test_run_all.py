"""run_all: every function of a list is called, the last one first, even if some raise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ctxlocal._run_all import run_all


def test_all_are_taken_and_called_the_last_one_first() -> None:
    seen: list[tuple[str, str]] = []
    functions: list[Callable[[str], object]] = [
        lambda given: seen.append(("first", given)),
        lambda given: seen.append(("second", given)),
    ]
    run_all(functions, "error")
    run_all(functions, "again")
    assert seen == [("second", "error"), ("first", "error")]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_the_last_error_is_raised_with_the_earlier_ones_as_its_context(
    kind: type[BaseException],
) -> None:
    seen: list[int] = []

    def fail(number: int) -> Callable[[], object]:
        def function() -> None:
            seen.append(number)
            raise kind(number)

        return function

    before = OSError("what is handled already")

    def end() -> None:
        try:
            raise before
        finally:
            run_all([fail(1), lambda: seen.append(2), fail(3), fail(4)])

    with pytest.raises(kind) as caught:
        end()
    assert seen == [4, 3, 2, 1]
    chain: list[BaseException | None] = [caught.value]
    while chain[-1] is not None:
        chain.append(chain[-1].__context__)
    assert [error and error.args[0] for error in chain] == [1, 3, 4, before.args[0], None]


def test_what_is_added_meanwhile_is_called_too() -> None:
    seen: list[str] = []
    functions: list[Callable[[], object]] = []
    functions.append(lambda: functions.append(lambda: seen.append("added")))
    run_all(functions)
    assert seen == ["added"]
