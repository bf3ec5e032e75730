"""Puts ctxlocal in the place of another library, in a process that runs the library's own tests.

As a pytest plugin (``-p stand_in``) in the place of ``werkzeug.local``; run as a script
with ``threading`` or ``gevent``, in the place of their ``local``. The environment variable
STAND_IN_DIFFERENCES names the tests that are expected to fail, and why, as JSON: they have
to fail, or the run fails.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import unittest
from collections.abc import Iterator

import pytest

import ctxlocal

DIFFERENCES: dict[str, str] = json.loads(os.environ.get("STAND_IN_DIFFERENCES", "{}"))


def pytest_configure() -> None:
    """Hand the tests ctxlocal as ``werkzeug.local``, under the strategy of CTXLOCAL_IDENT."""
    import werkzeug

    werkzeug.local = sys.modules["werkzeug.local"] = ctxlocal  # type: ignore[attr-defined]
    if os.environ.get("CTXLOCAL_IDENT") == "callable":
        del os.environ["CTXLOCAL_IDENT"]  # it takes names only
        ctxlocal.ident.set_default(threading.current_thread)


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Expect the listed tests to fail."""
    _refuse_unknown({name for item in items for name in (item.originalname, item.name)})
    for item in items:  # by its name, or with what it is given
        reason = DIFFERENCES.get(item.originalname) or DIFFERENCES.get(item.name)
        if reason is not None:
            item.add_marker(pytest.mark.xfail(strict=True, reason=reason))


def _refuse_unknown(names: set[str]) -> None:
    if unknown := DIFFERENCES.keys() - names:
        raise SystemExit(f"No such tests in the published suite: {sorted(unknown)}")


def thread_suite() -> unittest.TestSuite:
    """Make CPython's tests of threading.local, its docstring included, for a thread Local."""
    import _thread
    import doctest

    class local(ctxlocal.Local, ident="thread"):
        pass

    _thread._local = threading.local = local  # type: ignore[misc,assignment]
    published = importlib.import_module("test.test_threading_local")
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(published.ThreadLocalTest)
    suite.addTest(doctest.DocTestSuite("_threading_local", extraglobs={"local": local}))
    return suite


def gevent_suite() -> unittest.TestSuite:
    """Make gevent's tests of gevent.local, which monkey-patch, for a greenlet Local."""
    import gevent.local

    class local(ctxlocal.Local, ident="greenlet"):
        pass

    gevent.local.local = local  # type: ignore[misc,assignment]  # monkey gives it to threading
    published = importlib.import_module("gevent.tests.test__local")
    assert published.local is local
    return unittest.defaultTestLoader.loadTestsFromModule(published)


def cases(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from cases(test)
        else:
            assert isinstance(test, unittest.TestCase)
            yield test


def main(suite: unittest.TestSuite) -> int:
    """Run a suite; return the exit status."""
    tests = {test.id().rpartition(".")[2]: test for test in cases(suite)}
    _refuse_unknown(set(tests))
    for name in DIFFERENCES:
        unittest.expectedFailure(tests[name])
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    return 0 if result.wasSuccessful() and result.testsRun > len(DIFFERENCES) else 1


if __name__ == "__main__":
    sys.exit(main({"threading": thread_suite, "gevent": gevent_suite}[sys.argv[1]]()))
