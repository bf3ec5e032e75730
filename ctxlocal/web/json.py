"""JSON of responses: every type that a session takes, and dataclasses, as Flask writes them.

| value | JSON |
|---|---|
| datetime, date | text as in HTTP's headers, in GMT (Flask) |
| Decimal, UUID | text (Flask) |
| what has ``__html__``, as Markup does | that text (Flask) |
| dataclass | an object (Flask) |
| tuple, set, frozenset | an array; a set's in the order of its members' stored bytes |
| time, timedelta | text of ISO 8601: ``12:30:00``, ``P1DT2S`` |
| bytes | text of base64 |
| the session, any other mapping, a Struct | an object |
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from werkzeug.http import http_date

from ..sessions.jsonable import in_order


def dumps(value: Any) -> str:
    """Return ``value`` as JSON, without spaces.

    :raises TypeError: a value, or the key of a dict, is nothing that JSON has.
    """
    return json.dumps(value, separators=(",", ":"), default=_default)


def _default(value: Any) -> Any:
    if isinstance(value, date):  # a datetime too
        return http_date(value)
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return in_order(value)
    if isinstance(value, (bytes, time, timedelta)):
        return msgspec.to_builtins(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "__html__"):
        return str(value.__html__())
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
