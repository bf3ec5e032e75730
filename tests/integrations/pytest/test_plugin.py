"""The plugin does nothing until it is asked, and says what it is asked wrongly."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

SUITE = """
    import pytest
    from ctxlocal import Local, LocalStack, ident, unwrap
    from ctxlocal.web import request, session

    shop = Local(name="shop")

    def test_before():
        assert ident.default_source() == "built-in"

    @pytest.fixture
    def user():
        shop.user = ident.get_default().name

    @pytest.mark.ctxlocal_ident("thread")
    def test_under_a_strategy(user):
        assert (ident.get_default().name, shop.user) == ("thread", "thread")

    @pytest.mark.ctxlocal_ident("task")
    class TestTask:
        def test_of_the_class(self):
            assert ident.get_default().name == "task"

        @pytest.mark.ctxlocal_ident("thread")
        async def test_of_the_function(self):
            assert ident.get_default().name == "thread"

    def test_afterwards(monkeypatch):
        assert not hasattr(shop, "user")
        monkeypatch.setenv("CTXLOCAL_IDENT", "thread")
        ident.set_default(None, discard=True)
        assert ident.get_default().name == "thread"

    def test_chosen_in_code():
        ident.set_default("thread", discard=True)

    @pytest.mark.ctxlocal_ident("context")
    def test_other():
        pass

    def test_what_was_chosen_is_put_back():
        assert ident.get_default().name == "thread"
        ident.set_default(None, discard=True)

    @pytest.mark.ctxlocal_ident("thraed")
    def test_error_of_a_wrong_name():
        pass

    @pytest.mark.ctxlocal_ident
    def test_error_without_a_name():
        pass

    def test_request(ctxlocal_request):
        assert (request.method, request.path) == ("GET", "/")
        assert unwrap(request) is ctxlocal_request.request

    @pytest.mark.ctxlocal_request("/cart?item=lamp", method="POST", json={"count": 2})
    def test_chosen_request(ctxlocal_request):
        assert (request.method, request.args["item"], request.json) == (
            "POST", "lamp", {"count": 2},
        )

    @pytest.mark.parametrize("number", [1, 2])
    def test_session(ctxlocal_session, number):
        assert dict(session) == {}
        ctxlocal_session["cart"] = ["lamp"]
        assert session["cart"] == ["lamp"]

    async def test_session_in_a_task(ctxlocal_session):
        session["user"] = "ada"
        assert ctxlocal_session["user"] == "ada"

    def test_no_request():
        assert not request
"""


def test_markers_and_fixtures(suite: Callable[..., pytest.RunResult]) -> None:
    result = suite("--strict-markers", is_async=True, test_shop=SUITE)
    result.assert_outcomes(passed=14, errors=2)
    said = result.stdout.str()
    assert "ident is 'thraed', which is no identity strategy. Use one of 'context'," in said
    assert 'ctxlocal_ident takes a strategy: ctxlocal_ident("greenlet")' in said


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "ctxlocal_isolate = maybe",
            "ctxlocal_isolate: invalid truth value 'maybe'. Use true or false.",
        ),
        ("ctxlocal_leaks = fail", "ctxlocal_leaks is 'fail'. Use 'error' or 'ignore'."),
    ],
)
def test_a_wrong_setting_is_a_clear_error(
    setting: str, said: str, pytester: pytest.Pytester
) -> None:
    pytester.makeini(f"[pytest]\n{setting}\n")
    with pytest.raises(pytest.UsageError, match=f"^{re.escape(said)}$"):
        pytester.parseconfig("-p", "no:asyncio")


def test_it_loads_nothing_before_it_is_asked(suite: Callable[..., pytest.RunResult]) -> None:
    asked = """
        import sys

        def test():
            loaded = {name for name in sys.modules if name.startswith("ctxlocal.")}
            parts = {name.split(".")[1] for name in loaded if "._" not in name}
            assert parts == {"errors", "ident", "integrations", "local"}
            assert {name for name in loaded if "integrations." in name} == {
                "ctxlocal.integrations.pytest"
            }
    """
    suite(settings="ctxlocal_leaks = ignore\n", test_none=asked).assert_outcomes(passed=1)


@pytest.mark.slow
def test_a_conftest_can_load_it_where_entry_points_are_off(
    suite: Callable[..., pytest.RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    leak = """
        from ctxlocal import Local

        shop = Local(name="shop")

        def test():
            shop.user = "ada"

        def test_of_another():
            assert not hasattr(shop, "user")
    """
    result = suite(
        *("-o", "ctxlocal_leaks=error", "-o", "ctxlocal_isolate=true"),
        conftest='pytest_plugins = ["ctxlocal.integrations.pytest"]',
        test_leak=leak,
    )
    result.assert_outcomes(passed=2, errors=1)
