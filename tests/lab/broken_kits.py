"""Stand-ins for the Locals that fail on purpose; the matrix has to notice each of them."""

from __future__ import annotations

import os
import signal
import threading
from contextvars import ContextVar
from typing import Any

import greenlet

from ctxlocal.errors import MissingDependencyError
from ctxlocal.lab.matrix.exchange import View


class SharedDictKit:
    """One dict for everybody."""

    def __init__(self, ident: Any) -> None:
        self.ident = ident
        self.tables: dict[Any, dict[str, str]] = {}

    def owner(self) -> Any:
        return None

    def table(self) -> dict[str, str]:
        return self.tables.setdefault(self.owner(), {})

    def write(self, value: str) -> None:
        self.table()["value"] = value

    def write_later(self, value: str) -> None:
        self.table()["later"] = value

    def read(self) -> View:
        return {"Local": self.table().get("value")}

    def read_later(self) -> str | None:
        return self.table().get("later")


class NumberKeyedKit(SharedDictKit):
    """Keyed by the thread's number, which the next thread gets again."""

    def owner(self) -> Any:
        return threading.get_ident()


class ThreadKeyedKit(SharedDictKit):
    """Keyed by the thread itself, as the strategy "thread" should be."""

    def owner(self) -> Any:
        return threading.current_thread()


class QuarrellingKit(SharedDictKit):
    """One kind of object isolates threads, the other does not."""

    def __init__(self, ident: Any) -> None:
        super().__init__(ident)
        self.isolated = ThreadKeyedKit(ident)

    def write(self, value: str) -> None:
        super().write(value)
        self.isolated.write(value)

    def read(self) -> View:
        return {**super().read(), "LocalStack": self.isolated.read()["Local"]}


class MutableContextKit(SharedDictKit):
    """A mutable value in a context variable, which all copies of the Context share."""

    def __init__(self, ident: Any) -> None:
        super().__init__(ident)
        self.var: ContextVar[dict[str, str]] = ContextVar("broken")

    def table(self) -> dict[str, str]:
        try:
            return self.var.get()
        except LookupError:
            self.var.set({})
            return self.var.get()


class GreenletNumberKit(SharedDictKit):
    """Keyed by the greenlet's address, which a later greenlet gets again."""

    def owner(self) -> Any:
        return id(greenlet.getcurrent())


class MissingKit:
    """Its library is not there."""

    def __init__(self, ident: Any) -> None:
        raise MissingDependencyError("the kit", "unobtainium", "all")


class RefusingKit(SharedDictKit):
    """Raises."""

    def write(self, value: str) -> None:
        raise ValueError("no, thank you")


class CrashingKit(SharedDictKit):
    """Ends the process in the strategy "thread"."""

    def write(self, value: str) -> None:
        if self.ident == "thread":
            os._exit(3)
        super().write(value)


class HangingKit(SharedDictKit):
    """Tells its process' number through a pipe with a name, and never comes back."""

    def write(self, value: str) -> None:
        with open(os.environ["HANGING_KIT_PIPE"], "w") as pipe:
            pipe.write(str(os.getpid()))
        signal.pause()
