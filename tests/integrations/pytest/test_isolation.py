"""``ctxlocal_isolate = true``: no test sees what another has set, each what its fixtures have."""

from __future__ import annotations

from collections.abc import Callable

import pytest

ISOLATE = "ctxlocal_isolate = true\n"

# Each test asserts that it finds what it should, and leaves something.
SUITE = """
    import unittest

    import pytest
    from ctxlocal import Local, LocalStack, release_local

    shop = Local(name="shop")
    pile = LocalStack(name="pile")
    shop.settings = "at import"

    def now():
        return dict(shop), pile.top

    def leave(name):
        shop.left = name
        shop.settings = None
        pile.push(name)

    @pytest.fixture
    def user():
        shop.user = "ada"
        yield
        assert shop.user == "ada"  # its end sees what it set

    @pytest.fixture
    async def cart():
        shop.cart = "lamp"

    @pytest.mark.parametrize("number", [1, 2])
    def test_sync(number):
        assert now() == ({"settings": "at import"}, None)
        leave("sync")

    @pytest.mark.parametrize("number", [1, 2])
    async def test_asyncio(number):
        assert now() == ({"settings": "at import"}, None)
        leave("asyncio")

    @pytest.mark.parametrize("number", [1, 2])
    async def test_asyncio_with_fixtures(number, user, cart):
        assert now() == ({"settings": "at import", "user": "ada", "cart": "lamp"}, None)
        leave("asyncio")

    @pytest.mark.parametrize("number", [1, 2])
    def test_with_a_fixture(number, user):
        assert now() == ({"settings": "at import", "user": "ada"}, None)
        leave("sync")

    class TestOld(unittest.TestCase):
        def setUp(self):
            shop.user = "bob"
        def test_one(self):
            self.assertEqual(now(), ({"settings": "at import", "user": "bob"}, None))
            leave("unittest")
        test_two = test_one

    @pytest.fixture(scope="class")
    def tenant():
        shop.tenant = "of the class"
        pile.push("of the class")
        yield
        assert (shop.tenant, pile.pop()) == ("of the class", "of the class")
        del shop.tenant

    @pytest.mark.usefixtures("tenant")
    class TestWide:
        async def test_finds_it_in_a_task(self):
            assert now() == ({"settings": "at import", "tenant": "of the class"}, "of the class")
            leave("asyncio")

        @pytest.mark.parametrize("number", [1, 2])
        def test_finds_it(self, number):
            assert now() == ({"settings": "at import", "tenant": "of the class"}, "of the class")
            shop.tenant = None
            pile.pop()

    other = Local(name="other")

    @pytest.fixture(scope="module")
    def late():
        assert not hasattr(shop, "mine")
        other.late = "of the module"
        yield
        del other.late

    def test_asks_for_a_wider_fixture_late(request):
        shop.mine = 1
        request.getfixturevalue("late")
        assert (shop.mine, other.late) == (1, "of the module")

    def test_finds_what_that_has_set_alone(late):
        assert (now(), other.late) == (({"settings": "at import"}, None), "of the module")

    def test_what_a_wider_fixture_took_away_stays_away():
        assert now() == ({"settings": "at import"}, None)
        release_local(shop)

    def test_what_was_released_is_there_again():
        assert now() == ({"settings": "at import"}, None)
"""

ANYIO = """
    import pytest
    from ctxlocal import Local

    shop = Local(name="shop")
    pytestmark = pytest.mark.anyio

    @pytest.fixture(params=["asyncio", "trio"], scope="module")
    def anyio_backend(request):
        return request.param

    @pytest.fixture(scope="module")
    async def server(anyio_backend):  # which keeps anyio's one task for all tests
        yield "up"

    @pytest.fixture
    def user():
        shop.user = "ada"

    @pytest.fixture
    async def cart():
        shop.cart = "lamp"
        yield
        assert shop.cart == "lamp"
        del shop.cart

    @pytest.mark.parametrize("number", [1, 2])
    async def test_in_the_same_task(server, number):
        assert dict(shop) == {}
        shop.left = shop.user = number

    class TestOfAClass:
        @pytest.fixture
        async def tenant(self):
            self.name = shop.tenant = "shop"

        async def test_a_method_is_that_of_its_instance(self, server, tenant):
            assert self.name == shop.tenant == "shop"

    @pytest.mark.parametrize("number", [1, 2])
    async def test_with_fixtures(server, user, cart, number):
        assert dict(shop) == {"user": "ada", "cart": "lamp"}
        shop.left = number
"""


def test_each_test_has_fresh_locals_and_what_its_fixtures_set(
    suite: Callable[..., pytest.RunResult],
) -> None:
    suite(is_async=True, settings=ISOLATE, test_shop=SUITE).assert_outcomes(passed=17)


@pytest.mark.slow
def test_a_fixture_that_ends_before_a_wider_one_leaves_nothing_in_it(
    suite: Callable[..., pytest.RunResult],
) -> None:
    """The wider one is pytest-asyncio's own, set up by the first coroutine."""
    of_the_class = "test_shop.py::TestWide::test_finds_it_in_a_task"
    after = "test_shop.py::test_what_was_released_is_there_again"
    arguments = (of_the_class, after)
    suite(*arguments, is_async=True, settings=ISOLATE, test_shop=SUITE).assert_outcomes(passed=2)


def test_without_the_setting_tests_see_one_another(
    suite: Callable[..., pytest.RunResult],
) -> None:
    outcomes = suite(
        is_async=True, settings="ctxlocal_isolate = false\n", test_shop=SUITE
    ).parseoutcomes()
    assert outcomes["failed"] > 8


def test_anyios_tests_have_fresh_locals_in_its_one_task(
    suite: Callable[..., pytest.RunResult],
) -> None:
    pytest.importorskip("trio")
    suite(settings=ISOLATE, test_shop=ANYIO).assert_outcomes(passed=10)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["thread", "greenlet", "task"])
def test_every_strategy_is_isolated(
    strategy: str, suite: Callable[..., pytest.RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTXLOCAL_IDENT", strategy)
    # As docs/pytest.md says of a test that asks late, and of a fixture that is a task of its own.
    chosen = "not asks_for_a_wider_fixture_late"
    left_out = 1
    if strategy == "task":
        chosen, left_out = f"{chosen} and not with_fixtures", 3
    result = suite("-k", chosen, is_async=True, settings=ISOLATE, test_shop=SUITE)
    result.assert_outcomes(passed=17 - left_out, deselected=left_out)


@pytest.mark.slow
def test_it_is_isolated_in_the_workers_of_xdist(
    suite: Callable[..., pytest.RunResult],
) -> None:
    suite("-n", "2", is_async=True, settings=ISOLATE, test_shop=SUITE).assert_outcomes(passed=17)
