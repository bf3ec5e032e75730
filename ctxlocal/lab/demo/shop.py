"""The demo's application: a shop with a cart, a login, and "where am I signed in?".

It is an ordinary :class:`~ctxlocal.web.App`. The cart is a dict in the session that is
changed in place; the session notices. Under ASGI the same views run in threads.
"""

from __future__ import annotations

from datetime import datetime, timezone
from hmac import compare_digest
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from ...sessions.cookie import clear_site_data
from ...sessions.in_store.sessions import StoredSessions
from ...web.app import App, redirect, url_for
from ...web.context import flash, get_flashed_messages, request, session
from .at_once import AtOnce
from .owner import owner_name


class Product(NamedTuple):
    """What can be bought."""

    title: str
    cents: int


PRODUCTS = {
    "lamp": Product("A lamp", 4900),
    "chair": Product("A chair", 12900),
    "plant": Product("A plant", 1950),
    "clock": Product("A clock", 2700),
}
USERS = ("ada", "grace", "edsger")
MOST_PIECES = 99


def make_shop(sessions: StoredSessions[Any], server_name: str) -> App:
    """Return the application over these sessions.

    :param server_name: what the pages say they are served by.
    """
    app = App("shop", sessions=sessions)
    pages = _Pages(app, sessions.store.name, server_name)

    @app.route("/")
    def shop() -> str:
        return pages.render("shop.html", products=PRODUCTS)

    @app.route("/style.css")
    def style() -> Response:
        css = files(__package__).joinpath("templates/style.css").read_bytes()
        return Response(css, mimetype="text/css", headers={"Cache-Control": "max-age=3600"})

    @app.route("/cart")
    def cart() -> str:
        pieces = session.get("cart", {})
        lines = [
            {"name": name, "title": PRODUCTS[name].title, "pieces": number}
            | {"cents": PRODUCTS[name].cents * number}
            for name, number in pieces.items()
            if name in PRODUCTS  # a store may outlive what is sold
        ]
        return pages.render("cart.html", lines=lines, total=sum(line["cents"] for line in lines))

    @app.route("/cart/add/<name>", methods=["POST"])
    def add(name: str) -> Response:
        if name in PRODUCTS:
            pieces = session.setdefault("cart", {})
            pieces[name] = min(pieces.get(name, 0) + 1, MOST_PIECES)
            flash(f"{PRODUCTS[name].title} is in your cart.")
        return redirect(url_for("shop"), 303)

    @app.route("/cart/remove/<name>", methods=["POST"])
    def remove(name: str) -> Response:
        session.get("cart", {}).pop(name, None)
        return redirect(url_for("cart"), 303)

    @app.route("/cart/order", methods=["POST"])
    def checkout() -> Response:
        if session.user is None:
            flash("Sign in to order.", "error")
            return redirect(url_for("login"), 303)
        if session.pop_once("cart"):
            flash(f"Thank you, {session.user}: that was order {session.incr('orders')}.")
        return redirect(url_for("shop"), 303)

    @app.route("/login", methods=["GET", "POST"])
    def login() -> Any:
        if request.method == "GET":
            return pages.render("login.html", names=USERS)
        name = request.form.get("name", "")
        password = request.form.get("password", "").encode()
        if name not in USERS or not compare_digest(password, name.encode()):
            flash("That is not the name and password of a user.", "error")
            return redirect(url_for("login"), 303)
        session.user = name
        session.permanent = "keep" in request.form
        session["agent"] = _device(request.user_agent.string)
        flash(f"Welcome, {name}.")
        return redirect(url_for("shop"), 303)

    @app.route("/logout", methods=["POST"])
    def logout() -> Response:
        session.destroy()
        response = redirect(url_for("shop"), 303)
        response.headers.add(*clear_site_data("cache", "storage"))
        return response

    @app.route("/places")
    def places() -> Any:
        if session.user is None:
            return redirect(url_for("login"), 303)
        return pages.render("places.html", places=sessions.list_sessions(session.user, session))

    @app.route("/places/revoke", methods=["POST"])
    def revoke() -> Response:
        if session.user is not None:
            ended = sessions.revoke(request.form.get("handle", ""), user=session.user)
            flash("Signed out there." if ended else "That session had ended already.")
        return redirect(url_for("places"), 303)

    @app.route("/places/revoke-others", methods=["POST"])
    def revoke_others() -> Response:
        if session.user is not None:
            count = sessions.revoke_all(session.user, except_current=session)
            flash(f"Signed out in {count} other place{'' if count == 1 else 's'}.")
        return redirect(url_for("places"), 303)

    AtOnce(app, pages.render, is_async=server_name == "asyncio")

    @app.errorhandler(HTTPException)
    def error(problem: HTTPException) -> Any:
        page = pages.render("error.html", title=problem.name, text=problem.description)
        return page, problem.code

    return app


class _Pages:
    """The templates, and what every page shows."""

    def __init__(self, app: App, store_name: str, server_name: str) -> None:
        self._templates = Environment(loader=PackageLoader(__package__), autoescape=True)
        self._templates.filters.update(when=_when, price=_price)
        self._templates.globals.update(
            url_for=url_for,
            get_flashed_messages=get_flashed_messages,
            store_name=store_name,
            server_name=server_name,
            owner_name=owner_name,
        )

    def render(self, name: str, **values: Any) -> str:
        cart_size = sum(session.get("cart", {}).values())
        template = self._templates.get_template(name)
        return template.render(user=session.user, cart_size=cart_size, **values)


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%d %b, %H:%M UTC")


def _price(cents: int) -> str:
    return f"€ {cents / 100:.2f}"


def _device(agent: str) -> str:
    """Return what a person knows a browser by, of its User-Agent."""
    for word in ("Firefox", "Edg", "Chrom", "Safari", "curl"):
        if word in agent:
            browser = {"Edg": "Edge", "Chrom": "Chromium"}.get(word, word)
            break
    else:
        browser = "A browser"
    systems = ("Android", "iPhone", "Windows", "Mac", "Linux")
    system = next((name for name in systems if name in agent), None)
    return browser if system is None else f"{browser} on {system}"
