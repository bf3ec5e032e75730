"""A pytest plugin for Flask's own tests: each application's sessions are ours, in memory."""

from __future__ import annotations

from typing import Any

import _pytest.monkeypatch
import flask
from stand_in import (  # type: ignore[import-not-found]
    pytest_collection_modifyitems as pytest_collection_modifyitems,
)

from ctxlocal.integrations.flask import Sessions

if not hasattr(_pytest.monkeypatch, "notset"):  # which their conftest takes from older ones
    _pytest.monkeypatch.notset = _pytest.monkeypatch.NOTSET  # type: ignore[attr-defined]


class _Ours:
    """What ``app.session_interface`` is: made at the first look, when the settings are there."""

    def __get__(self, app: Any, kind: type) -> Any:
        if app is not None and "session_interface" not in vars(app):
            Sessions(app, "memory:")
        return self if app is None else vars(app)["session_interface"]

    def __set__(self, app: Any, interface: Any) -> None:
        vars(app)["session_interface"] = interface


def pytest_configure() -> None:
    flask.Flask.session_interface = _Ours()  # type: ignore[assignment]
