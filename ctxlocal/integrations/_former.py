"""Values of the session that a framework's own library kept before."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..sessions import Session


def take_over(session: Session, former: Mapping[str, Any], log: logging.Logger) -> None:
    """Set in a session what a former one has; a warning tells of each value that cannot be kept."""
    for key, value in former.items():
        try:
            session[key] = value
        except (TypeError, ValueError) as error:  # what cannot be kept is one of these
            log.warning("not taken over from the former session: %s", error)
