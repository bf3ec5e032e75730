"""Django, set up once for the process, with a store of ours and one table of its own: users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

SETTINGS: dict[str, Any] = {
    "ALLOWED_HOSTS": ["testserver"],
    "SECRET_KEY": "a secret of more than thirty-two bytes",
    "USE_TZ": True,
    "ROOT_URLCONF": "tests.integrations.django.urls",
    "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
    "SESSION_ENGINE": "ctxlocal.integrations.django.sessions",
    "CTXLOCAL": {"STORE": "memory:"},
    "MESSAGE_STORAGE": "django.contrib.messages.storage.session.SessionStorage",
    "STATIC_URL": "/static/",
    "INSTALLED_APPS": [
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "ctxlocal.integrations.django",
    ],
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
}


@pytest.fixture(scope="session")
def django(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.test.utils import setup_test_environment, teardown_test_environment

    if not settings.configured:
        # A file, not memory: asynchronous code asks for it in other threads.
        name = tmp_path_factory.mktemp("django") / "users.db"
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": name}
        settings.configure(**SETTINGS, DATABASES={"default": database})
        django.setup()
    setup_test_environment()
    call_command("migrate", verbosity=0, run_syncdb=True)
    yield
    teardown_test_environment()


@pytest.fixture(autouse=True)
def sessions(django: None) -> Any:
    """What keeps the sessions: empty for each test."""
    from ctxlocal.integrations.django.configuration import forget_sessions, get_sessions

    forget_sessions()
    return get_sessions()
