"""State that belongs to the current thread, greenlet or task, and is released when it ends.

The layers, each of which knows only those before it:

``errors``   every error, with its data as attributes
``ident``    who is the owner: the strategies, and the application's default
``_pure``    Local, LocalStack, LocalProxy, LocalManager (``_impl`` chooses the twin)
``flow``     carrying state to another owner: scoped, snapshot, bind, Frame
``cli``      the command line; not imported from here
"""

from . import errors as errors
from . import flow as flow
from . import ident as ident
from ._impl import IMPLEMENTATION as IMPLEMENTATION
from ._impl import Local as Local
from ._impl import LocalManager as LocalManager
from ._impl import LocalProxy as LocalProxy
from ._impl import LocalStack as LocalStack
from ._impl import is_bound as is_bound
from ._impl import proxy as proxy
from ._impl import release_local as release_local
from ._impl import unwrap as unwrap
from .errors import CtxLocalError as CtxLocalError
from .errors import UnboundError as UnboundError
from .flow import scoped as scoped

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
