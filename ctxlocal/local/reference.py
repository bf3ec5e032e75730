"""Pickling a Local or LocalStack by reference: as the global of a module that it is.

Its values belong to the owners of this process and never go along. What is found again is the
module's own, as with a function. ``__main__`` is another module in some processes: in a worker of
multiprocessing it is the caller's, in one of loky (joblib) it is not, and there the functions of
``__main__`` come by value, as cloudpickle sends them. What they mention is then made anew, once
in the process, so that all of them mean the same one.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

from ..ident.named import NAMED, resolve
from ..ident.strategy import CallableIdent
from .slot import called
from .storage import CarriedStorage, VarStorage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..ident import Ident
    from .slot import Slot

    Arguments = tuple[tuple[Any, ...], dict[str, Any]]

_MAIN = "__main__"
# Made in place of those of another process's __main__, by what Slot.token says there. They live as
# long as the process, as globals do: a connection that a task keeps in one is the next task's.
_stand_ins: dict[str, tuple[str, Any]] = {}


def reduced(holder: Any, slot: Slot | None, arguments: Arguments | None) -> tuple[Any, ...]:
    """Return what pickle is to keep of a Local or LocalStack.

    :param slot: the holder's; None before its ``__init__``.
    :param arguments: those of a subclass's ``__init__`` that runs in each owner, or None.
    :raises TypeError: it is no global of a module, or one of ``__main__`` that cannot be made
        anew, as its strategy or its ContextVar is an object of this process.

    O(globals of all modules).
    """
    module, name = _place(holder, slot)
    if slot is None or name is None:
        raise refused(holder, slot, _BY_REFERENCE)
    if module != _MAIN:
        return found, (module, name)
    token = vars(slot).setdefault("token", os.urandom(16).hex())
    kind = getattr(type(holder), "_ctxlocal_class", type(holder))
    if arguments is None:
        return found_or_made, (name, token, kind, ((), _options(holder, slot)), True)
    return found_or_made, (name, token, kind, arguments, False)


_BY_REFERENCE = " One that is a global of a module can be pickled, by reference."


def refused(holder: Any, slot: Slot | None, but: str = "") -> TypeError:
    """Return the error of one that cannot be pickled, or copied with all that is in it.

    :param but: what could be.
    """
    whose, instead = "values", "Pickle dict(local) instead; copy.copy(local) makes another Local."
    if hasattr(type(holder), "push"):
        whose, instead = "objects", "copy.copy(stack) makes another stack."
    return TypeError(
        f"cannot pickle {called(holder, slot)}: its {whose} belong to the owners of this "
        f"process. {instead}{but}"
    )


def _place(holder: Any, slot: Slot | None) -> tuple[str, str | None]:
    """Return the module and the name of a global; the name is None where there is none."""
    in_main = None
    for module, namespace in _namespaces():
        for name, value in list(namespace.items()):
            if value is holder and module != _MAIN:
                return module, name
            if value is holder:
                in_main = name
    if in_main is None and slot is not None:
        in_main, _ = _stand_ins.get(vars(slot).get("token", ""), (None, None))
    return _MAIN, in_main


def _namespaces() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the globals of each module that another process can import, or is."""
    for name, module in list(sys.modules.items()):
        # By the type: what only claims to be a module, as one of cffi's, has no globals. And
        # __mp_main__ is another name of __main__.
        if issubclass(type(module), ModuleType) and name != "__mp_main__":
            # Past the class of a module that is loaded by the first look at it.
            namespace = object.__getattribute__(module, "__dict__")
            if name == _MAIN or namespace.get("__spec__") is not None:
                yield name, namespace


def _options(holder: Any, slot: Slot) -> dict[str, Any]:
    """Return the arguments that make another one of the same kind."""
    storage = slot.storage
    options: dict[str, Any] = {"name": slot.name}
    if not slot.follows:
        if storage is None or isinstance(storage, VarStorage):
            raise refused(holder, slot, _BY_REFERENCE)
        options["ident"] = _portable(holder, slot, storage.ident)
        options["carry"] = isinstance(storage, CarriedStorage)
    if slot.wire:
        options["wire"] = slot.wire
    return options


def _portable(holder: Any, slot: Slot, ident: Ident) -> Any:
    if ident.name in NAMED and resolve(ident.name) is ident:
        return ident.name
    if type(ident) is CallableIdent:
        return ident.function
    raise refused(holder, slot, _BY_REFERENCE)


def found(module: str, name: str) -> Any:
    """Return a global of a module, which is imported."""
    __import__(module)
    return getattr(sys.modules[module], name)


def found_or_made(name: str, token: str, kind: Any, arguments: Arguments, past_init: bool) -> Any:
    """Return a global of ``__main__``; where that is another module here, one in its place.

    :param token: of the original, to tell it from all others.
    :param kind: its class.
    :param arguments: those of the class, or with ``past_init`` those of Local or LocalStack
        themselves, whatever ``__init__`` the class has.
    """
    here = vars(sys.modules[_MAIN]).get(name)
    if isinstance(here, kind):
        return here
    if token not in _stand_ins:
        made = _make(kind, arguments) if past_init else kind(*arguments[0], **arguments[1])
        _remember(token, name, made)
    return _stand_ins[token][1]


def _make(kind: Any, arguments: Arguments) -> Any:
    made = kind.__new__(kind)
    base = next(each for each in kind.__mro__ if each.__module__ == "ctxlocal")
    base.__init__(made, *arguments[0], **arguments[1])
    return made


def _remember(token: str, name: str, made: Any) -> None:
    slot = made._slot if hasattr(type(made), "push") else made._ctxlocal_slot
    vars(slot)["token"] = token  # so that it is found again where it came from
    _stand_ins.setdefault(token, (name, made))
