"""Which attributes of which Locals may leave the process: what ``Local(wire=...)`` says.

The Locals that say so can be found by their names, as long as they live (``wired``).
"""

from __future__ import annotations

from weakref import WeakValueDictionary

from ..ident.named import resolve
from ..ident.strategy import ContextIdent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..ident import IdentLike
    from .slot import Slot


_slots: WeakValueDictionary[int, Slot] = WeakValueDictionary()


def remember(slot: Slot) -> None:
    """Let a Local's slot be among those that ``wired`` finds."""
    _slots[id(slot)] = slot


def wired() -> list[Slot]:
    """Return the slots of all living Locals that have a wire. O(their number)."""
    return [slot for each in _slots.valuerefs() if (slot := each()) is not None]


def checked_wire(
    label: str, name: str | None, wire: Iterable[str], ident: IdentLike | None, carry: bool
) -> tuple[str, ...]:
    """Return the names of a wire.

    :param label: what a message calls the Local; the others are its arguments.
    :raises TypeError: it is no tuple of names.
    :raises ValueError: the Local has no name by which another process could know it, or its
        values do not go along with frames.
    """
    if isinstance(wire, str) or not hasattr(wire, "__iter__"):
        raise TypeError(f"The wire of {label} has to be a tuple of names, not {wire!r}.")
    names = tuple(wire)
    for each in names:
        _refuse_no_name(label, each)
    if not names:
        return ()
    if not isinstance(name, str) or not name:
        raise ValueError(
            f"{label} has a wire, but no name by which another process knows it: "
            "Local(name=..., wire=...)."
        )
    if ident is not None and not carry and not isinstance(resolve(ident), ContextIdent):
        raise ValueError(
            f"{label} has a wire, but its values stay with their owners, as it has an ident. "
            "Let them go along with frames: carry=True."
        )
    return names


def _refuse_no_name(label: str, name: object) -> None:
    if type(name) is not str:
        raise TypeError(f"The wire of {label} has {name!r} in it, which is no name.")
    if not name.isidentifier() or name.startswith(("__", "_ctxlocal_")):
        raise ValueError(
            f"The wire of {label} has {name!r} in it, which is no name of an attribute that a "
            "value could have."
        )
