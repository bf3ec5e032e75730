"""R13 to R18: the cookie, as it is written and read."""

from __future__ import annotations

from .mutation import broken, edit

MUTATIONS = (
    broken(
        13,
        "another name by default",
        edit('"__Host-session"', '"session"'),
    ),
    broken(
        13,
        "scripts reach it by default",
        edit("http_only: bool = True", "http_only: bool = False"),
    ),
    broken(
        13,
        "SameSite is not written",
        edit('parts.append(f"; SameSite={self.same_site}")', "pass"),
    ),
    broken(
        13,
        "Secure is not written",
        edit('parts.append("; Secure")', "pass"),
    ),
    broken(
        13,
        "Partitioned is not written",
        edit('parts.append("; Partitioned")', "pass"),
    ),
    broken(
        13,
        "a domain with __Host- is accepted",
        edit("host and self.domain is not None", "False"),
    ),
    broken(
        13,
        "SameSite=None without Secure is accepted",
        edit('self.same_site == "None"', "False"),
    ),
    broken(
        13,
        "no switch for plain HTTP",
        edit("cls(name, secure=False)", "cls(name)"),
    ),
    broken(
        14,
        "the deletion has attributes of its own",
        edit('f"{self.name}=; Max-Age=0{self._tail}"', 'f"{self.name}=; Max-Age=0; Path=/"'),
    ),
    broken(
        14,
        "the deletion sets an empty cookie",
        edit('f"{self.name}=; Max-Age=0{self._tail}"', 'f"{self.name}={self._tail}"'),
    ),
    broken(
        14,
        "a log-out leaves the cookie",
        edit('"" if self._has_cookie() else None', "None"),
    ),
    broken(
        15,
        "larger cookies are sent",
        edit("size > MAX_SIZE", "False"),
    ),
    broken(
        15,
        "the name does not count",
        edit("len(self.name) + len(token)", "len(token)"),
    ),
    broken(
        15,
        "the status is given before the session is saved",
        edit(
            "asked = self._end_session(session, self._sessions, status, exc_info)",
            """
                self._start(status, headers)
                asked = self._end_session(session, self._sessions, status, exc_info)
            """,
        ),
    ),
    broken(
        15,
        "Max-Age over 400 days",
        edit("0 < max_age <= MAX_AGE", "0 < max_age"),
    ),
    broken(
        15,
        "Max-Age is not cut down to 400 days",
        edit("min(int(self._idle()), MAX_AGE)", "int(self._idle())"),
    ),
    broken(
        16,
        "a cookie is set twice",
        edit(
            """
                for cookie in cookies:
                    ...
            """,
            """
                for cookie in cookies * 2:
                    ...
            """,
            within="merge_into",
        ),
        edit(
            """
                for cookie in cookies:
                    ...
            """,
            """
                for cookie in cookies * 2:
                    ...
            """,
            within="merge_into_response",
        ),
    ),
    broken(
        16,
        "a value may hold controls",
        edit(
            "not value.isascii() or value.encode().translate(None, _OCTETS)", "not value.isascii()"
        ),
    ),
    broken(
        16,
        "a path may hold controls",
        edit('re.compile(r"/[ -:<-~]*")', 're.compile(r"/[^;]*", re.ASCII)'),
    ),
    broken(
        17,
        "only the first id is looked up",
        edit("MOST_CANDIDATES", "1", within="ids_in"),
    ),
    broken(
        17,
        "only the first token is opened",
        edit("tokens", "tokens[:1]", within="_first_accepted"),
    ),
    broken(
        17,
        "only one value is found",
        edit(
            "return find_all(cookies)",
            "return find_all(cookies)[:1]",
            within="finder",
        ),
    ),
    broken(
        18,
        "quotes swallow cookies",
        edit(
            "before, found, rest = ...",
            """
                cookies = re.sub(r'"[^"]*"', '', cookies)
                before, found, rest = ...
            """,
            within="finder",
        ),
    ),
    broken(
        18,
        "quotes swallow ids",
        edit(
            "pattern = ...",
            r"""
                pattern = ...
                pattern = pattern.replace(";)", r';)(?=[^"]*(?:"[^"]*"[^"]*)*\Z)', 1)
            """,
            within="id_finder",
        ),
    ),
)
