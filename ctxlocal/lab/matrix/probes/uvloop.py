"""The same on uvloop."""

from __future__ import annotations

from typing import Any

from ctxlocal.lab.matrix.exchange import Exchange
from ctxlocal.lab.matrix.place import Context, Owner
from ctxlocal.lab.matrix.probe import Group

from .asyncio import (
    CALLBACK_NOTE,
    be_creator,
    call_later,
    call_soon,
    create_task,
    run_in_executor,
    to_thread,
)
from .threads import REUSED_NOTE


def _uvloop_creator(exchange: Exchange, start: Any) -> None:
    import uvloop

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(be_creator(exchange, start))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


group = Group("uvloop", needs=("uvloop",), creator=_uvloop_creator, in_task=True)

group.probe("create_task", task=Owner.OTHER, context=Context.COPY)(create_task)
group.probe("call_soon", task=Owner.NONE, context=Context.COPY, note=CALLBACK_NOTE)(call_soon)
group.probe("call_later", task=Owner.NONE, context=Context.COPY, note=CALLBACK_NOTE)(call_later)
group.probe("loop.run_in_executor", thread=Owner.REUSED, context=Context.OWN, note=REUSED_NOTE)(
    run_in_executor
)
group.probe("asyncio.to_thread", thread=Owner.REUSED, context=Context.COPY)(to_thread)
