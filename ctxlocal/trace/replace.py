"""Putting a method in the place of another, and that back."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any


def replaced(cls: Any, name: str, make: Callable[[Any], Any]) -> Callable[[], None]:
    """Replace a method of ``cls`` by what ``make`` makes of it; return what puts it back.

    It may be inherited: eventlet's Thread, in the place of the library's, has few of its own.
    """
    is_own = name in vars(cls)
    original = vars(cls)[name] if is_own else getattr(cls, name)
    setattr(cls, name, wraps(original)(make(original)))
    return (lambda: setattr(cls, name, original)) if is_own else (lambda: delattr(cls, name))
