"""Cookie: how a session's cookie is written, and :func:`scan`, how it is read.

Sources: RFC 6265, rfc6265bis (name prefixes, SameSite, sizes) and CHIPS (Partitioned).
http.cookies is not used: it unquotes values as RFC 2109 had it, which lets one cookie
swallow the next, and takes 15 µs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import cache
from typing import Literal

from .errors import CookieTooLargeError, SessionConfigError

__all__ = ["MAX_AGE", "MAX_SIZE", "Cookie", "SameSite", "clear_site_data", "scan"]

MAX_SIZE = 4096  #: bytes of name and value together; browsers drop a cookie over it
MAX_AGE = 400 * 86400  #: seconds; browsers cut a longer Max-Age down to it

SameSite = Literal["Lax", "Strict", "None"]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_PATH = re.compile(r"/[ -:<-~]*")  # RFC 6265, 4.1.1: no controls, no ";"
_DOMAIN = re.compile(r"\.?[0-9A-Za-z_-]+(\.[0-9A-Za-z_-]+)*")
_OCTETS = bytes({*range(0x21, 0x7F)} - set(b'",;\\'))  # RFC 6265, 4.1.1: cookie-octet
_DIRECTIVES = frozenset(
    {"cache", "clientHints", "cookies", "executionContexts", "storage", "*"}
    | {"prefetchCache", "prerenderCache"}
)


@dataclass(frozen=True, slots=True)
class Cookie:
    """The name and attributes of a session's cookie. The defaults are the strictest that work.

    A combination that browsers would drop, or read in another way than it looks, is
    refused here, not when a user cannot log in. Immutable; safe from anywhere.

    :param name: a token of RFC 9110. Browsers hold a name to what its prefix, in either
        case, promises: ``__Host-`` needs ``secure``, ``path="/"`` and no ``domain``;
        ``__Secure-`` needs ``secure``; ``__Http-`` needs ``secure`` and ``http_only``,
        and ``__Host-Http-`` all of these.
    :param secure: sent over HTTPS alone.
    :param http_only: out of reach for scripts.
    :param same_site: ``"Lax"``, ``"Strict"`` or ``"None"``, which needs ``secure``.
    :param path: begins with ``/``.
    :param domain: None: this host alone; else this domain and all below it.
    :param partitioned: kept apart for each site that embeds this one; needs ``secure``.
    :raises SessionConfigError: as said.
    """

    name: str = "__Host-session"
    _: KW_ONLY
    secure: bool = True
    http_only: bool = True
    same_site: SameSite = "Lax"
    path: str = "/"
    domain: str | None = None
    partitioned: bool = False
    _head: str = field(init=False, repr=False, compare=False)
    _tail: str = field(init=False, repr=False, compare=False)
    _deletion: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check_syntax()
        self._check_combination()
        object.__setattr__(self, "_head", f"{self.name}=")
        object.__setattr__(self, "_tail", self._attributes())
        object.__setattr__(self, "_deletion", f"{self.name}=; Max-Age=0{self._tail}")

    @classmethod
    def for_development(cls, name: str = "ctxlocal-session") -> Cookie:
        """Return a cookie that works over plain HTTP. Never for a site that people use.

        It is neither Secure nor bound to this host by its name, so whoever shares the
        network can read it and set it.
        """
        return cls(name, secure=False)

    def set(self, value: str, max_age: int | None) -> str:
        """Return the value of a Set-Cookie field.

        :param value: characters that a cookie may hold: printable ASCII but space,
            ``"``, ``,``, ``;`` and backslash.
        :param max_age: seconds, from 1 to :data:`MAX_AGE`; None: until the browser ends.
        :raises CookieTooLargeError: name and value exceed :data:`MAX_SIZE` bytes.
        :raises ValueError: ``value`` or ``max_age`` is none of these.
        """
        if not value.isascii() or value.encode().translate(None, _OCTETS):
            raise ValueError(f"The value of the cookie {self.name!r} has illegal characters.")
        if max_age is not None and not 0 < max_age <= MAX_AGE:
            raise ValueError(f"max_age is {max_age!r}; it is 1 to {MAX_AGE} seconds.")
        return self._line(value, max_age)

    def _line(self, token: str, max_age: int | None) -> str:
        """Do what :meth:`set` does, for a value and a ``max_age`` that are known to be good."""
        size = len(self.name) + len(token)
        if size > MAX_SIZE:
            raise CookieTooLargeError(self.name, size, MAX_SIZE)
        if max_age is None:
            return f"{self._head}{token}{self._tail}"
        return f"{self._head}{token}; Max-Age={max_age:d}{self._tail}"

    def delete(self) -> str:
        """Return the value of a Set-Cookie field that removes the cookie.

        It repeats every attribute: browsers remove only what has the same name, domain
        and path, and take a prefixed name only with what the prefix needs.
        """
        return self._deletion

    def _check_syntax(self) -> None:
        if not isinstance(self.name, str) or not _TOKEN.fullmatch(self.name):
            raise SessionConfigError("name", f"{self.name!r} is no token of RFC 9110")
        if self.same_site not in ("Lax", "Strict", "None"):
            raise SessionConfigError(
                "same_site", f"{self.same_site!r} is none of 'Lax', 'Strict', 'None'"
            )
        if not isinstance(self.path, str) or not _PATH.fullmatch(self.path):
            raise SessionConfigError(
                "path", f"{self.path!r} does not begin with '/', or holds ';' or a control"
            )
        if self.domain is not None and not (
            isinstance(self.domain, str) and _DOMAIN.fullmatch(self.domain)
        ):
            raise SessionConfigError("domain", f"{self.domain!r} is no domain name in ASCII")

    def _check_combination(self) -> None:
        prefix = self.name.lower()
        host = prefix.startswith("__host-")
        http = prefix.startswith(("__http-", "__host-http-"))
        if not self.secure:
            if host or http or prefix.startswith("__secure-"):
                raise SessionConfigError("secure", f"the prefix of {self.name!r} needs it")
            if self.same_site == "None":
                raise SessionConfigError("secure", "same_site='None' needs it")
            if self.partitioned:
                raise SessionConfigError("secure", "partitioned=True needs it")
        if host and self.path != "/":
            raise SessionConfigError("path", f"the prefix of {self.name!r} needs '/'")
        if host and self.domain is not None:
            raise SessionConfigError("domain", f"the prefix of {self.name!r} forbids one")
        if http and not self.http_only:
            raise SessionConfigError("http_only", f"the prefix of {self.name!r} needs it")

    def _attributes(self) -> str:
        parts = [f"; Path={self.path}"]
        if self.domain is not None:
            parts.append(f"; Domain={self.domain}")
        if self.secure:
            parts.append("; Secure")
        if self.http_only:
            parts.append("; HttpOnly")
        parts.append(f"; SameSite={self.same_site}")
        if self.partitioned:
            parts.append("; Partitioned")
        return "".join(parts)


def cookie_or_default(cookie: Cookie | None) -> Cookie:
    """Return the cookie of a session interface that was given this one.

    :raises SessionConfigError: it is no Cookie.
    """
    if cookie is None:
        return Cookie()
    if not isinstance(cookie, Cookie):
        name = cookie if isinstance(cookie, str) else "session"
        raise SessionConfigError("cookie", f"{cookie!r} is no Cookie; use Cookie({name!r})")
    return cookie


def scan(cookies: str, name: str) -> list[str]:
    """Return every value of the cookie ``name``, in the order they came in.

    Browsers send several of one name when they were set for different paths or domains,
    which a neighbouring subdomain can do; who reads them has to tell them apart. A ``;``
    ends a cookie wherever it stands, quoted or not, as browsers have it. Values are as
    they came; a cookie without a name, or with blanks inside it, is another cookie.

    Takes any text and never raises. O(length); a header without the name costs one search.

    :param cookies: the value of a Cookie header.
    """
    return finder(name)(cookies)


@cache
def finder(name: str) -> Callable[[str], list[str]]:
    """Return what does :func:`scan` for one name."""
    pattern = rf"(?:^|;)[ \t]*{re.escape(name)}=[ \t]*((?:[^;]*[^; \t])?)"
    find_all = re.compile(pattern).findall
    start = f"{name}="

    def find(cookies: str) -> list[str]:
        before, found, rest = cookies.partition(start)
        if not found:
            return []
        if start in rest or (before and before[-2:] != "; "):
            return find_all(cookies)
        # Once, and where browsers write a name: half the time of the pattern, or a quarter.
        return [rest.partition(";")[0].strip(" \t")]

    return find


def clear_site_data(*directives: str) -> tuple[str, str]:
    """Return the header field that makes the browser forget this site, for after a logout.

    ``headers.append(clear_site_data())``, or ``response.headers.add(*clear_site_data())``.
    Browsers heed it over HTTPS alone. ``"cookies"`` removes the cookies of the whole
    registrable domain. Source: W3C Clear Site Data.

    :param directives: of ``"cache"``, ``"cookies"``, ``"storage"`` (these three by
        default), ``"executionContexts"``, ``"clientHints"``, ``"prefetchCache"``,
        ``"prerenderCache"`` and ``"*"``.
    :raises ValueError: there is no such directive.
    """
    for directive in directives:
        if directive not in _DIRECTIVES:
            raise ValueError(f"Clear-Site-Data has no directive {directive!r}.")
    quoted = (f'"{directive}"' for directive in directives or ("cache", "cookies", "storage"))
    return "Clear-Site-Data", ", ".join(quoted)
