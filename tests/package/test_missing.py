"""What is said where an optional package is missing, and that a broken one is not called so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.parametrize("twin", ["native"], indirect=True)  # they import the same

# What is imported, what it needs, the extra that brings it, and for what it says that it is needed.
NEEDS = [
    ("local", "greenlet", "gevent", "The identity strategy 'greenlet'"),
    ("web.signals", "blinker", "web", "ctxlocal.web.signals"),
    ("web.app", "werkzeug", "web", "ctxlocal.web.app"),
    ("web.app.registry", "werkzeug", "web", "ctxlocal.web.app"),
    ("web.app.test_client", "werkzeug", "web", "ctxlocal.web.app"),
    ("sessions", "blinker", "sessions", "ctxlocal.sessions"),
    ("sessions", "msgspec", "sessions", "ctxlocal.sessions"),
    ("sessions", "markupsafe", "sessions", "ctxlocal.sessions"),
    ("sessions.in_cookie.envelope", "msgspec", "sessions", "ctxlocal.sessions"),
    ("sessions.in_cookie.sealer", "cryptography", "crypto", "An encrypted cookie"),
    ("sessions.stores.redis", "redis", "redis", "The Redis session store"),
    ("sessions.stores.sql", "sqlalchemy", "sql", "The SQL session store"),
    ("sessions.stores.sqlite", "msgspec", "sessions", "ctxlocal.sessions"),
    (
        *("integrations.sqlalchemy", "sqlalchemy", "sql"),
        "ctxlocal.integrations.sqlalchemy",
    ),
    (
        *("integrations.prometheus", "prometheus_client", "prometheus"),
        "ctxlocal.integrations.prometheus",
    ),
    (
        *("integrations.opentelemetry", "opentelemetry-api", "opentelemetry"),
        "ctxlocal.integrations.opentelemetry",
    ),
    ("integrations.celery", "celery", "celery", "ctxlocal.integrations.celery"),
    (
        *("integrations.opentelemetry_context", "opentelemetry-api", "opentelemetry"),
        "ctxlocal.integrations.opentelemetry_context",
    ),
]
IMPORTED = {"opentelemetry-api": "opentelemetry"}  # what is installed by another name
USE = """
    import sys
    from importlib import import_module
    {before}
    try:
        if {module!r} == "local":  # which imports nothing before a strategy is asked for
            from ctxlocal import Local
            Local(ident="greenlet")
        import_module("ctxlocal.{module}")
    except Exception as error:
        print(type(error).__name__, getattr(error, "package", ""), getattr(error, "extra", ""))
        print(error)
"""
BROKEN = """
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == {package!r}:
                raise ValueError("broken inside")
    sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(("module", "package", "extra", "what"), NEEDS)
def test_a_missing_package_is_named_with_its_extra(
    module: str, package: str, extra: str, what: str, run_python: Callable[..., str]
) -> None:
    before = f"sys.modules[{IMPORTED.get(package, package)!r}] = None"
    assert run_python(USE.format(before=before, module=module)).splitlines() == [
        f"MissingDependencyError {package} {extra}",
        f"{what} needs {package}, which is not installed. Install it with: pip install {package} "
        f"(ctxlocal's extra [{extra}] has all it goes with).",
    ]


@pytest.mark.parametrize(("module", "package"), [each[:2] for each in NEEDS])
def test_what_a_package_raises_at_its_import_is_not_taken_for_its_lack(
    module: str, package: str, run_python: Callable[..., str]
) -> None:
    before = BROKEN.format(package=IMPORTED.get(package, package))
    code = USE.format(before=before.strip(), module=module)
    assert run_python(code).splitlines() == ["ValueError  ", "broken inside"]


def test_prove_is_planned_without_what_only_its_servers_need(
    run_python: Callable[..., str],
) -> None:
    program = """
        import sys
        sys.modules.update(dict.fromkeys(["blinker", "msgspec", "werkzeug", "redis", "sqlalchemy"]))
        from ctxlocal.lab.prove.parts import all_parts
        print(*(part.name for part in all_parts()))
    """
    assert run_python(program).split() == ["matrix", "soak", "control", "bench"]
