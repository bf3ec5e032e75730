"""State that belongs to the current thread, greenlet or task, and is released when it ends.

The layers, each of which knows only those before it:

``errors``    every error, with its data as attributes
``ident``     which object is the owner: the strategies, and the application's default
``_pure``     Local, LocalStack, LocalProxy, LocalManager (``_impl`` chooses the twin)
``flow``      carrying state to another owner: scoped, snapshot, bind, Frame
``session``   the state that a visitor's requests have in common, and the stores that keep it
``testing``   what a store has to do, as tests of it
``context``   the current request and application: request, session, g, current_app
``wsgi``, ``asgi``  contexts and sessions for any application: ContextMiddleware
``app``       an application with Flask's names, over WSGI and ASGI; ``signals`` are its signals
``cli``       the command ``ctxlocal``

``import ctxlocal`` loads the layers up to ``flow``, and of them only what every program needs:
it stays below 2 ms. The other layers are imported by their names.
"""

from __future__ import annotations

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
    "unwrap",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
