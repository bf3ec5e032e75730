from __future__ import annotations

import threading

import pytest

from ctxlocal._async_library import start_thread


def test_a_thread_tells_when_it_is_done() -> None:
    names: list[str] = []
    job = start_thread(lambda: names.append(threading.current_thread().name))
    assert job.result(timeout=60) is None
    assert names == ["ctxlocal"]


@pytest.mark.parametrize("error", [ValueError("lost"), SystemExit(3)])
def test_a_thread_tells_what_it_raised(error: BaseException) -> None:
    def fail() -> None:
        raise error

    assert start_thread(fail).exception(timeout=60) is error
