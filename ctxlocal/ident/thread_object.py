"""A Thread object keeps no Context alive: that is the running thread's affair.

Since Python 3.14 a :class:`threading.Thread` refers to the Context that its thread runs in as long
as the object lives, and so would every value set there live: beyond ``join()``, in a pool that was
shut down, in a forked child. The running thread has a reference of its own; so the object's goes
when the thread first stores something of ours. Whoever else has one, as after
``Thread(context=mine)``, finds the values there as ever.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from contextvars import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final


THREAD_KEEPS_CONTEXT: Final = sys.version_info >= (3, 14)


def release_context() -> None:
    """Let the Thread object of the current thread refer to its Context no longer.

    Called by either twin where an owner gets its first value, if THREAD_KEEPS_CONTEXT.
    """
    try:  # not current_thread(), which makes a Thread where there is none
        threading: Any = sys.modules["threading"]
        attributes = threading._active[get_ident()].__dict__
    except (KeyError, AttributeError):  # threading is not imported, or only just being imported
        return
    if type(attributes.get("_context")) is Context:
        attributes["_context"] = None
