"""R20 to R22: what caches and browsers may keep."""

from __future__ import annotations

from .mutation import broken, edit

MUTATIONS = (
    broken(
        20,
        "`in` is no access",
        edit(
            """
                fields = self._read()
                if key in self._values:
                    return True
            """,
            """
                accessed, fields = self._accessed, self._read()
                if key in self._values or key in fields:
                    self._accessed = accessed
                    return True
            """,
        ),
    ),
    broken(
        20,
        "`len` and iteration are no access",
        edit(
            "fields, values, dropped = self._read(), self._values, self._dropped",
            """
                accessed, fields = self._accessed, self._read()
                values, dropped, self._accessed = self._values, self._dropped, accessed
            """,
        ),
    ),
    broken(
        20,
        "refresh() is no access",
        edit(
            'self._write("session.refresh()")',
            """
                accessed = self._accessed
                self._write("session.refresh()")
                self._accessed = accessed
            """,
        ),
    ),
    broken(
        20,
        "asking for a view is no access",
        edit("self._read()", "pass", within="items"),
    ),
    broken(
        20,
        "only a cookie makes responses vary",
        edit(
            "vary, cookies = self",
            "vary, cookies = self.vary and bool(self.cookies), self.cookies",
            within="merge_into",
        ),
    ),
    broken(
        20,
        "no Vary (WSGI)",
        edit("asked is not NOTHING", "asked.cookies", within="_give_status"),
    ),
    broken(
        20,
        "no Vary (ASGI)",
        edit("not vary and not cookies", "not cookies", within="with_headers"),
    ),
    broken(
        20,
        "no Vary (App)",
        edit("not vary", "not cookies", within="merge_into_response"),
    ),
    broken(
        21,
        "caches may keep the cookie",
        edit('headers.append(("Cache-Control", "no-store"))', "pass"),
        edit("headers.append(_NO_STORE)", "pass"),
    ),
    broken(
        21,
        "the application's Cache-Control stays",
        edit("headers.remove(field)", "pass"),
        edit("continue", "pass", within="with_headers"),
    ),
    broken(
        22,
        "the browser forgets less",
        edit('("cache", "cookies", "storage")', '("cookies", "storage")'),
    ),
    broken(
        22,
        "any directive is sent",
        edit("directive not in _DIRECTIVES", "not directive"),
    ),
)
