"""``ctxlocal_leaks = error``: who leaves a value bound hears which, and where it was set."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

LEAKS = "ctxlocal_leaks = error\n"

SUITE = """
    import threading
    from contextvars import copy_context

    import pytest
    from ctxlocal import Local, LocalStack, scoped

    shop = Local(name="shop")
    pile = LocalStack(name="pile", ident="thread")

    @pytest.fixture
    def user():
        shop.user = "ada"
        yield
        del shop.user

    @pytest.fixture(scope="module")
    def tenant():
        shop.tenant = "of the module"
        yield
        del shop.tenant

    @pytest.fixture(scope="class")
    def careless():
        pile.push("of the class")

    def test_cleans_up(user, tenant):
        with scoped(shop, cart=[]), pile.pushed(1):
            pass

    def test_leaves_a_value(tenant):
        shop.secret = "the password"

    def test_is_not_blamed_for_another(tenant):
        pass

    async def test_of_a_task_ends_with_it(tenant):
        shop.user = "ada"

    def test_of_garbage_is_gone(tenant):
        context = copy_context()
        context.run(setattr, shop, "user", "ada")
        cycle = [context]
        cycle.append(cycle)

    def test_of_a_thread_ends_with_it(tenant):
        thread = threading.Thread(target=setattr, args=(shop, "user", "ada"))
        thread.start()
        thread.join()

    def test_fails_for_its_own_reason(tenant):
        shop.left = 1
        assert False

    @pytest.mark.usefixtures("careless")
    class TestClass:
        def test_has_a_value_of_its_class(self):
            pass

        def test_is_the_last_of_a_fixture_that_leaves_a_value(self):
            pass

    event = threading.Event()

    def test_leaves_a_thread():
        started = threading.Event()
        def work():
            pile.push("of the thread")
            started.set()
            event.wait()
        threading.Thread(target=work, name="worker", daemon=True).start()
        started.wait()

    def test_lets_it_end():
        event.set()
"""


def test_a_test_that_leaves_a_value_is_an_error(
    suite: Callable[..., pytest.RunResult],
) -> None:
    result = suite(is_async=True, settings=LEAKS, test_shop=SUITE)
    result.assert_outcomes(passed=10, failed=1, errors=3)
    said = re.sub(r"set at .*?(test_shop\.py)", r"set at \1", result.stdout.str())
    found = re.findall(r"^(?:ERROR test_\S+|- .*)", said, re.MULTILINE)
    assert found == [
        "- 'secret' of Local 'shop' in the Context of thread 'MainThread': str, set at "
        "test_shop.py:31",
        "- LocalStack 'pile' in thread 'MainThread': str, set at test_shop.py:24",
        "- LocalStack 'pile' in thread 'worker': str, set at test_shop.py:67",
        "ERROR test_shop.py::test_leaves_a_value",
        "ERROR test_shop.py::TestClass::test_is_the_last_of_a_fixture_that_leaves_a_value",
        "ERROR test_shop.py::test_leaves_a_thread",
    ]
    assert "the password" not in said


@pytest.mark.slow
def test_isolation_hides_no_leak(suite: Callable[..., pytest.RunResult]) -> None:
    settings = LEAKS + "ctxlocal_isolate = true\n"
    result = suite(is_async=True, settings=settings, test_shop=SUITE)
    result.assert_outcomes(passed=10, failed=1, errors=3)


@pytest.mark.slow
def test_what_is_bound_too_early_is_a_clear_error(
    suite: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    """A conftest is early enough; a plugin that is loaded before is not."""
    early = "import ctxlocal\nshop = ctxlocal.Local(name='shop')\nshop.user = 'ada'\n"
    suite(settings=LEAKS, conftest=early, test_none="def test(): pass").assert_outcomes(passed=1)
    pytester.syspathinsert()
    pytester.path.joinpath("conftest.py").unlink()
    result = suite("-p", "early", settings=LEAKS, early=early, test_none="def test(): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: ctxlocal_leaks = error: trace.enable() came too late" in result.stderr.str()
