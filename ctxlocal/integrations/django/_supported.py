"""The versions of Django that this is for."""

from __future__ import annotations

import django
from django.core.exceptions import ImproperlyConfigured

LOWEST = (5, 2)


def refuse_old_django() -> None:
    """Raise ImproperlyConfigured where Django is older than what the tests run with."""
    if django.VERSION[:2] < LOWEST:
        raise ImproperlyConfigured(
            f"ctxlocal.integrations.django is for Django from {LOWEST[0]}.{LOWEST[1]} on, and this "
            f"is {django.get_version()}. Upgrade Django; around an older one stands "
            "ctxlocal.web.wsgi.ContextMiddleware."
        )
