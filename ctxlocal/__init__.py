"""State that belongs to the current thread, greenlet or task, and is released when it ends.

The folders, from the lowest to the highest; the first lines of each say what it may import:

``errors``       every error of the core, with its data as attributes
``ident``        who owns a value: the strategies, and the application's default
``local``        Local, LocalStack, LocalProxy, LocalManager, in two twins
``flow``         carrying state to another owner: scoped, snapshot, bind, Frame
``trace``        the debugger: who holds a value, and where it was set
``sessions``     what a visitor's requests have in common, in a store or in a cookie
``web``          a request, its contexts and its session, under WSGI and ASGI; App
``integrations`` ready connections to other libraries: Prometheus, OpenTelemetry
``testing``      checks of a store of your own
``lab``          the instruments: matrix, soak, bench, prove, demo
``cli``          the command line

What a program may never ask for is loaded when it asks: importing ``ctxlocal`` loads the first
four alone, and stays below 2 ms.
"""

from __future__ import annotations

import os
import sys

from .local import IMPLEMENTATION as IMPLEMENTATION
from .local import Local as Local
from .local import LocalProxy as LocalProxy
from .local import LocalStack as LocalStack
from .local import is_bound as is_bound
from .local import unwrap as unwrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import errors as errors
    from . import flow as flow
    from . import ident as ident
    from . import trace as trace
    from .errors import CtxLocalError as CtxLocalError
    from .errors import UnboundError as UnboundError
    from .flow import scoped as scoped
    from .local import proxy as proxy
    from .local.manager import LocalManager as LocalManager
    from .local.manager import release_local as release_local
else:

    def __getattr__(name):
        from ._lazy import load

        return load(name)


__version__ = "0.1.0"

__all__ = [
    "IMPLEMENTATION",
    "CtxLocalError",
    "Local",
    "LocalManager",
    "LocalProxy",
    "LocalStack",
    "UnboundError",
    "errors",
    "flow",
    "ident",
    "is_bound",
    "proxy",
    "release_local",
    "scoped",
    "trace",
    "unwrap",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if getattr(sys, "get_lazy_imports", str)() == "all":
    from . import flow  # which imports all that the native twin loads late
    from ._whole import load_whole

    load_whole(__name__)

if os.environ.get("CTXLOCAL_TRACE", "0") not in ("", "0"):
    from .trace import enable

    enable()
