"""Who serves a request, by name: the task, the greenlet or the thread."""

from __future__ import annotations

import asyncio
import sys
import threading


def owner_name() -> str:
    """Name the task, the greenlet of gevent or the thread that runs this."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs here
        task = None
    if task is not None:
        return f"task {task.get_name()}"
    gevent = sys.modules.get("gevent")
    if gevent is not None and isinstance(greenlet := gevent.getcurrent(), gevent.Greenlet):
        return f"greenlet {greenlet.name}"
    name, _, _ = threading.current_thread().name.partition(" (")  # and its function, from 3.10 on
    return f"thread {name}"
