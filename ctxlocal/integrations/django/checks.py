"""What Django's checks say of the settings that are ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import Error, Warning

from ...errors import MissingDependencyError, UnknownIdentError
from ...ident import get_default
from ...sessions.errors import SessionConfigError, StoreUnavailableError
from .configuration import ENGINE, SETTING, get_sessions
from .context import LISTED_TWICE, MIDDLEWARE, ONCE, REMEDY, out_of_reach


def check_sessions(app_configs: Any = None, **_: object) -> list[Error | Warning]:
    """Return what is wrong with ``CTXLOCAL`` and ``SESSION_ENGINE``."""
    if settings.SESSION_ENGINE != ENGINE:
        if not hasattr(settings, SETTING):
            return []
        hint = f'SESSION_ENGINE = "{ENGINE}"'
        problem = f"{SETTING} is set, but SESSION_ENGINE is {settings.SESSION_ENGINE!r}."
        return [Warning(problem, hint=hint, id="ctxlocal.W001")]
    try:
        get_sessions()
    except (SessionConfigError, ImportError) as error:
        return [Error(str(error), id="ctxlocal.E001")]
    except StoreUnavailableError as error:  # of a cluster, which is asked at once
        return [Warning(str(error), id="ctxlocal.W002")]
    return []


def check_context(app_configs: Any = None, **_: object) -> list[Error | Warning]:
    """Return what is wrong with the place of ContextMiddleware, and with the strategy."""
    if MIDDLEWARE not in settings.MIDDLEWARE:
        return []
    return [*_place(list(settings.MIDDLEWARE)), *_strategy()]


def _place(names: list[str]) -> Iterator[Error | Warning]:
    if names.count(MIDDLEWARE) > 1:
        yield Error(LISTED_TWICE, hint=ONCE, id="ctxlocal.E002")
    before = names[: names.index(MIDDLEWARE)]
    # What Django's own applications do with sessions, users and messages others listen to.
    if early := next((name for name in before if name.startswith("django.contrib.")), None):
        yield Warning(
            f"{MIDDLEWARE} comes after {early} in MIDDLEWARE, where there is no request of it yet.",
            hint="Name it first.",
            id="ctxlocal.W003",
        )


def _strategy() -> Iterator[Error | Warning]:
    try:
        name = get_default().name
    except (UnknownIdentError, MissingDependencyError) as error:
        yield Error(str(error), id="ctxlocal.E003")
        return
    # Who chooses tasks serves ASGI; of the others that alone is known which Channels asks for.
    if name == "task" or (name != "context" and hasattr(settings, "ASGI_APPLICATION")):
        yield Warning(out_of_reach(name), hint=REMEDY, id="ctxlocal.W004")
