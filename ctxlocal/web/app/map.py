"""Map: werkzeug's URL map, which keeps the answers for paths that are a rule's own text.

Most requests are for such a path, and werkzeug finds the same rule for it each time: that
depends on the method, the path, the rules, and whether it is a WebSocket; and on the domain,
which is the map's own unless hosts are matched. So werkzeug is asked once for each method of
such a rule, and the adapter is bound when something is asked of it, as for a URL. All else
goes through werkzeug: variable parts, defaults, aliases, redirects, errors, WebSockets, hosts
that it has not found valid yet, bytes beyond ASCII.

No more is kept than the rules have methods: no path that leads nowhere, or to a variable part.
It is forgotten when a rule is added; one that was added is not to be changed afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from werkzeug.routing import Map as BaseMap
from werkzeug.routing import MapAdapter, Rule, RuleFactory

MOST_HOSTS: Final = 128  #: hosts that are known to be valid, with the port and the scheme
LONGEST_HOST: Final = 255  #: characters

_HOST = ("wsgi.url_scheme", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT")
_REST = ("REQUEST_METHOD", "PATH_INFO", "SCRIPT_NAME", "QUERY_STRING")


class Map(BaseMap):
    """A URL map; see the module. Any number of threads may match requests."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[str, str | None], Rule] = {}
        self._hosts: set[tuple[object, ...]] = set()

    def add(self, rulefactory: RuleFactory) -> None:
        """Add rules, and forget what is known: one of them may come before those so far."""
        try:
            super().add(rulefactory)
        finally:
            # Replaced, not emptied: who asks werkzeug meanwhile keeps the answer in the old one.
            self._known = {}

    def match_known(self, environ: dict[str, Any]) -> tuple[MapAdapter, Rule] | None:
        """Return what werkzeug would find for a request, or None if it has to be asked.

        The view has no arguments then.
        """
        get = environ.get
        host = environ["wsgi.url_scheme"], get("HTTP_HOST"), get("SERVER_NAME"), get("SERVER_PORT")
        if host not in self._hosts or self.host_matching or "HTTP_UPGRADE" in environ:
            return None
        method: str = environ["REQUEST_METHOD"]
        path: str | None = get("PATH_INFO")
        rule = self._known.get((method, path))
        if rule is None:
            return None
        root, query = get("SCRIPT_NAME"), get("QUERY_STRING")
        if not ((root or "").isascii() and (query or "").isascii()):  # they may be no bytes at all
            return None
        return _LateAdapter(self, (*host, method, path, root, query)), rule

    def _is_always(self, rule: Rule, adapter: MapAdapter, environ: dict[str, Any]) -> bool:
        """Whether each request of this method for this path leads to ``rule``."""
        return (
            environ.get("PATH_INFO") == rule.rule
            and environ["REQUEST_METHOD"] in (rule.methods or ())
            and not rule.arguments  # nor defaults, for which another rule may be preferred
            and not rule.alias
            and not adapter.websocket
            and all(type(other) is Rule for other in self.iter_rules())
        )

    def _keep_host(self, host: tuple[str | None, ...]) -> None:
        if len(str(host)) > LONGEST_HOST:
            return
        if len(self._hosts) >= MOST_HOSTS:  # clients choose what they call it
            self._hosts = set()
        self._hosts.add(host)


def match(adapter: MapAdapter, environ: dict[str, Any]) -> tuple[Rule, Mapping[str, Any]]:
    """Ask werkzeug, by an adapter that is bound to a request, and keep what can be kept.

    :raises HTTPException: as :meth:`MapAdapter.match`.
    """
    url_map = adapter.map
    if not isinstance(url_map, Map):  # another was put in its place
        return adapter.match(return_rule=True)
    known = url_map._known  # before
    rule, arguments = adapter.match(return_rule=True)
    if url_map._is_always(rule, adapter, environ):
        known[environ["REQUEST_METHOD"], environ["PATH_INFO"]] = rule
        url_map._keep_host(tuple(environ.get(name) for name in _HOST))
    return rule, arguments


class _LateAdapter(MapAdapter):
    """An adapter that is bound, to what the request was when it came, when it is first used."""

    def __init__(self, url_map: Map, values: tuple[Any, ...]) -> None:
        self.map = url_map
        self._values = values

    def __getattr__(self, name: str) -> Any:  # of what binding would have set
        values = self.__dict__.get("_values")
        if values is None or name.startswith("__"):
            raise AttributeError(name)
        pairs = zip(_HOST + _REST, values, strict=True)
        environ = {key: value for key, value in pairs if value is not None}
        for key, value in vars(self.map.bind_to_environ(environ)).items():
            self.__dict__.setdefault(key, value)
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(name) from None
