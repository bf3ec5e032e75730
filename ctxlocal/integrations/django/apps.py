"""The application that checks the settings: ``manage.py check`` and ``runserver`` tell."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import Error, Tags, Warning, register

from ...sessions.errors import SessionConfigError, StoreUnavailableError
from .configuration import SETTING, get_sessions

ENGINE = "ctxlocal.integrations.django.sessions"


class DjangoIntegration(AppConfig):  # type: ignore[misc]
    """Registers the checks."""

    name = "ctxlocal.integrations.django"
    label = "ctxlocal"
    verbose_name = "ctxlocal"

    def ready(self) -> None:
        """Register the checks; nothing is opened."""
        register(check_settings, Tags.security)


def check_settings(app_configs: Any = None, **_: object) -> list[Error | Warning]:
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
