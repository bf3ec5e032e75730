"""Stand-ins for the Local that fail on purpose; the benchmark has to notice each of them."""

from __future__ import annotations

import os
import signal
from typing import Any, ClassVar

from ctxlocal import Local


class SharedLocal:
    """One value for everybody."""

    def __init__(self, ident: str) -> None:
        self.value: object = None


class KeepingLocal(Local):
    """Isolates, and keeps every value for ever."""

    kept: ClassVar[list[object]] = []

    def __setattr__(self, name: str, value: object) -> None:
        self.kept.append(bytearray(1000))
        super().__setattr__(name, value)


class RefusingLocal:
    """Raises."""

    def __init__(self, ident: str) -> None:
        pass

    def __setattr__(self, name: str, value: object) -> None:
        raise ValueError("no, thank you")


class HangingLocal:
    """Tells its process' number through a pipe with a name, and never comes back."""

    def __init__(self, ident: str) -> None:
        pass

    def __setattr__(self, name: str, value: Any) -> None:
        with open(os.environ["HANGING_LOCAL_PIPE"], "w") as pipe:
            pipe.write(str(os.getpid()))
        signal.pause()
