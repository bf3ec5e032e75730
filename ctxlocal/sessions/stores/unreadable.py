"""What a store tells of records that it cannot read, and passes over."""

from __future__ import annotations

import logging

from ..errors import CorruptRecordError

_log = logging.getLogger("ctxlocal.sessions")


def skip(error: CorruptRecordError) -> None:
    """Note a record that ``list`` or ``scan`` leaves out; its key is in no log."""
    _log.error("record left out: %s", error)
