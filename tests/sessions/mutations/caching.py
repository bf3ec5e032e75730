"""R20 to R22: what caches and browsers may keep."""

from __future__ import annotations

from .mutation import ASGI, COOKIE, FIELDS, HEADERS, MODEL, WSGI, broken

MUTATIONS = (
    broken(
        20,
        "`in` is no access",
        FIELDS,
        "        fields = self._read()\n        if key in self._values:\n            return True\n",
        "        accessed, fields = self._accessed, self._read()\n"
        "        if key in self._values or key in fields:\n"
        "            self._accessed = accessed\n"
        "            return True\n",
    ),
    broken(
        20,
        "`len` and iteration are no access",
        FIELDS,
        "        fields, values, dropped = self._read(), self._values, self._dropped\n",
        "        accessed, fields = self._accessed, self._read()\n"
        "        values, dropped, self._accessed = self._values, self._dropped, accessed\n",
    ),
    broken(
        20,
        "refresh() is no access",
        MODEL,
        '        self._write("session.refresh()")\n',
        "        accessed = self._accessed\n"
        '        self._write("session.refresh()")\n'
        "        self._accessed = accessed\n",
    ),
    broken(
        20,
        "asking for a view is no access",
        FIELDS,
        "        self._read()\n        return super().items()\n",
        "        return super().items()\n",
    ),
    broken(
        20,
        "only a cookie makes responses vary",
        HEADERS,
        "        vary, cookies = self\n        stale:",
        "        vary, cookies = self.vary and bool(self.cookies), self.cookies\n        stale:",
    ),
    broken(20, "no Vary (WSGI)", WSGI, "if asked is not NOTHING:", "if asked.cookies:"),
    broken(
        20,
        "no Vary (ASGI)",
        ASGI,
        "if not asked.vary and not asked.cookies:",
        "if not asked.cookies:",
    ),
    broken(
        20,
        "no Vary (App)",
        HEADERS,
        "        if vary or cookies:\n",
        "        if cookies:\n",
    ),
    broken(
        21,
        "caches may keep the cookie",
        HEADERS,
        '            headers.append(("Cache-Control", "no-store"))\n',
        "",
    ),
    broken(
        21,
        "the application's Cache-Control stays",
        HEADERS,
        "            headers.remove(field)\n",
        "            pass\n",
    ),
    broken(
        22,
        "the browser forgets less",
        COOKIE,
        '("cache", "cookies", "storage")',
        '("cookies", "storage")',
    ),
    broken(
        22,
        "any directive is sent",
        COOKIE,
        "        if directive not in _DIRECTIVES:\n",
        "        if not directive:\n",
    ),
)
