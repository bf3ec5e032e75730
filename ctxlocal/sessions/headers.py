"""SessionHeaders: what a session asks of the response's header, and how it gets in there."""

from __future__ import annotations

from typing import Any, NamedTuple


class SessionHeaders(NamedTuple):
    """What a session asks of the response's header."""

    vary: bool = False  #: the session was read or written: ``Vary: Cookie`` (R20)
    cookies: tuple[str, ...] = ()  #: values of Set-Cookie; with any, ``Cache-Control: no-store``

    def merge_into(self, headers: list[tuple[str, str]]) -> None:
        """Put them into a list of header fields, in place; what is there is kept or joined."""
        vary, cookies = self
        for field in headers:
            if len(field[0]) == 4 and field[0].lower() == "vary":  # most names have another length
                vary = vary and not lists_cookie(field[1])
        if vary:
            headers.append(("Vary", "Cookie"))
        if not cookies:
            return
        for field in headers.copy():
            if len(field[0]) == 13 and field[0].lower() == "cache-control":
                headers.remove(field)
        headers.append(("Cache-Control", "no-store"))
        for cookie in cookies:
            headers.append(("Set-Cookie", cookie))

    def merge_into_response(self, response: Any) -> None:
        """Put them into the header of a werkzeug response, which has one ``Vary`` then."""
        (vary, cookies), headers = self, response.headers
        if cookies:
            headers.remove("Cache-Control")
            headers.add("Cache-Control", "no-store")
            for cookie in cookies:
                headers.add("Set-Cookie", cookie)
        if not vary:
            return
        listed = headers.getlist("Vary")
        if not listed:
            headers.add("Vary", "Cookie")
        elif not any(map(lists_cookie, listed)):
            headers["Vary"] = ", ".join([*listed, "Cookie"])


NOTHING = SessionHeaders()
ACCESSED = SessionHeaders(vary=True)


def lists_cookie(vary: str) -> bool:
    """Whether the value of a ``Vary`` says already what a session asks for."""
    listed = [part.strip().lower() for part in vary.split(",")]
    return "cookie" in listed or "*" in listed
