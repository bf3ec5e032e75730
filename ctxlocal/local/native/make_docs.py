"""Write docs.h: the pure twin's docstrings, for the C twin to have the same.

    CTXLOCAL_PURE=1 python ctxlocal/local/native/make_docs.py

tests/local/test_parity.py fails where the twins' docstrings differ.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from ctxlocal.local.pure.latch import Latch
from ctxlocal.local.pure.local import Local
from ctxlocal.local.pure.proxy import BaseProxy, LocalProxy, is_bound, unwrap
from ctxlocal.local.pure.stack import LocalStack

# C name: the object, and the signature as CPython reads it from a docstring.
DOCS: dict[str, tuple[Any, str | None]] = {
    "Local": (
        Local,
        "Local(context_var=None, /, *, ident=None, name=None, carry=False, wire=())",
    ),
    "Local___init_subclass__": (
        vars(Local)["__init_subclass__"].__func__,
        "__init_subclass__($type, *, ident=None, carry=False, **keywords)",
    ),
    "Local___iter__": (Local.__iter__, "__iter__($self)"),
    "Local___call__": (Local.__call__, "__call__($self, name, *, unbound_message=None)"),
    "Local___dir__": (Local.__dir__, "__dir__($self)"),
    "Local___release_local__": (Local.__release_local__, "__release_local__($self)"),
    "Local___copy__": (Local.__copy__, "__copy__($self)"),
    "Local___deepcopy__": (Local.__deepcopy__, "__deepcopy__($self, memo, /)"),
    "Local___reduce_ex__": (Local.__reduce_ex__, "__reduce_ex__($self, protocol)"),
    "LocalStack": (
        LocalStack,
        "LocalStack(context_var=None, /, *, ident=None, name=None, carry=False)",
    ),
    "LocalStack_push": (LocalStack.push, "push($self, obj, /)"),
    "LocalStack_pop": (LocalStack.pop, "pop($self)"),
    "LocalStack_pushed": (LocalStack.pushed, "pushed($self, obj, *, strict=False)"),
    "LocalStack___call__": (
        LocalStack.__call__,
        "__call__($self, name=None, *, unbound_message=None)",
    ),
    "LocalStack_top": (LocalStack.top, None),
    "LocalStack___release_local__": (LocalStack.__release_local__, "__release_local__($self)"),
    "LocalStack___copy__": (LocalStack.__copy__, "__copy__($self)"),
    "LocalStack___deepcopy__": (LocalStack.__deepcopy__, "__deepcopy__($self, memo, /)"),
    "LocalStack___reduce_ex__": (LocalStack.__reduce_ex__, "__reduce_ex__($self, protocol)"),
    "BaseProxy": (BaseProxy, "BaseProxy(local, name=None, *, unbound_message=None)"),
    "LocalProxy": (LocalProxy, "LocalProxy(local, name=None, *, unbound_message=None)"),
    "Latch": (Latch, "Latch()"),
    "Latch_take": (Latch.take, "take($self)"),
    "Latch_release": (Latch.release, "release($self)"),
    "Latch_is_taken": (Latch.is_taken, None),
    "unwrap": (unwrap, "unwrap($module, obj)"),
    "is_bound": (is_bound, "is_bound($module, proxy)"),
}


def literal(text: str) -> str:
    """Return ``text`` as a C string, a line for each of its lines."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return "\n".join(f'    "{line}\\n"' for line in escaped.split("\n"))[:-3] + '"'


def header() -> str:
    """Return the whole file."""
    lines = [
        "/* Made from the pure twin's docstrings by make_docs.py; do not edit. */",
        "",
        "#ifndef CTXLOCAL_DOCS_H",
        "#define CTXLOCAL_DOCS_H",
    ]
    for name, (obj, signature) in DOCS.items():
        doc = None if obj.__doc__ is None else inspect.cleandoc(obj.__doc__)
        text = doc or ""
        if signature is not None:
            text = f"{signature}\n--\n\n{text}"
        lines += ["", f"static const char DOC_{name}[] =", f"{literal(text)};"]
    return "\n".join([*lines, "", "#endif", ""])


if __name__ == "__main__":
    Path(__file__).with_name("docs.h").write_text(header())
