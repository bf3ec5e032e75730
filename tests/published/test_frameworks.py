"""The frameworks' own published tests of their sessions, on ours.

Not a line of theirs is kept here: they come from the source distribution of the version that is
installed. What is let off has to fail, or the run fails.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .sdist import unpacked_tests
from .test_published import run

DJANGO = {"test_empty_session_saved": "looks for the record in the table of Django's own engine"}

NO_KEY = "wants no session without a SECRET_KEY, which one in a store does not need"
RENEWED = "wants the cookie renewed with each response; ours is once in touch_interval"
FLASK = {
    "test_missing_session": NO_KEY,
    "test_session_transactions_no_null_sessions": NO_KEY,
    "test_session_secret_key_fallbacks": "wants a session that another key has signed to be lost",
    "test_session_cookie_setting": RENEWED,
    "test_session_refresh_vary": f"{RENEWED}, by a request that uses the session",
    "test_session_expiration": "wants Expires; ours says Max-Age, which all browsers prefer",
    "test_session_using_samesite_attribute": "changes the settings between two requests",
    "test_session_using_session_settings": (
        "wants the cookie deleted when the last key goes; ours is when session.destroy() is called"
    ),
    "test_session_accessed": "asks what was changed when that is stored already",
    "test_flashes": "sets session.modified to False, which is an error that says so",
}

LOWER_CASE = "wants the attributes of the cookie in lower case, which browsers do not mind"
STARLETTE = {
    "test_partitioned_session[asyncio-True]": LOWER_CASE,
    "test_partitioned_session[trio-True]": LOWER_CASE,
    "test_session_cookie_subpath": LOWER_CASE,
    "test_domain_cookie": LOWER_CASE,
    "test_session_expires": "wants a max_age below 0, which is an error at the start",
    "test_session_zero_max_age": "wants a max_age of 0, which is an error at the start",
}


@pytest.fixture(scope="module")
def djangos_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("django")
    return unpacked_tests("django", folder, "sessions_tests").parent


@pytest.mark.slow
@pytest.mark.parametrize("store", ["memory:", "sqlite:///sessions.db"])
def test_djangos_tests_pass(store: str, djangos_tests: Path) -> None:
    run(["-m", "django_sessions", store], DJANGO, djangos_tests, None)


@pytest.mark.slow
def test_flasks_tests_pass(tmp_path: Path) -> None:
    folder = unpacked_tests("flask", tmp_path).parent
    (folder / "pytest.ini").write_text("[pytest]\n")  # not Flask's configuration
    chosen = ["-k", "session or flash", "-p", "flask_sessions", "tests"]
    run(["-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen], FLASK, folder, None)


@pytest.mark.slow
def test_starlettes_tests_pass(tmp_path: Path) -> None:
    folder = unpacked_tests("starlette", tmp_path).parent
    (folder / "pytest.ini").write_text("[pytest]\n")  # not Starlette's configuration
    tests = folder / "tests" / "middleware" / "test_session.py"
    text = tests.read_text()
    for name in ("request.session", "session"):  # a session of ours is no JSON by itself
        text = text.replace(f'{{"session": {name}}}', f'{{"session": dict({name})}}')
    tests.write_text(text)
    options = ["-q", "-p", "no:cacheprovider", "-p", "anyio", "-p", "starlette_sessions"]
    run(["-m", "pytest", *options, str(tests)], STARLETTE, folder, None)
