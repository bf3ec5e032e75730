"""How deep containers lie in msgpack, without building anything of it.

msgspec refuses what is too deep for the interpreter's stack, by a RecursionError: 2,000 lists
within one another, but 200 as well if the caller is 850 calls deep. So what a request gets from
hostile bytes would depend on where it reads them, and the error could not be told from the caller's
own. Here is looked only at values with more bytes that could begin a container than may be nested:
at none in the rows of ``benchmarks.sessions``.
"""

from __future__ import annotations

#: Ext codes of ours that say what the array in them is: a tuple, a set, and so on.
TAGS = range(8, 12)

# How long what follows the first byte is: fixed, or told by a length of so many bytes (plus more).
_FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_FIXED |= {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_COUNTED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_COUNTED |= {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_ITEMS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
# Where the code stands. An Ext of one byte (0xD4) is not here: it holds an empty array at most.
_TAG_HEADS = {0xC7: 2, 0xC8: 3, 0xC9: 5, 0xD5: 1, 0xD6: 1, 0xD7: 1, 0xD8: 1}


def is_deep(raw: bytes, most: int) -> bool:
    """Whether there are more than ``most`` containers within one another. O(objects).

    What is cut short, or longer than it says, is the decoder's to refuse: it reads in the
    same order, and goes no further than that.
    """
    open_containers: list[int] = []  # how many items each still lacks
    at, end = _past_tag(raw, 0), len(raw)
    while at < end:
        at, items = _step(raw, at)
        if items:
            open_containers.append(items)
            if len(open_containers) > most:
                return True
        else:
            while open_containers:
                open_containers[-1] -= 1
                if open_containers[-1]:
                    break
                open_containers.pop()
        at = _past_tag(raw, at)
    return False


def _past_tag(raw: bytes, at: int) -> int:
    """Return where the array of a tag begins; ``at`` if there is no tag. The two count as one.

    A tag in place of that array is skipped by its length: no decoder reads it.
    """
    code_at = at + _TAG_HEADS.get(raw[at], len(raw)) if at < len(raw) else len(raw)
    return code_at + 1 if code_at < len(raw) and raw[code_at] in TAGS else at


def _step(raw: bytes, at: int) -> tuple[int, int]:
    """Return where the next object's head ends (a scalar's: its end) and how many items it has."""
    first = raw[at]
    at += 1
    if first < 0x80 or first >= 0xE0:
        return at, 0
    if first < 0xA0:
        return at, (first & 0x0F) * (2 if first < 0x90 else 1)
    if first < 0xC0:
        return at + (first & 0x1F), 0
    if first in _ITEMS:
        width, each = _ITEMS[first]
        return at + width, int.from_bytes(raw[at : at + width], "big") * each
    if first in _COUNTED:
        width, more = _COUNTED[first]
        return at + width + more + int.from_bytes(raw[at : at + width], "big"), 0
    return at + _FIXED.get(first, 0), 0
