"""State that belongs to the current thread, greenlet or task, and is released when it ends.

The layers, each of which knows only those before it:

``errors``   every error, with its data as attributes
``ident``    who is the owner: the strategies, and the application's default
``_pure``    Local, LocalStack, LocalProxy, LocalManager (``_impl`` chooses the twin)
``flow``     carrying state to another owner: scoped, snapshot, bind, Frame
``cli``      the command line; not imported from here

What a program may never ask for is loaded when it asks: imports stay below 2 ms.
"""

from __future__ import annotations

from ._impl import IMPLEMENTATION as IMPLEMENTATION
from ._impl import Local as Local
from ._impl import LocalProxy as LocalProxy
from ._impl import LocalStack as LocalStack
from ._impl import is_bound as is_bound
from ._impl import unwrap as unwrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import errors as errors
    from . import flow as flow
    from . import ident as ident
    from ._impl import proxy as proxy
    from ._pure.manager import LocalManager as LocalManager
    from ._pure.manager import release_local as release_local
    from .errors import CtxLocalError as CtxLocalError
    from .errors import UnboundError as UnboundError
    from .flow import scoped as scoped
else:

    def __getattr__(name):
        from ._later import load

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
    "unwrap",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
