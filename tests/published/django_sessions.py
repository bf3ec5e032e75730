"""Runs Django's own tests of session engines on ours, whose store the first argument says."""

from __future__ import annotations

import importlib
import sys
import unittest
from typing import Any

import django
from django.conf import settings
from stand_in import main  # type: ignore[import-not-found]

settings.configure(
    SECRET_KEY="of Django",
    USE_TZ=False,  # as Django's own settings for its tests
    DATABASES={
        name: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        for name in ("default", "other")
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.sessions", "sessions_tests"],
    SESSION_ENGINE="ctxlocal.integrations.django.sessions",
    CTXLOCAL={"STORE": sys.argv[1]},
)
django.setup()

published: Any = importlib.import_module("sessions_tests.tests")
engine: Any = importlib.import_module(settings.SESSION_ENGINE)


class EngineTests(published.SessionTestsMixin, published.TestCase):  # type: ignore[misc]
    backend = engine.SessionStore


def suite() -> unittest.TestSuite:
    """Return what is asked of every engine, and of the middleware with the one of the settings."""
    load = unittest.defaultTestLoader.loadTestsFromTestCase
    return unittest.TestSuite(map(load, (EngineTests, published.SessionMiddlewareTests)))


if __name__ == "__main__":
    from django.test.runner import DiscoverRunner

    runner = DiscoverRunner()
    runner.setup_test_environment()
    runner.setup_databases()
    sys.exit(main(suite()))
