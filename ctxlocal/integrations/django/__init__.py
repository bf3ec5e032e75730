"""Django's sessions kept by ctxlocal: ``sessions`` is the engine, ``apps`` checks its settings.

::

    SESSION_ENGINE = "ctxlocal.integrations.django.sessions"
    CTXLOCAL = {"STORE": "redis://localhost/0"}
    INSTALLED_APPS = [..., "ctxlocal.integrations.django"]  # for the checks

For Django from 5.2 on.
"""
