"""Flask's own session, kept by ctxlocal: ``flask.session`` *is* a :class:`~ctxlocal.Session`.

::

    from ctxlocal.integrations.flask import Sessions

    app = Flask(__name__)
    app.config["SESSION_STORE"] = "redis://localhost/0"
    Sessions(app)

Whatever uses ``flask.session`` goes on as it is: flash messages, CSRF tokens, OAuth states, test
clients. A login and a logout of Flask-Login set ``session.user``, so that a user's sessions can be
listed and ended. For Flask from 3.0 on.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import flask
from flask.sessions import SessionInterface as FlaskSessionInterface

from ..sessions import (
    Cookie,
    EncryptedCookieSessions,
    SessionInterface,
    SignedCookieSessions,
    StoredSessions,
)
from ..sessions.errors import (
    FreshLoginRequiredError,
    SessionConfigError,
    SessionConflictError,
    SessionEndedError,
    SessionError,
    SessionLimitError,
    StoreUnavailableError,
)
from ..sessions.lifetime import ABSOLUTE_TIMEOUT
from ..web.error_response import refusal_of
from ._former import take_over
from ._messages import merged

if TYPE_CHECKING:
    from ..sessions import Session
    from ..sessions.stores.protocol import Store

STORE = "SESSION_STORE"  #: the setting that says where sessions are kept
# What is no mistake of the program has a response of its own, which is no 500.
ANSWERED = (
    FreshLoginRequiredError,
    SessionConflictError,
    SessionEndedError,
    SessionLimitError,
    StoreUnavailableError,
)
TAKEN_OVER = "ctxlocal.taken_over"  # in the environ of a request whose former session was
IS_KEPT = "werkzeug.debug.preserve_context"  # in that of one in the `with` block of a test client
FLASHES = "_flashes"  # Flask's key for its messages
# Flask-Login's keys that a login sets.
LOGIN = ("_user_id", "_fresh", "_id", "_remember", "_remember_seconds")


class Sessions:
    """The extension: gives an application's ``flask.session`` a place where nothing is lost.

    The cookie is as Flask's settings say, ``SESSION_COOKIE_NAME``, ``_DOMAIN``, ``_PATH``,
    ``_HTTPONLY``, ``_SECURE``, ``_SAMESITE`` (None is ``"Lax"``) and ``_PARTITIONED``; a session
    ends after ``PERMANENT_SESSION_LIFETIME`` without a request. They are read when the application
    is given, so set them before. An interface of your own has its own cookie and times.

    :param app: the application; or give it to :meth:`init_app` later.
    :param store: where sessions are kept: a URL, a store, ``"signed"`` or ``"encrypted"`` for a
        cookie (by ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS``), or a SessionInterface of ours.
        None is ``app.config["SESSION_STORE"]``.
    :param import_from: an interface of Flask's, or of Flask-Session, that kept the sessions before:
        a visitor whose cookie leads to none of ours begins with what that has. It is only read.
    :param settings: further ones of :class:`~ctxlocal.sessions.StoredSessions`.
    :raises SessionConfigError: there is no store, or a setting cannot be used.
    """

    def __init__(
        self,
        app: flask.Flask | None = None,
        store: str | Store | SessionInterface | None = None,
        *,
        import_from: FlaskSessionInterface | None = None,
        **settings: Any,
    ) -> None:
        self._store = store
        self._import_from = import_from
        self._settings = settings
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Let an application keep its sessions so; before its first request."""
        store = self._store if self._store is not None else app.config.get(STORE)
        sessions = _make_sessions(app, store, self._settings)
        sessions.open("")  # asks nothing, and refuses now a store that would have to be awaited
        app.session_interface = _Interface(sessions, self._import_from)
        app.extensions["ctxlocal"] = sessions
        there = app.error_handler_spec[None][None]
        for error in ANSWERED:
            if error not in there:  # a handler of the application's own comes first
                app.register_error_handler(error, _answer)
        _answer_at_the_end(app)
        _follow_logins(app)


def sessions_of(app: flask.Flask | None = None) -> Any:
    """Return what keeps an application's sessions: by it a user's are listed and revoked.

    :param app: None is the current one.
    """
    return (app or flask.current_app).extensions["ctxlocal"]


class _Interface(FlaskSessionInterface):
    """What Flask asks for sessions."""

    def __init__(
        self, sessions: SessionInterface, import_from: FlaskSessionInterface | None
    ) -> None:
        self._sessions = sessions
        self._import_from = import_from

    def open_session(self, app: flask.Flask, request: flask.Request) -> Any:
        session = self._sessions.open(request.environ.get("HTTP_COOKIE", ""))
        if self._import_from is not None and request.cookies:
            # Asked first, and ours only if that has something: to ask ours is a use of it.
            former = self._import_from.open_session(app, request)
            with suppress(StoreUnavailableError):  # the view is told, if it uses the session
                if former and session.new:
                    _take_over(app, session, former)
                    request.environ[TAKEN_OVER] = True
        return session

    def save_session(self, app: flask.Flask, session: Any, response: flask.Response) -> None:
        self._sessions.save(session).merge_into_response(response)
        if IS_KEPT in flask.request.environ:
            session.accessed = True  # a test may look first now: it misses no Vary
        if self._import_from is not None and flask.request.environ.get(TAKEN_OVER):
            _end_former(app, self._import_from, response)

    def make_null_session(self, app: flask.Flask) -> Any:
        return self._sessions.null()

    def is_null_session(self, obj: object) -> bool:
        return self._sessions.is_null_session(obj)


def _make_sessions(app: flask.Flask, store: Any, settings: dict[str, Any]) -> SessionInterface:
    if isinstance(store, SessionInterface):
        if settings:
            raise SessionConfigError(next(iter(settings)), f"give it to {type(store).__name__}")
        return store
    if store is None:
        raise SessionConfigError(
            STORE, 'it is not set; app.config["SESSION_STORE"] is a URL, as "sqlite:///sessions.db"'
        )
    idle = app.permanent_session_lifetime.total_seconds()
    defaults: dict[str, Any] = {
        "cookie": _make_cookie(app),
        "idle_timeout": idle,
        "absolute_timeout": max(ABSOLUTE_TIMEOUT, idle),
    }
    if store in ("signed", "encrypted"):
        kind = SignedCookieSessions if store == "signed" else EncryptedCookieSessions
        if not app.secret_key:
            raise SessionConfigError("SECRET_KEY", f"it is not set, and {store!r} needs it")
        keys = [app.secret_key, *(app.config.get("SECRET_KEY_FALLBACKS") or ())]
        return kind(keys, **(defaults | settings))
    if isinstance(store, str):
        from ..sessions.stores.url import open_store

        store = open_store(store)
    defaults["same_key"] = {FLASHES: merge_flashes}
    made: SessionInterface = StoredSessions(store, **(defaults | settings))
    return made


def _make_cookie(app: flask.Flask) -> Cookie:
    config = app.config
    return Cookie(
        config["SESSION_COOKIE_NAME"],
        secure=bool(config["SESSION_COOKIE_SECURE"]),
        http_only=bool(config["SESSION_COOKIE_HTTPONLY"]),
        same_site=config["SESSION_COOKIE_SAMESITE"] or "Lax",
        path=config["SESSION_COOKIE_PATH"] or config["APPLICATION_ROOT"],
        domain=config["SESSION_COOKIE_DOMAIN"] or None,
        partitioned=bool(config.get("SESSION_COOKIE_PARTITIONED", False)),
    )


def merge_flashes(key: str, loaded: Any, theirs: Any, mine: Any) -> Any:
    """Keep the messages of two requests that change them at once.

    The policy ``same_key`` for the key under which Flask keeps all messages, if none is given.
    """
    return merged(loaded or (), theirs or (), mine or ()) or None


def _answer(error: SessionError) -> flask.Response:
    if error.status == 503:
        flask.current_app.logger.error("%s", error, exc_info=error)
    status, headers, body = refusal_of(error)
    return flask.Response(body, status, headers)


def _answer_at_the_end(app: flask.Flask) -> None:
    """Let error handlers answer what is found in after_request functions, and by the save.

    Flask asks them for the view's errors alone. Flask-Login looks at the session after every
    request, so that a store that is down would be a 500 for all.
    """
    process = app.process_response

    def process_response(*arguments: Any) -> flask.Response:
        try:
            return process(*arguments)
        except ANSWERED as error:
            arguments[-1].close()  # the response, which is not sent
            return app.make_response(app.handle_user_exception(error))

    app.process_response = process_response  # type: ignore[assignment, method-assign]


def _take_over(app: flask.Flask, session: Session, former: Any) -> None:
    take_over(session, former, app.logger)
    if getattr(former, "permanent", False):
        session.permanent = True
    session.pop("_permanent", None)
    if (user := session.get("_user_id")) is not None:  # Flask-Login's
        _log_in(session, user)
        session.authenticated_at = None  # nobody knows


def _end_former(app: flask.Flask, former: FlaskSessionInterface, response: flask.Response) -> None:
    """Delete the cookie that was taken over, lest it logs in again who logs out."""
    name = former.get_cookie_name(app)
    if any(line.startswith(f"{name}=") for line in response.headers.getlist("Set-Cookie")):
        return  # ours has replaced it
    response.delete_cookie(
        name,
        path=former.get_cookie_path(app),
        domain=former.get_cookie_domain(app),
        secure=former.get_cookie_secure(app),
        httponly=former.get_cookie_httponly(app),
        samesite=former.get_cookie_samesite(app),
    )


def _follow_logins(app: flask.Flask) -> None:
    try:
        import flask_login
    except ImportError:
        return
    for signal, receiver in (
        (flask_login.user_logged_in, _logged_in),
        (flask_login.user_loaded_from_cookie, _remembered),
        (flask_login.user_login_confirmed, _confirmed),
        (flask_login.user_logged_out, _logged_out),
        (flask_login.session_protected, _protected),
    ):
        signal.connect(receiver, app)


def _logged_in(app: flask.Flask, user: Any) -> None:
    session = _session()
    _log_in(session, user.get_id())
    if session.get("_fresh") is False:
        session.authenticated_at = None


def _remembered(app: flask.Flask, user: Any) -> None:
    _log_in(_session(), user.get_id())
    _session().authenticated_at = None  # not now, but when the cookie was made


def _confirmed(app: flask.Flask, **_: object) -> None:
    session = _session()
    session.authenticated_at = time.time()


def _logged_out(app: flask.Flask, **_: object) -> None:
    """End the record, so that its id logs nobody in; what Flask-Login keeps goes on in another."""
    session = _session()
    if session.user is not None:
        _change_user(session, None, dict(session))


def _protected(app: flask.Flask, **_: object) -> None:
    """Where its protection is "strong", Flask-Login has logged out what another browser sent."""
    if "_user_id" not in _session():
        _logged_out(app)


def _log_in(session: Session, user: Any) -> None:
    # Of another user's session nothing else is left.
    _change_user(session, str(user), {key: session[key] for key in LOGIN if key in session})


def _change_user(session: Session, user: str | None, kept: dict[str, Any]) -> None:
    permanent = session.permanent  # the application's choice for this browser, as in Flask
    session.user = user
    session.update(kept)
    session.permanent = permanent


def _session() -> Session:
    session: Any = flask.session
    found: Session = session._get_current_object()
    return found
