"""Sentry's scopes are those of the request, inside of our middleware and around it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("sentry_sdk")

PROGRAM = """
    import threading
    from contextvars import copy_context

    import sentry_sdk
    from flask import Flask
    from sentry_sdk.integrations.flask import FlaskIntegration
    from werkzeug.test import Client

    from ctxlocal import flow
    from ctxlocal.web.wsgi import ContextMiddleware

    events = []
    sentry_sdk.init(
        dsn="http://key@127.0.0.1/1",
        before_send=lambda event, hint: events.append(event),
        auto_enabling_integrations=False,  # which import whatever is installed
        integrations=[FlaskIntegration()],
        auto_session_tracking=False,
        shutdown_timeout=0,
    )
    with sentry_sdk.isolation_scope():
        scopes = [var for var in copy_context() if var.name in ("isolation_scope", "current_scope")]
    app = Flask(__name__)

    @app.get("/<user>")
    def view(user):
        sentry_sdk.set_tag("user", user)
        report = lambda: sentry_sdk.capture_message("seen")
        report()
        with flow.ContextThreadPoolExecutor() as pool:
            pool.submit(report).result()
        thread = threading.Thread(target=report)
        thread.start()
        thread.join()
        return ""

    def serve(application):
        for user in ("ada", "bob"):
            Client(application).get(f"/{user}")

    serve(ContextMiddleware(app))
    app.wsgi_app = ContextMiddleware(app.wsgi_app, inherit=scopes)
    serve(app)
    for event in events:
        print(event["tags"]["user"], event["request"]["url"])
"""


@pytest.mark.parametrize("twin", ["native"], indirect=True)
def test_an_event_has_the_requests_scope(run_python: Callable[..., str]) -> None:
    users = [line.split() for line in run_python(PROGRAM).splitlines()]
    expected = [["ada", "http://localhost/ada"]] * 3 + [["bob", "http://localhost/bob"]] * 3
    assert users == expected * 2  # around Sentry, and inside of it
