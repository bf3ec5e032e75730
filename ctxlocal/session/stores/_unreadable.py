"""What a store tells of records that it cannot read, and passes over (R32)."""

from __future__ import annotations

import logging

from ..errors import CorruptRecordError

_log = logging.getLogger("ctxlocal.session")


def skip(error: CorruptRecordError) -> None:
    """Note a record that ``list`` or ``scan`` leaves out; its key is in no log (R5)."""
    _log.error("record left out: %s", error)
