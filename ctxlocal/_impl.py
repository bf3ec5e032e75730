"""The implementation in use, chosen once. There is the pure twin so far."""

from ._pure.local import Local, Scoped
from ._pure.manager import LocalManager, release_local
from ._pure.proxy import BaseProxy, LocalProxy, is_bound, proxy, unwrap
from ._pure.scope import set_lost_scope_hook
from ._pure.stack import LocalStack

IMPLEMENTATION = "pure"
REASON = "this version of ctxlocal has no native twin"

__all__ = [
    "IMPLEMENTATION",
    "REASON",
    "BaseProxy",
    "Local",
    "LocalManager",
    "LocalProxy",
    "LocalStack",
    "Scoped",
    "is_bound",
    "proxy",
    "release_local",
    "set_lost_scope_hook",
    "unwrap",
]
