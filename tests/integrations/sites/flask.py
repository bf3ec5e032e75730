"""A site in Flask: Flask-Login, Flask-WTF, and the session by the integration."""

from __future__ import annotations

from typing import Any

import flask_login
from flask import Flask, redirect, request, session
from flask_wtf.csrf import CSRFProtect, generate_csrf

from ctxlocal.integrations.flask import Sessions, sessions_of

from . import page
from .serve import serve_wsgi

app = Flask(__name__)
app.config.update(SECRET_KEY="a secret of more than thirty-two bytes", SESSION_STORE="memory:")
Sessions(app)
CSRFProtect(app)
logins = flask_login.LoginManager(app)


class User(flask_login.UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name


@logins.user_loader  # type: ignore[untyped-decorator]
def load_user(name: str) -> User:
    return User(name)


@app.get("/")
@app.get("/login")
def show() -> str:
    user = flask_login.current_user
    token = f'<input type="hidden" name="csrf_token" value="{generate_csrf()}">'
    return page(user.id if user.is_authenticated else None, token)


@app.post("/login")
def log_in() -> Any:
    if request.form["password"] == request.form["name"]:
        flask_login.login_user(User(request.form["name"]))
    return redirect("/")


@app.post("/logout")
def log_out() -> Any:
    flask_login.logout_user()
    return redirect("/")


@app.post("/others")
@flask_login.login_required  # type: ignore[untyped-decorator]
def end_others() -> Any:
    here: Any = session
    sessions_of().revoke_all(flask_login.current_user.id, here._get_current_object())
    return redirect("/")


if __name__ == "__main__":
    serve_wsgi(app)
