"""Asynchronous tests and anyio's fixtures, each step in a frame of what the others have set.

anyio runs them all in one task, as long as a fixture needs it: what one sets there stays, and what
synchronous fixtures set meanwhile is not there. So the Context of that task is left alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import closing, suppress
from functools import wraps
from inspect import iscoroutinefunction, ismethod
from types import MethodType
from typing import Any

from ... import flow


def framed(
    test: Callable[..., Coroutine[Any, Any, Any]],
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return ``test`` in a frame of what is set now; what it sets is gone with it."""
    frame = flow.snapshot().frame()

    @wraps(test)
    async def run(**arguments: Any) -> None:
        with closing(frame):
            await frame.drive(test(**arguments))

    return run


class Steps:
    """The steps of one fixture, each time in a frame that begins with what is set then.

    :param function: the fixture's, a coroutine or asynchronous generator function.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._before = flow.snapshot()
        self._after: flow.Snapshot | None = None
        self._instance: object = None

    def begin(self, instance: object) -> None:
        """Let the fixture begin with what is set now.

        :param instance: the one whose test it is for, which a method belongs to; or None.
        """
        self._before, self._after = flow.snapshot(), None
        self._instance = instance

    def end(self) -> None:
        """Have here what the fixture left in its frame."""
        if self._after is not None:
            self._after.restore()

    def fixture(self) -> Callable[..., Any]:
        """Return the function that takes the fixture's place."""
        if iscoroutinefunction(self._function):
            return self._coroutine_function()
        return self._generator_function()

    def _call(self, arguments: dict[str, Any]) -> Any:
        function = self._function
        if ismethod(function) and type(function.__self__) is type(self._instance):
            function = MethodType(function.__func__, self._instance)
        return function(**arguments)

    def _coroutine_function(self) -> Callable[..., Any]:
        @wraps(self._function)
        async def run(**arguments: Any) -> Any:
            frame = self._before.frame()
            result = await frame.drive(self._call(arguments))
            self._after = frame.run(flow.snapshot)
            return result

        return run

    def _generator_function(self) -> Callable[..., Any]:
        @wraps(self._function)
        async def run(**arguments: Any) -> AsyncIterator[Any]:
            frame = self._before.frame()
            generator = self._call(arguments)
            result = await frame.drive(anext(generator))
            self._after = frame.run(flow.snapshot)
            yield result
            with suppress(StopAsyncIteration):
                await frame.drive(anext(generator))
                raise RuntimeError("an asynchronous fixture yields once")

        return run
