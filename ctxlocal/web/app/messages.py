"""Request and Response: werkzeug's, and how a response is made of what a view returns.

Or of what it raises: ``abort`` and ``redirect`` are werkzeug's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from ...errors import MissingDependencyError
from ..context import current_app

try:
    from werkzeug.exceptions import HTTPException
    from werkzeug.exceptions import abort as abort
    from werkzeug.routing import Rule
    from werkzeug.utils import redirect as redirect
    from werkzeug.wrappers import Request as BaseRequest
    from werkzeug.wrappers import Response as BaseResponse

    from ..json import dumps
    from .complete import made_of
except ImportError as error:
    raise MissingDependencyError("ctxlocal.web.app", "werkzeug", "web") from error


class Request(BaseRequest):
    """werkzeug's request, and where the URL led."""

    url_rule: Rule | None = None
    view_args: Mapping[str, Any] | None = None
    routing_exception: HTTPException | None = None  # raised when the view is to be called

    @property
    def endpoint(self) -> str | None:
        """The name of the matched view, None where none matched."""
        return None if self.url_rule is None else cast("str", self.url_rule.endpoint)


class Response(BaseResponse):
    """werkzeug's response; text is HTML unless it says otherwise."""

    default_mimetype = "text/html"


def response_of(rv: Any, response_class: type[Response], environ: dict[str, Any]) -> Response:
    """Make a response of what a view returned.

    :param rv: a str or bytes; a dict, list or session, which become JSON; an iterator of str or
        bytes, which streams; a response; an HTTPException; a WSGI application; or a tuple of
        one of these and a status, headers, or a status and headers.
    :raises TypeError: it is None, or nothing of that.
    """
    status = headers = None
    if type(rv) is tuple:
        rv, status, headers = _parts(rv)
    response = _of_body(rv, response_class, environ)
    if isinstance(status, int):
        response.status_code = status
    elif status is not None:
        response.status = status
    if headers is not None:
        response.headers.update(headers)
    return response


def _of_body(rv: Any, response_class: type[Response], environ: dict[str, Any]) -> Response:
    if isinstance(rv, response_class):
        return rv
    if isinstance(rv, (str, bytes)):
        return _of_text(rv, response_class)
    if isinstance(rv, (dict, list)):
        return _json_response(response_class, rv)
    if isinstance(rv, HTTPException):
        rv = rv.get_response(environ)
    if isinstance(rv, BaseResponse) or callable(rv):
        return cast("Response", response_class.force_type(cast("BaseResponse", rv), environ))
    is_async = hasattr(rv, "__aiter__")
    if isinstance(rv, Iterator) or (is_async and "asgi.scope" in environ):
        return response_class(cast("Iterator[bytes]", rv))
    what = "None: it may lack a return" if rv is None else f"a {type(rv).__name__!r} object"
    raise TypeError(
        f"The view for {environ.get('PATH_INFO')!r} returned {what}. Return a str, bytes, dict, "
        "list, iterator (asynchronous only under ASGI), response, WSGI application, or a tuple of "
        "one of these and a status and headers."
    )


def _parts(rv: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    if len(rv) == 3:
        return rv
    if len(rv) == 2:
        body, other = rv
        is_status = isinstance(other, (int, str))
        return (body, other, None) if is_status else (body, None, other)
    raise TypeError(
        f"The view returned a tuple of {len(rv)}; it takes (body, status), (body, headers) or "
        "(body, status, headers)."
    )


def _json_response(response_class: type[Response], value: Any) -> Response:
    return _of_text(dumps(value), response_class, "application/json")


def _of_text(
    text: str | bytes, response_class: type[Response], mimetype: str | None = None
) -> Response:
    if response_class is Response:
        return made_of(Response, text, mimetype)
    return response_class(text) if mimetype is None else response_class(text, mimetype=mimetype)


def jsonify(*args: Any, **kwargs: Any) -> Response:
    """Return a JSON response of one value, of several as a list, or of keywords as an object.

    It takes what a session takes, the session itself, and dataclasses: datetimes and dates
    become text as in HTTP's headers, Decimals and UUIDs text, sets arrays, as
    :mod:`ctxlocal.web.json` lists; so do the dicts and lists that views return.

    :raises TypeError: both were given, or a value is nothing that JSON has.
    :raises UnboundError: no App is at work.
    """
    if args and kwargs:
        raise TypeError("jsonify() takes values or keywords, not both")
    value = kwargs or (args[0] if len(args) == 1 else list(args))
    return _json_response(current_app.response_class, value)
