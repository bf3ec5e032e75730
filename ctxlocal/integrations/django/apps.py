"""The application that checks the settings: ``manage.py check`` and ``runserver`` tell."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register

from ._supported import refuse_old_django
from .checks import check_context, check_sessions


class DjangoIntegration(AppConfig):  # type: ignore[misc]
    """Registers the checks."""

    name = "ctxlocal.integrations.django"
    label = "ctxlocal"
    verbose_name = "ctxlocal"

    def ready(self) -> None:
        """Register the checks; nothing is opened."""
        refuse_old_django()
        register(check_sessions, Tags.security)
        register(check_context, Tags.compatibility)
