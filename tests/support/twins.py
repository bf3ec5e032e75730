"""The twins under test: each as a module with the public names of ``ctxlocal``.

Both stand on the same strategies, slots, scopes and frames, so one process can use both.
The native twin has to be there in CI; elsewhere it is tested where it was built.
``CTXLOCAL_PURE=1`` tests the pure twin alone.
"""

from __future__ import annotations

import os
from types import ModuleType

import ctxlocal
from ctxlocal.local.pure.local import Local
from ctxlocal.local.pure.proxy import LocalProxy, is_bound, proxy, unwrap
from ctxlocal.local.pure.stack import LocalStack

PURE_NAMES = {
    "IMPLEMENTATION": "pure",
    "Local": Local,
    "LocalProxy": LocalProxy,
    "LocalStack": LocalStack,
    "is_bound": is_bound,
    "proxy": proxy,
    "unwrap": unwrap,
}


def _pure() -> ModuleType:
    module = ModuleType("ctxlocal")
    names = {name: getattr(ctxlocal, name) for name in (*ctxlocal.__all__, "__file__")}
    vars(module).update({**names, **PURE_NAMES})
    return module


IMPLEMENTATIONS: dict[str, ModuleType] = {"pure": _pure()}
if ctxlocal.IMPLEMENTATION == "native":
    IMPLEMENTATIONS["native"] = ctxlocal
elif os.environ.get("CI") and not os.environ.get("CTXLOCAL_PURE"):
    raise RuntimeError(f"CI tests the native twin too: {ctxlocal.local.REASON}")
