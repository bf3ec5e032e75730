"""No thread that ctxlocal starts has, or keeps, values of whoever started it.

Run with ``thread_inherit_context``, of which a Python before 3.14 knows nothing, and which a
free-threaded one has by default.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

HEAD = """
    import asyncio, gc, os, weakref
    from contextvars import Context
    from ctxlocal import Local, flow

    class Value: pass

    local = Local(name="request")
    seen = []  # what threads see of a request that is not theirs

    def look():
        seen.append(getattr(local, "value", None))

    def in_request(function):
        def run():
            local.value = Value()
            function()
            return weakref.ref(local.value)
        return Context().run(run)

    async def in_requests(function):
        async def one():
            local.value = Value()
            await function()
            return weakref.ref(local.value)
        first = await Context().run(asyncio.ensure_future, one())
        await Context().run(asyncio.ensure_future, one())
        return first
"""
EXECUTOR = """
    from concurrent.futures import ThreadPoolExecutor

    pool = flow.ContextThreadPoolExecutor(1)
    first = in_request(lambda: pool.submit(int).result())
    ThreadPoolExecutor.submit(pool, look).result()
"""
STORE = """
    from ctxlocal.sessions.stores.memory import MemoryStore
    from ctxlocal.sessions.stores.threaded import ThreadedStore

    class Blocking(MemoryStore):
        is_blocking = True
        def load(self, key):
            look()
            return super().load(key)

    async def main():
        store = ThreadedStore(Blocking(), max_threads=1)
        return store, await in_requests(lambda: store.load("k" * 40))

    store, first = asyncio.run(main())
"""
STORE_THAT_CLOSES = """
    from ctxlocal.sessions.stores.memory import MemoryStore
    from ctxlocal.sessions.stores.threaded import ThreadedStore

    class Pool:
        def shutdown(self):
            look()

    async def main():
        store = ThreadedStore(MemoryStore())
        store._pools[os.getpid()] = Pool()
        return await in_requests(store.close)

    first = asyncio.run(main())
"""
APP = """
    from ctxlocal.web.app import App

    app = App("shop")

    references = []

    @app.get("/")
    async def view():
        local.value = Value()
        references.append(weakref.ref(local.value))
        return "shop"

    @app.after_request
    def after(response):  # in a thread, which starts now
        return response

    async def request():
        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}
        async def send(message): pass
        await app.asgi({
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
            "path": "/", "raw_path": b"/", "query_string": b"", "headers": [(b"host", b"shop")],
            "scheme": "http", "server": ("shop", 80), "client": ("client", 1), "root_path": "",
        }, receive, send)

    asyncio.run(in_requests(request))
    first = references[0]
    app.executor.submit(look).result()
"""
END = """
    gc.collect()
    print(first() is None, set(seen) == {None})
"""


@pytest.mark.parametrize(
    "program",
    [EXECUTOR, STORE, STORE_THAT_CLOSES, APP],
    ids=["executor", "store", "store that closes", "App"],
)
def test_threads_of_ours_have_nothing_of_who_started_them(
    program: str, run_python: Callable[..., str]
) -> None:
    printed = run_python(HEAD + program + END, PYTHON_THREAD_INHERIT_CONTEXT="1")
    assert printed == "True True\n"
