"""gRPC: a call has its client's values at the server, and leaves nothing there."""

from __future__ import annotations

import asyncio
import gc
import logging
import queue
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

import grpc
import grpc.aio
import pytest

from ctxlocal import Local, flow, ident, scoped
from ctxlocal.errors import WireError
from ctxlocal.integrations.grpc import (
    AsyncServerInterceptor,
    ClientInterceptor,
    ServerInterceptor,
    _stream_async,
    client_interceptors,
)
from tests.support.patience import PATIENCE_S

caller = Local(name="caller of gRPC", wire=("user", "items"))
STRATEGIES = ["context", "thread"]
KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]
TAMPERED = [("{", "it is no JSON"), ('{"caller of gRPC":{"is_admin":1}}', "lets no 'is_admin' in")]


def test_a_stream_whose_cleanup_fails_has_ended_all_the_same() -> None:
    frame = flow.Frame()
    ended: list[str] = []
    frame.callback(ended.append, "frame")

    async def body(request: object, context: object) -> AsyncIterator[bytes]:
        try:
            yield b"first"
        finally:
            raise LookupError

    async def give_up() -> None:
        stream = _stream_async(body, lambda: frame)(None, None)
        await stream.__anext__()
        with pytest.raises(LookupError):
            await stream.aclose()

    asyncio.run(give_up())
    assert ended == ["frame"]


def look() -> bytes:
    """Tell who calls, and leave something behind."""
    seen = getattr(caller, "user", None)
    caller.user = caller.left = "left behind"
    return str(seen).encode()


def look_again() -> bytes:
    return str(caller.left).encode()


class Shop:
    """A service of each kind, in the ways in which one can be written."""

    def unary_unary(self, request: Any, context: Any) -> bytes:
        if request == b"fail":
            look()
            raise LookupError
        return look()

    def unary_stream(self, request: Any, context: Any) -> Iterator[bytes]:
        yield look()
        yield look_again()

    def stream_unary(self, request: Any, context: Any) -> bytes:
        return look() + b"".join(request)

    def stream_stream(self, request: Any, context: Any) -> Iterator[bytes]:
        yield look()
        for each in request:
            yield each + look_again()


class Endless:
    """A stream that nobody reads to its end, and that tells whose it was when it is closed."""

    def __init__(self) -> None:
        self.ended: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def unary_stream(self, request: Any, context: Any) -> Iterator[bytes]:
        try:
            while True:
                yield b""
        finally:
            self.ended.put(getattr(caller, "user", None))

    unary_unary = stream_unary = stream_stream = unary_stream


class AsyncEndless(Endless):
    async def unary_stream(self, request: Any, context: Any) -> Any:
        try:
            while True:
                yield b""
                await asyncio.sleep(0)
        finally:
            self.ended.put(getattr(caller, "user", None))


class AsyncShop:
    async def unary_unary(self, request: Any, context: Any) -> bytes:
        if request == b"fail":
            look()
            raise LookupError
        await asyncio.sleep(0)
        return look()

    async def unary_stream(self, request: Any, context: Any) -> AsyncIterator[bytes]:
        yield look()
        await asyncio.sleep(0)
        yield look_again()

    async def stream_unary(self, request: Any, context: Any) -> bytes:
        return look() + b"".join([each async for each in request])

    async def stream_stream(self, request: Any, context: Any) -> None:
        await context.write(look())
        async for each in request:
            await context.write(each + look_again())


def calling_as(user: str | None) -> Any:
    return nullcontext() if user is None else scoped(caller, user=user)


def handlers(service: Any) -> Any:
    return grpc.method_handlers_generic_handler(
        "Shop",
        {
            kind: getattr(grpc, f"{kind}_rpc_method_handler")(getattr(service, kind))
            for kind in KINDS
        },
    )


def ask(channel: Any, kind: str, request: Any = b"", **options: Any) -> Any:
    streams = kind.startswith("stream")
    given = iter([b"a"]) if streams else request
    return getattr(channel, kind)(f"/Shop/{kind}")(given, timeout=PATIENCE_S, **options)


def expected(kind: str, user: str) -> list[bytes]:
    first = user.encode()
    return {
        "unary_unary": [first],
        "unary_stream": [first, b"left behind"],
        "stream_unary": [first + b"a"],
        "stream_stream": [first, b"aleft behind"],
    }[kind]


@contextmanager
def served(service: Any) -> Iterator[str]:
    with ThreadPoolExecutor(1) as executor:  # of one thread, so that what is left would be found
        server = grpc.server(executor, interceptors=[ServerInterceptor(carry=[caller])])
        server.add_generic_rpc_handlers([handlers(service)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()


@pytest.fixture
def target(strategy: str) -> Iterator[str]:
    ident.set_default(strategy)
    with served(Shop()) as target:
        yield target


@pytest.mark.parametrize("strategy", STRATEGIES)
class TestThreads:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_clients_values_are_there_and_nothing_is_left(self, target: str, kind: str) -> None:
        with grpc.insecure_channel(target) as plain:
            channel = grpc.intercept_channel(plain, ClientInterceptor(carry=[caller]))
            for user in ("ada", "bob", None):
                with calling_as(user):
                    answer = ask(channel, kind)
                    parts = list(answer) if kind.endswith("stream") else [answer]
                assert parts == expected(kind, str(user))

    def test_a_call_that_fails_leaves_nothing(self, target: str) -> None:
        with grpc.insecure_channel(target) as channel:
            with pytest.raises(grpc.RpcError, match="Exception calling application"):
                ask(channel, "unary_unary", b"fail")
            assert ask(channel, "unary_unary") == b"None"

    @pytest.mark.parametrize(("text", "problem"), TAMPERED, ids=[each for _, each in TAMPERED])
    def test_what_is_tampered_with_is_refused(
        self, target: str, caplog: pytest.LogCaptureFixture, text: str, problem: str
    ) -> None:
        with grpc.insecure_channel(target) as channel, caplog.at_level(logging.WARNING):
            assert ask(channel, "unary_unary", metadata=[("ctxlocal", text)]) == b"None"
        (said,) = caplog.messages
        assert "a call of /Shop/unary_unary was refused" in said
        assert problem in said

    def test_two_headers_are_refused(self, target: str, caplog: pytest.LogCaptureFixture) -> None:
        header = ("ctxlocal", '{"caller of gRPC":{"user":"eve"}}')
        with grpc.insecure_channel(target) as channel, caplog.at_level(logging.WARNING):
            assert ask(channel, "unary_unary", metadata=[header, header]) == b"None"
        assert "it has to be a str, not list" in caplog.text

    def test_the_callers_own_metadata_stays(self, target: str) -> None:
        with grpc.insecure_channel(target) as plain, scoped(caller, user="ada"):
            channel = grpc.intercept_channel(plain, ClientInterceptor(carry=[caller]))
            forged = [("ctxlocal", "{}"), ("other", "1")]
            assert ask(channel, "unary_unary", metadata=forged) == b"ada"

    def test_what_cannot_cross_fails_at_the_client(self, target: str) -> None:
        with grpc.insecure_channel(target) as plain, scoped(caller, items={1, 2}):
            channel = grpc.intercept_channel(plain, ClientInterceptor(carry=[caller]))
            with pytest.raises(WireError, match="cannot cross to another process"):
                ask(channel, "unary_unary")

    def test_a_stream_that_is_given_up_ends_in_its_frame(self, strategy: str) -> None:
        ident.set_default(strategy)
        service = Endless()
        with served(service) as target, grpc.insecure_channel(target) as plain:
            channel = grpc.intercept_channel(plain, ClientInterceptor(carry=[caller]))
            with scoped(caller, user="ada"):
                answer = ask(channel, "unary_stream")
            assert next(answer) == b""
            answer.cancel()
            assert service.ended.get(timeout=PATIENCE_S) == "ada"

    def test_an_unknown_method_is_one(self, target: str) -> None:
        with grpc.insecure_channel(target) as channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/Shop/none")(b"", timeout=PATIENCE_S)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def ask_async(channel: Any, kind: str, request: Any = b"", **options: Any) -> list[bytes]:
    answer = ask(channel, kind, request, **options)
    if kind.endswith("stream"):
        return [each async for each in answer]
    return [await answer]


# Before 1.80 a call whose interceptor has raised raises that in its __del__ again.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <function InterceptedCall.__del__")
def test_under_the_strategy_task_a_call_says_that_nothing_could_be_carried() -> None:
    ident.set_default("task")

    async def main() -> None:
        interceptors = client_interceptors(carry=[caller])
        async with grpc.aio.insecure_channel("127.0.0.1:1", interceptors=interceptors) as channel:
            await ask_async(channel, "unary_unary")

    with pytest.raises(RuntimeError, match="has nothing of its caller's values"):
        asyncio.run(main())
    gc.collect()


@asynccontextmanager
async def served_async(service: Any) -> AsyncIterator[str]:
    with ThreadPoolExecutor(1) as executor:
        server = grpc.aio.server(executor, interceptors=[AsyncServerInterceptor(carry=[caller])])
        server.add_generic_rpc_handlers([handlers(service)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(0)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("service", [AsyncEndless])
def test_an_asynchronous_stream_that_is_given_up_ends_in_its_frame(
    strategy: str, service: Any
) -> None:
    ident.set_default(strategy)
    endless = service()

    async def main() -> None:
        async with (
            served_async(endless) as target,
            grpc.aio.insecure_channel(
                target, interceptors=client_interceptors(carry=[caller])
            ) as channel,
        ):
            with scoped(caller, user="ada"):
                answer = ask(channel, "unary_stream")
                assert await anext(aiter(answer)) == b""
            answer.cancel()
            ended = await asyncio.to_thread(endless.ended.get, timeout=PATIENCE_S)
            assert ended == "ada"

    asyncio.run(main())


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("service", [AsyncShop, Shop])
class TestTasks:
    @pytest.mark.filterwarnings("ignore:Exception ignored in. <function InterceptedCall.__del__")
    def test_the_clients_values_are_there_and_nothing_is_left(
        self, strategy: str, service: Any
    ) -> None:
        ident.set_default(strategy)

        async def main() -> None:
            async with served_async(service()) as target:
                await self.ask_all(target)

        asyncio.run(main())
        gc.collect()

    async def ask_all(self, target: str) -> None:
        interceptors = client_interceptors(carry=[caller])
        async with grpc.aio.insecure_channel(target, interceptors=interceptors) as channel:
            for kind in KINDS:
                for user in ("ada", None):
                    with calling_as(user):
                        assert await ask_async(channel, kind) == expected(kind, str(user))
            with pytest.raises(grpc.aio.AioRpcError):
                await ask_async(channel, "unary_unary", b"fail")
            with scoped(caller, items={1}), pytest.raises(WireError):
                await ask_async(channel, "unary_unary")
        async with grpc.aio.insecure_channel(target) as channel:
            assert await ask_async(channel, "unary_unary", metadata=[("ctxlocal", "{")]) == [
                b"None"
            ]
