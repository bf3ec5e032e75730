"""A session by its id: what a framework does that keeps the id, and sets the cookie, itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ctxlocal.sessions.in_store.sessions import StoredSessions


def begin(sessions: StoredSessions[Any]) -> str:
    """Store a session, and return its id."""
    session = sessions.open_id(None)
    assert session.id is None
    session["a"] = 1
    assert session.id is None, "it is made when it is stored"
    sessions.save(session)
    assert session.id is not None
    return session.id


def test_id_leads_to_the_session(sessions: StoredSessions[Any]) -> None:
    session_id = begin(sessions)
    again = sessions.open_id(session_id)
    assert (again.id, dict(again)) == (session_id, {"a": 1})


def test_an_empty_session_has_an_id_if_it_is_kept(sessions: StoredSessions[Any]) -> None:
    session = sessions.open_id(None)
    session.keep()
    sessions.save(session)
    again = sessions.open_id(session.id)
    assert (again.id, dict(again), again.new) == (session.id, {}, False)
    again.keep()
    assert not again.modified, "it is stored already"


@pytest.mark.parametrize("user", [None, "ada"])
@pytest.mark.parametrize("saved_between", [True, False])
def test_so_it_has_when_it_is_cleared(
    sessions: StoredSessions[Any], user: str | None, saved_between: bool
) -> None:
    session = sessions.open_id(begin(sessions))
    session.user = user
    session.save()
    session.clear()
    if saved_between:
        session.save()
    session.keep()
    session.save()
    again = sessions.open_id(session.id)
    assert (again.id, dict(again), again.user, again.new) == (session.id, {}, None, False)


def test_id_is_that_of_the_cookie(sessions: StoredSessions[Any]) -> None:
    session = sessions.open("")
    session["a"] = 1
    (cookie,) = sessions.save(session).cookies
    assert cookie.startswith(f"{sessions.cookie.name}={session.id};")


def test_asking_for_the_id_is_a_look_at_the_session(sessions: StoredSessions[Any]) -> None:
    session = sessions.open_id(begin(sessions))
    assert not session.accessed
    assert session.id is not None
    assert session.accessed
    assert sessions.save(session).vary


@pytest.mark.parametrize("text", ["", "short", "x" * 44, "; " + "x" * 43, "é" * 43, "x" * 43])
def test_what_leads_to_nothing_begins_a_session_with_another_id(
    sessions: StoredSessions[Any], text: str
) -> None:
    session = sessions.open_id(text)
    assert (session.id, session.new) == (None, True)
    session["a"] = 1
    sessions.save(session)
    assert session.id not in (None, text)


def test_only_a_str_can_be_an_id(sessions: StoredSessions[Any]) -> None:
    with pytest.raises(TypeError, match="a session's id is a str, or None; got a bytes"):
        sessions.open_id(b"x" * 43)  # type: ignore[arg-type]


def test_id_changes_with_a_login_and_goes_with_the_session(sessions: StoredSessions[Any]) -> None:
    former = begin(sessions)
    session = sessions.open_id(former)
    session.user = "ada"
    assert session.id == former, "it is renewed when it is saved"
    session.save()
    assert session.id not in (None, former)
    session.destroy()
    assert session.id is None
    sessions.save(session)
    assert sessions.open_id(former).new


def test_id_of_a_session_that_ended_meanwhile_is_none(sessions: StoredSessions[Any]) -> None:
    session = sessions.open_id(begin(sessions))
    session["b"] = 2
    sessions.revoke_everyone()
    sessions.save(session)
    assert session.id is None


def test_id_is_in_no_text_of_the_session(sessions: StoredSessions[Any]) -> None:
    session = sessions.open_id(begin(sessions))
    assert session.id is not None
    assert session.id not in f"{session!r} {session} {dict(session)} {session.to_dict()}"


def test_id_leads_to_the_session_under_asgi(sessions: StoredSessions[Any]) -> None:
    async def renew(session_id: str) -> str | None:
        session = await sessions.open_id_async(session_id)
        assert session.is_loaded or not sessions.store_blocks
        assert dict(session) == {"a": 1}
        session.regenerate()
        await sessions.save_async(session)
        return session.id

    former = begin(sessions)
    renewed = asyncio.run(renew(former))
    assert renewed not in (None, former)
    assert dict(sessions.open_id(renewed)) == {"a": 1}
