"""gRPC: a call has the values of its client at the server, in a Frame of its own.

::

    channel = grpc.intercept_channel(channel, ClientInterceptor(carry=[request]))
    server = grpc.server(executor, interceptors=[ServerInterceptor(carry=[request])])

    channel = grpc.aio.insecure_channel(target, interceptors=client_interceptors(carry=[request]))
    server = grpc.aio.server(interceptors=[AsyncServerInterceptor(carry=[request])])

``request`` is a Local that says by ``wire=`` what may leave the process. The values are one field
of the call's metadata. For gRPC from 1.66.2 on.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import closing
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any

import grpc
import grpc.aio

from .. import ident
from ..flow import Frame
from ..local import Local
from ._wire import HEADER, Carried

Call = Callable[..., Any]
_KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
_END: Any = object()


# The client


class _Details(
    namedtuple(
        "_Details",
        ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression"),
    ),
    grpc.ClientCallDetails,
):
    """A call's details with other metadata."""


def _metadata(carried: Carried, details: Any) -> list[tuple[str, Any]]:
    """Return the metadata of a call that carries the current owner's values.

    :raises WireError: a value cannot cross.
    """
    header = carried.header()
    metadata = [(key, value) for key, value in details.metadata or () if key != HEADER]
    return metadata if header is None else [*metadata, (HEADER, header)]


class ClientInterceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Gives the current owner's values to each call of a channel.

    A call raises a WireError where a value cannot cross.

    :param carry: the Locals whose values are carried, each with a ``wire``.
    """

    def __init__(self, carry: Iterable[Local]) -> None:
        self._carried = Carried(carry)

    def intercept_unary_unary(
        self, continuation: Call, client_call_details: Any, request: Any
    ) -> Any:
        """Call on, with the values in the metadata; so do the other three."""
        details = client_call_details
        return continuation(
            _Details(
                details.method,
                details.timeout,
                _metadata(self._carried, details),
                details.credentials,
                details.wait_for_ready,
                details.compression,
            ),
            request,
        )

    intercept_unary_stream = intercept_unary_unary
    intercept_stream_unary = intercept_unary_unary
    intercept_stream_stream = intercept_unary_unary


class _AsyncClientInterceptor:
    def __init__(self, carried: Carried) -> None:
        self._carried = carried

    async def _intercept(self, continuation: Call, details: Any, request: Any) -> Any:
        if isinstance(ident.get_default(), ident.TaskIdent):
            raise RuntimeError(
                "gRPC calls interceptors of an asynchronous channel in a task of its own, which "
                "under the identity strategy 'task' has nothing of its caller's values. Choose "
                "'context': ctxlocal.ident.set_default('context')."
            )
        metadata = grpc.aio.Metadata(*_metadata(self._carried, details))
        return await continuation(details._replace(metadata=metadata), request)


def client_interceptors(carry: Iterable[Local]) -> list[Any]:
    """Return what gives the current owner's values to each call of an asynchronous channel.

    One for each of gRPC's four kinds of calls: a channel takes each object for one kind. They are
    called in a task of their own, so under the strategy "task" a call raises RuntimeError.

    :param carry: the Locals whose values are carried, each with a ``wire``.
    """
    carried = Carried(carry)
    return [_async_client_interceptor(kind, carried) for kind in _KINDS]


def _async_client_interceptor(kind: str, carried: Carried) -> Any:
    name = f"{kind.title().replace('_', '')}ClientInterceptor"
    bases = (_AsyncClientInterceptor, getattr(grpc.aio, name))
    methods = {f"intercept_{kind}": _AsyncClientInterceptor._intercept}
    return type(name, bases, methods)(carried)


# The server


class ServerInterceptor(grpc.ServerInterceptor):
    """Runs each call of a server in a Frame with the values that came with it.

    Nothing that a call sets is seen by the next one of its thread. What no client could have sent
    so is refused: a warning is logged, and the call finds nothing bound. A stream's steps all run
    in the Frame, which is closed when it ends.

    :param carry: the Locals whose values are carried, each with a ``wire``.
    """

    def __init__(self, carry: Iterable[Local]) -> None:
        self._carried = Carried(carry)

    def intercept_service(self, continuation: Call, handler_call_details: Any) -> Any:
        """Find the method, and return it so that it runs in its Frame."""
        return _framed(continuation(handler_call_details), self._carried, handler_call_details)


class AsyncServerInterceptor(grpc.aio.ServerInterceptor):
    """Runs each call of an asynchronous server in a Frame; see :class:`ServerInterceptor`.

    :param carry: the Locals whose values are carried, each with a ``wire``.
    """

    def __init__(self, carry: Iterable[Local]) -> None:
        self._carried = Carried(carry)

    async def intercept_service(self, continuation: Call, handler_call_details: Any) -> Any:
        """Find the method, and return it so that it runs in its Frame."""
        handler = await continuation(handler_call_details)
        return _framed(handler, self._carried, handler_call_details)


def _framed(handler: Any, carried: Carried, details: Any) -> Any:
    """Return the handler of a call so that it runs in the Frame of that call."""
    if handler is None:  # the method is unknown
        return None
    for kind in _KINDS:
        function = getattr(handler, kind)
        if function is not None:
            break
    values = [value for key, value in details.invocation_metadata if key == HEADER]
    header = values if len(values) > 1 else next(iter(values), None)

    def frame() -> Frame:
        return carried.frame(header, f"a call of {details.method}")

    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(
        _wrapped(function, frame, handler.response_streaming),
        handler.request_deserializer,
        handler.response_serializer,
    )


def _wrapped(function: Call, frame: Callable[[], Frame], streams: bool) -> Call:
    if isasyncgenfunction(function):
        return _stream_async(function, frame)
    if iscoroutinefunction(function):
        return _answer_async(function, frame)
    return _stream(function, frame) if streams else _answer(function, frame)


def _answer(function: Call, make_frame: Callable[[], Frame]) -> Call:
    def answer(request: Any, context: Any) -> Any:
        with closing(make_frame()) as frame:
            return frame.run(function, request, context)

    return answer


def _answer_async(function: Call, make_frame: Callable[[], Frame]) -> Call:
    async def answer(request: Any, context: Any) -> Any:
        with closing(make_frame()) as frame:
            return await frame.drive(function(request, context))

    return answer


def _stream(function: Call, make_frame: Callable[[], Frame]) -> Call:
    def stream(request: Any, context: Any) -> Iterator[Any]:
        with closing(make_frame()) as frame:
            responses = frame.run(lambda: iter(function(request, context)))
            frame.callback(getattr(responses, "close", lambda: None))
            while (response := frame.run(next, responses, _END)) is not _END:
                yield response

    return stream


def _stream_async(function: Call, make_frame: Callable[[], Frame]) -> Call:
    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        frame = make_frame()
        responses = function(request, context)
        try:
            while True:
                try:
                    response = await frame.drive(responses.__anext__())
                except StopAsyncIteration:
                    return
                yield response
        finally:
            with closing(frame):
                await frame.drive(responses.aclose())

    return stream
