"""An error that a worker of a pool of processes raises, as its parent gets it."""

from __future__ import annotations

import pickle

from ctxlocal.errors import CtxLocalError


def assert_it_comes_back(error: CtxLocalError) -> None:
    """Pickle it: its text comes back, and what it tells, but for objects of this process."""
    error.__notes__ = ["a note"]
    come_back = pickle.loads(pickle.dumps(error))
    del error.__notes__
    assert vars(come_back).pop("__notes__") == ["a note"]
    assert type(come_back) is type(error)
    assert str(come_back) == str(error)
    for name, value in vars(error).items():
        is_plain = isinstance(value, (str, int, float, tuple, list))
        assert getattr(come_back, name) == (value if is_plain else None)
