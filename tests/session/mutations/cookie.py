"""R13 to R18: the cookie, as it is written and read."""

from __future__ import annotations

from .mutation import COOKIE, HEADERS, IN_COOKIE, RECORD, SETTINGS, TOKEN, WSGI, broken

MUTATIONS = (
    broken(
        13,
        "another name by default",
        COOKIE,
        'name: str = "__Host-session"',
        'name: str = "session"',
    ),
    broken(
        13,
        "scripts reach it by default",
        COOKIE,
        "http_only: bool = True",
        "http_only: bool = False",
    ),
    broken(
        13,
        "SameSite is not written",
        COOKIE,
        'parts.append(f"; SameSite={self.same_site}")',
        "pass",
    ),
    broken(13, "Secure is not written", COOKIE, 'parts.append("; Secure")', "pass"),
    broken(13, "Partitioned is not written", COOKIE, 'parts.append("; Partitioned")', "pass"),
    broken(
        13,
        "a domain with __Host- is accepted",
        COOKIE,
        "if host and self.domain is not None:",
        "if False:",
    ),
    broken(
        13,
        "SameSite=None without Secure is accepted",
        COOKIE,
        'if self.same_site == "None":',
        "if False:",
    ),
    broken(
        13,
        "no switch for plain HTTP",
        COOKIE,
        "return cls(name, secure=False)",
        "return cls(name)",
    ),
    broken(
        14,
        "the deletion has attributes of its own",
        COOKIE,
        '=; Max-Age=0{self._tail}"',
        '=; Max-Age=0; Path=/"',
    ),
    broken(
        14,
        "the deletion sets an empty cookie",
        COOKIE,
        '=; Max-Age=0{self._tail}"',
        '={self._tail}"',
    ),
    broken(
        14,
        "a log-out leaves the cookie",
        RECORD,
        "self._send = False if self._has_cookie() else None",
        "self._send = None",
    ),
    broken(15, "larger cookies are sent", COOKIE, "if size > MAX_SIZE:", "if False:"),
    broken(
        15,
        "the name does not count",
        COOKIE,
        "size = len(self.name) + len(value)",
        "size = len(value)",
    ),
    broken(
        15,
        "the status is given before the session is saved",
        WSGI,
        "        asked = self._end_session(",
        "        self._start(status, headers)\n        asked = self._end_session(",
    ),
    broken(
        15,
        "Max-Age over 400 days",
        COOKIE,
        "if not 0 < max_age <= MAX_AGE:",
        "if not 0 < max_age:",
    ),
    broken(
        15,
        "Max-Age is not cut down to 400 days",
        RECORD,
        "min(int(self._sessions.idle_timeout), MAX_AGE)",
        "int(self._sessions.idle_timeout)",
    ),
    broken(
        16,
        "a cookie is set twice",
        HEADERS,
        '("Set-Cookie", cookie) for cookie in self.cookies)',
        '("Set-Cookie", cookie) for cookie in self.cookies * 2)',
    ),
    broken(
        16,
        "a value may hold controls",
        COOKIE,
        "if not value.isascii() or value.encode().translate(None, _OCTETS):",
        "if not value.isascii():",
    ),
    broken(
        16,
        "a path may hold controls",
        COOKIE,
        're.compile(r"/[ -:<-~]*")',
        're.compile(r"/[^;]*", re.ASCII)',
    ),
    broken(
        17,
        "only the first id is looked up",
        SETTINGS,
        "[:MOST_CANDIDATES]",
        "[:1]",
    ),
    broken(
        17,
        "only the first token is opened",
        IN_COOKIE,
        '(R17)."""\n        for token in tokens:',
        '(R17)."""\n        for token in tokens[:1]:',
    ),
    broken(
        17, "only one value is found", COOKIE, "start = cookies.find(sought, end)", "start = -1"
    ),
    broken(
        18,
        "quotes swallow cookies",
        COOKIE,
        '    sought = name + "="\n',
        '    sought = name + "="\n    cookies = re.sub(r\'"[^"]*"\', "", cookies)\n',
    ),
    broken(
        18,
        "quotes swallow ids",
        TOKEN,
        'rf"(?:^|;)[ \\t]*',
        'rf"(?:^|;)(?=[^\\"]*(?:\\"[^\\"]*\\"[^\\"]*)*\\Z)[ \\t]*',
    ),
)
