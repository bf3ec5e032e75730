"""Identity strategies: each tells which thread, greenlet, task or other object is the owner.

Which strategy serves is the application's decision, not a library's: a Local
made without ``ident`` follows :func:`set_default`, or the environment variable
``CTXLOCAL_IDENT``. Either is set before the first value is stored.

May import: ``errors``.
"""

from __future__ import annotations

from .default import current, default_source, get_default, set_default
from .greenlet import GreenletIdent
from .named import resolve
from .strategy import THREAD as THREAD
from .strategy import CallableIdent, ContextIdent, Ident, TaskIdent, ThreadIdent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .named import IdentLike as IdentLike

__all__ = [
    "CallableIdent",
    "ContextIdent",
    "GreenletIdent",
    "Ident",
    "TaskIdent",
    "ThreadIdent",
    "current",
    "default_source",
    "get_default",
    "resolve",
    "set_default",
]
