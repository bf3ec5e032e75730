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
