"""Every case, in groups: the rows of a group interleaved in one process, each group in its own.

The separate processes matter: CPython specialises the bytecode of a library's methods for the types
it sees there, and rows that use the same method with other types would slow each other down. What
ctxlocal keeps per class is such a thing too: a thousand names in one Local are seen by all others.
"""

from ..case import Case
from .local import GET, GET_1000, SET_10, SET_1000
from .proxy import CASES as _PROXY
from .request import CASES as _REQUEST
from .stack import CASES as _STACK
from .strategy import CASES as _STRATEGY

GROUPS: dict[str, tuple[Case, ...]] = {
    "get": GET,
    "get of 1000": GET_1000,
    "set of 10": SET_10,
    "set of 1000": SET_1000,
    "stack": _STACK,
    "proxy": _PROXY,
    "request": _REQUEST,
    "strategy": _STRATEGY,
}
