"""A site in Django: its users and its protection of forms, and the session by the engine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.urls import path

from . import page
from .serve import serve_wsgi


def show(request: Any) -> HttpResponse:
    token = f'<input type="hidden" name="csrfmiddlewaretoken" value="{get_token(request)}">'
    return HttpResponse(page(request.user.get_username() or None, token))


def login(request: Any) -> HttpResponse:
    from django.contrib import auth

    if request.method == "GET":
        return show(request)
    given = {"username": request.POST["name"], "password": request.POST["password"]}
    if (user := auth.authenticate(request, **given)) is not None:
        auth.login(request, user)
    return redirect("/")


def logout(request: Any) -> HttpResponse:
    from django.contrib import auth

    auth.logout(request)
    return redirect("/")


def end_others(request: Any) -> HttpResponse:
    from ctxlocal.integrations.django.configuration import get_sessions

    get_sessions().revoke_all(str(request.user.pk), request.session.ctxlocal)
    return redirect("/")


urlpatterns = [
    path("", show),
    path("login", login),
    path("logout", logout),
    path("others", end_others),
]


def main(folder: Path) -> None:
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        SECRET_KEY="a secret of more than thirty-two bytes",
        ROOT_URLCONF=tuple(urlpatterns),
        USE_TZ=True,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": folder / "users"}},
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "ctxlocal.integrations.django",
        ],
        MIDDLEWARE=[
            "ctxlocal.integrations.django.ContextMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        SESSION_ENGINE="ctxlocal.integrations.django.sessions",
        CTXLOCAL={"STORE": "memory:"},
    )
    django.setup()
    call_command("migrate", verbosity=0)
    from django.contrib.auth import get_user_model
    from django.core.wsgi import get_wsgi_application

    get_user_model().objects.create_user("ada", password="ada")
    serve_wsgi(get_wsgi_application())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
