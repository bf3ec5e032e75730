"""Map: werkzeug's URL map, which asks werkzeug once for what stays the same.

That is a host: whether it is valid, and its name in ASCII, depends on four values of an environ,
and adapters for the same host are made without looking again. And a path that is a rule's own text,
as most are: which rule it leads to depends on the method, the rules, and whether it is a WebSocket;
and on the domain, which is the map's own unless hosts are matched. So werkzeug is asked once for
each method of such a rule. All else it is asked each time: variable parts, defaults, aliases,
redirects, errors, WebSockets.

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


class Map(BaseMap):
    """A URL map; see the module. Any number of threads may match requests."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[str, str], Rule] = {}
        self._hosts: dict[tuple[object, ...], str] = {}

    def add(self, rulefactory: RuleFactory) -> None:
        """Add rules, and forget what is known: one of them may come before those so far."""
        try:
            super().add(rulefactory)
        finally:
            # Replaced, not emptied: who asks werkzeug meanwhile keeps the answer in the old one.
            self._known = {}

    def bind_to_environ(
        self, environ: Any, server_name: str | None = None, subdomain: str | None = None
    ) -> MapAdapter:
        """Return an adapter for a request, as werkzeug's map does.

        :raises BadHost: the request's host is none.
        """
        is_by_itself = server_name is None and subdomain is None and type(environ) is dict
        if not is_by_itself or "HTTP_UPGRADE" in environ:
            return super().bind_to_environ(environ, server_name, subdomain)
        get = environ.get
        host = environ["wsgi.url_scheme"], get("HTTP_HOST"), get("SERVER_NAME"), get("SERVER_PORT")
        name = self._hosts.get(host)
        if name is None:
            adapter = super().bind_to_environ(environ)
            self._keep_host(host, adapter.server_name)
            return adapter
        root, path, query = get("SCRIPT_NAME"), get("PATH_INFO"), get("QUERY_STRING")
        return MapAdapter(
            self,
            name,
            "/" if root is None else root if root.isascii() else _decoded(root),
            None if self.host_matching else "",
            host[0],
            "/" if path is None else path if path.isascii() else _decoded(path),
            environ["REQUEST_METHOD"],
            query if query is None or query.isascii() else _decoded(query),
        )

    def _keep_host(self, host: tuple[object, ...], name: str) -> None:
        if len(str(host)) > LONGEST_HOST:
            return
        if len(self._hosts) >= MOST_HOSTS:  # clients choose what they call it
            self._hosts = {}
        self._hosts[host] = name

    def _is_always(self, rule: Rule, adapter: MapAdapter) -> bool:
        """Whether each request of this method for this path leads to ``rule``."""
        return (
            adapter.path_info == rule.rule
            and adapter.default_method in (rule.methods or ())
            and not rule.arguments  # nor defaults, for which another rule may be preferred
            and not rule.alias
            and all(type(other) is Rule for other in self.iter_rules())
        )


def match(adapter: MapAdapter) -> tuple[Rule, Mapping[str, Any]]:
    """Return what ``adapter``, which is bound to a request, matches; keep what can be kept.

    :raises HTTPException: as :meth:`MapAdapter.match`.
    """
    url_map = adapter.map
    if type(url_map) is not Map or adapter.websocket or url_map.host_matching:
        return adapter.match(return_rule=True)
    known = url_map._known  # before
    place = adapter.default_method, adapter.path_info
    if (rule := known.get(place)) is not None:
        return rule, {}
    rule, arguments = adapter.match(return_rule=True)
    if url_map._is_always(rule, adapter):
        known[place] = rule
    return rule, arguments


def _decoded(text: str) -> str:
    """Return the text that an environ has as bytes; see PEP 3333."""
    return text.encode("latin-1").decode(errors="replace")
