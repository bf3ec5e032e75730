"""Complete responses: with the body at hand, made and handed over by a shorter way than werkzeug's.

That one serves any response: it looks up and copies each header several times. Most are a text
with a type and a length, of a class that overrides nothing of it. They are made of the same
parts here, and the server gets the same; all others go werkzeug's way.
"""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response

R = TypeVar("R", bound=Response)
WireForm: TypeAlias = "tuple[list[bytes], list[tuple[str, str]]]"  #: a body and headers

_PARTS = vars(Response("")).keys()
_IS_KNOWN = (
    list(vars(Headers())) == ["_list"]
    and {
        *("headers", "response", "direct_passthrough", "_status", "_status_code", "_on_close"),
    }
    == _PARTS
)
_CHANGED = ("location", "content-location")  # on the way to the server
_INIT, _SET_DATA, _CLEAN = Response.__init__, Response.set_data, Response._clean_status
_TYPES = {
    "text/html": ("Content-Type", "text/html; charset=utf-8"),
    "application/json": ("Content-Type", "application/json"),
}


def made_of(kind: type[R], body: str | bytes, mimetype: str | None) -> R:
    """Return ``kind(body, mimetype=mimetype)``.

    :param kind: a class that defines nothing but ``default_mimetype``; it may have been changed.
    """
    content_type = _TYPES.get(mimetype or kind.default_mimetype or "")
    if (
        content_type is None
        or not _IS_KNOWN
        or kind.__init__ is not _INIT
        or kind.set_data is not _SET_DATA
        or kind._clean_status is not _CLEAN
        or kind.default_status != 200
        or not kind.automatically_set_content_length
    ):
        return kind(body, mimetype=mimetype)
    data = body.encode() if isinstance(body, str) else body
    made: Any = kind.__new__(kind)
    made.headers = headers = Headers.__new__(Headers)
    headers._list = [content_type, ("Content-Length", str(len(data)))]
    made._status, made._status_code = "200 OK", 200
    made.direct_passthrough = False
    made._on_close = []
    made.response = [data]
    return made  # type: ignore[no-any-return]


def wire_form(response: Response, method: str) -> WireForm | None:
    """Return the body and the headers as werkzeug would give them to the server.

    None if it has to be asked: the method is HEAD, something is overridden, the body streams or
    something waits for its end, the status has no body, or a header is changed on the way.
    """
    kind, parts = type(response), response.__dict__
    if (
        method == "HEAD"
        or len(parts) != len(_PARTS)  # methods may be replaced in the object, too
        or not _IS_KNOWN
        or kind.get_wsgi_response is not Response.get_wsgi_response
        or kind.get_wsgi_headers is not Response.get_wsgi_headers
        or kind.get_app_iter is not Response.get_app_iter
        or kind.iter_encoded is not Response.iter_encoded
        or kind.is_sequence is not Response.is_sequence
    ):
        return None
    body, headers, status = parts.get("response"), parts.get("headers"), response.status_code
    if (
        type(body) is not list
        or type(headers) is not Headers
        or parts.get("_on_close") != []
        or parts.get("direct_passthrough") is not False
        or status < 200
        or status in (204, 304)
    ):
        return None
    pairs = headers._list.copy()
    has_length = False
    for name, _ in pairs:
        if (name := name.lower()) in _CHANGED:
            return None
        if name == "content-length":
            has_length = True
    if not has_length:
        return None
    return [chunk.encode() if isinstance(chunk, str) else chunk for chunk in body], pairs
