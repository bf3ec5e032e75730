"""More tests for requirements on sessions: each fails if what its name says is broken."""

from __future__ import annotations

import ast
import asyncio
import base64
import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ctxlocal
from ctxlocal.sessions import codec
from ctxlocal.sessions import events as event
from ctxlocal.sessions.cookie import MAX_AGE, MAX_SIZE, Cookie
from ctxlocal.sessions.errors import (
    CookieTooLargeError,
    FreshLoginRequiredError,
    StoreUnavailableError,
    UnstorableValueError,
)
from ctxlocal.sessions.in_cookie.envelope import HEAD_SIZE, Envelope, Rejected, pack
from ctxlocal.sessions.in_cookie.keyring import Keyring
from ctxlocal.sessions.in_cookie.sealer import NONCE_SIZE, TAG_SIZE, Sealer
from ctxlocal.sessions.in_cookie.sessions import EncryptedCookieSessions, SignedCookieSessions
from ctxlocal.sessions.in_cookie.signer import Signer
from ctxlocal.sessions.in_store.sessions import StoredSessions
from ctxlocal.sessions.in_store.token import key_of, new_id
from ctxlocal.sessions.interface import SessionHeaders
from ctxlocal.sessions.stores.memory import MemoryStore
from ctxlocal.sessions.stores.protocol import Answer, Change
from ctxlocal.web.app import App
from ctxlocal.web.context import session as current_session
from ctxlocal.web.wsgi import ContextMiddleware

from ..web.asgi_client import call
from .conftest import Browser, Make
from .stores.conftest import Clock

NAME, SECRET = "__Host-session", "a secret" * 4
NOW = 1_700_000_000.0
ENVELOPE = Envelope(NOW, NOW + 60, {"name": b"\xa3ada"})
PACKAGE = Path(ctxlocal.__file__).parent


# Identifiers


def test_r1_no_seed_tells_the_next_id() -> None:
    state = random.getstate()
    try:
        ids = []
        for _ in range(2):
            random.seed(1)
            ids.append(new_id())
    finally:
        random.setstate(state)
    assert ids[0] != ids[1]


def test_r1_each_of_the_256_bits_is_random() -> None:
    numbers = [int.from_bytes(base64.urlsafe_b64decode(new_id() + "="), "big") for _ in range(200)]
    ever, always = 0, -1
    for number in numbers:
        ever, always = ever | number, always & number
    assert (ever, always) == (2**256 - 1, 0)


@pytest.mark.parametrize(
    "value",
    ["", "short", "x" * 5000, "ä" * 43, "a" * 42 + "\0", new_id() + "=", f'"{new_id()}"'],
    ids=["empty", "short", "long", "not ASCII", "NUL", "padded", "quoted"],
)
def test_r2_a_malformed_id_is_not_even_looked_up(value: str, make: Make, clock: Clock) -> None:
    asked: list[str] = []

    class Watched(MemoryStore):
        def load(self, key: str) -> Any:
            asked.append(key)
            return super().load(key)

    assert Browser(make(Watched(clock=clock)), f"{NAME}={value}").values() == {}
    assert asked == []


def test_r3_regenerate_ends_the_old_id_at_once(browser: Browser) -> None:
    with browser.request() as session:
        session["a"] = 1
    old = Browser(browser.sessions, browser.cookie)
    with browser.request() as session:
        session.regenerate()
    assert old.cookie != browser.cookie
    assert (old.values(), browser.values()) == ({}, {"a": 1})


def test_r3_another_user_in_one_session_gets_another_id(browser: Browser) -> None:
    ids = []
    for user in ("alice", "bob", None):
        with browser.request() as session:
            session["a"] = 1
            session.user = user
            session["b"] = 1
        ids.append(browser.cookie)
    assert len(set(ids)) == 3
    for cookie in ids[:2]:
        assert Browser(browser.sessions, cookie).values() == {}


@pytest.mark.parametrize("entrance", ["wsgi", "asgi", "app", "app under asgi"])
def test_r5_the_id_comes_from_the_cookie_alone(entrance: str, browser: Browser) -> None:
    with browser.request() as session:
        session["a"] = "found"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    elsewhere = visit(entrance, browser.sessions, browser.cookie, {"X-Session": browser.cookie})
    in_the_body = visit(entrance, browser.sessions, "", kind, browser.cookie)
    by_cookie = visit(entrance, browser.sessions, "", {"Cookie": browser.cookie})
    assert [elsewhere, in_the_body, by_cookie] == ["none", "none", "found"]


def visit(entrance: str, sessions: Any, query: str, headers: dict[str, str], body: str = "") -> str:
    """Make one request and return what its session has under "a"."""
    app = App("shop", sessions=sessions)
    app.post("/")(lambda: current_session.get("a", "none"))
    if entrance == "app":
        client = app.test_client(use_cookies=False)
        return client.post(f"/?{query}", headers=headers, data=body).text

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [current_session.get("a", "none").encode()]

    if entrance == "wsgi":
        environ = {f"HTTP_{k.upper().replace('-', '_')}": v for k, v in headers.items()}
        environ |= {"QUERY_STRING": query, "PATH_INFO": f"/{query}"}
        wrapped = ContextMiddleware(wsgi, sessions)
        return b"".join(wrapped(environ, lambda *_: lambda data: None)).decode()

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        found = current_session.get("a", "none").encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": found})

    from ctxlocal.web.asgi import ContextMiddleware as Middleware

    served = app.asgi if entrance == "app under asgi" else Middleware(asgi, sessions)
    lower = tuple((name.lower(), value) for name, value in headers.items())
    query_string = query.encode()
    request = call(
        served, method="POST", body=body.encode(), headers=lower, query_string=query_string
    )
    return asyncio.run(request).body.decode()


def test_r5_the_name_in_a_log_is_salted(run_python: Callable[..., str]) -> None:
    code = "from ctxlocal.sessions.in_store.token import log_name; print(log_name('a' * 64))"
    names = [run_python(code) for _ in range(2)]
    assert names[0] != names[1]


def test_r5_one_session_has_one_name_in_the_logs(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    with browser.request() as session:
        session["a"] = 1
    late = [browser.open() for _ in range(2)]
    for session in late:
        session["a"] = 2
    with caplog.at_level(logging.INFO, "ctxlocal.sessions"):
        browser.sessions.revoke(browser.key)
        for session in late:
            browser.save(session)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert messages[0] == messages[1]


# Termination


def log_in(sessions: StoredSessions[Any], user: str) -> Browser:
    browser = Browser(sessions)
    with browser.request() as session:
        session.user = user
    return browser


def test_r8_everyone_is_signed_out(sessions: StoredSessions[Any]) -> None:
    browsers = [log_in(sessions, user) for user in ("alice", "alice", "bob")]
    visitor = Browser(sessions)
    with visitor.request() as session:
        session["cart"] = [1]
    assert sessions.revoke_everyone() == 4
    assert [browser.open().user for browser in browsers] == [None] * 3
    assert visitor.values() == {}


def test_r8_a_user_sees_and_ends_none_but_his_own(sessions: StoredSessions[Any]) -> None:
    alice, bob = log_in(sessions, "alice"), log_in(sessions, "bob")
    (info,) = sessions.list_sessions("alice", alice.open())
    assert info.is_current
    assert sessions.revoke_all("alice") == 1
    assert (alice.open().user, bob.open().user) == (None, "bob")


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.asyncio
async def test_r8_the_same_awaited(make: Make, clock: Clock, blocking: bool) -> None:
    store = MemoryStore(clock=clock)
    store.is_blocking = blocking
    sessions = make(store)
    here, there, elsewhere = (log_in(sessions, "alice") for _ in range(3))
    current = await here.open_async()
    listed = await sessions.list_sessions_async("alice", current)
    assert sorted(info.is_current for info in listed) == [False, False, True]
    handle = next(info.handle for info in listed if not info.is_current)
    assert not await sessions.revoke_async(handle, user="mallory")
    assert await sessions.revoke_async(handle, user="alice")
    assert sorted(str(b.open().user) for b in (there, elsewhere)) == ["None", "alice"]
    assert await sessions.revoke_all_async("alice", current) == 1
    assert [b.open().user for b in (here, there, elsewhere)] == ["alice", None, None]
    assert await sessions.revoke_everyone_async() == 1
    assert here.open().user is None


def test_r9_the_absolute_limit_is_checked_at_load_from_stored_times(
    make: Make, clock: Clock, events: list[str]
) -> None:
    store = MemoryStore(clock=clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["a"] = 1
    clock.advance(1800)
    with browser.request() as session:
        session["a"] = 2
    clock.advance(1800)
    stricter = make(store, idle_timeout=3600, absolute_timeout=3600, touch_interval=0)
    assert Browser(stricter, browser.cookie).values() == {}
    assert events[-1] == "expired"


@pytest.mark.parametrize("kind", [SignedCookieSessions, EncryptedCookieSessions])
def test_r9_no_token_lasts_beyond_the_absolute_limit(kind: Any) -> None:
    sessions = kind(SECRET, idle_timeout=100, absolute_timeout=150, clock=lambda: NOW + 90)
    born = {"a": b"1", "\0born": repr(NOW).encode()}
    token = sessions._seal.seal(Envelope(NOW + 20, NOW + 120, born))
    session = sessions.open(f"{NAME}={token}")
    session["a"] = 2
    (cookie,) = sessions.save(session).cookies
    renewed = cookie.partition("=")[2].partition(";")[0]
    assert sessions._seal.open(renewed, NOW + 90).expires == NOW + 150


def test_r12_a_proof_without_a_user_or_from_the_future_is_none(
    browser: Browser, clock: Clock
) -> None:
    with browser.request() as session:
        session["a"] = 1
        session.authenticated_at = clock()
    assert browser.open().authenticated_at == clock()
    with pytest.raises(FreshLoginRequiredError):
        browser.open().require_fresh(60)
    with browser.request() as session:
        session.user = "alice"
        session.authenticated_at = clock() + 1000
    with pytest.raises(FreshLoginRequiredError):
        browser.open().require_fresh(60)


# Cookie


def test_r13_the_cookie_of_stored_sessions_is_the_strictest(browser: Browser) -> None:
    with browser.request() as session:
        session["a"] = 1
    (cookie,) = browser.headers.cookies
    name, _, rest = cookie.partition("=")
    assert name == "__Host-session"
    assert rest.partition(";")[2] == " Path=/; Secure; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize("end", ["destroy", "clear"])
def test_r14_a_stored_session_that_ends_deletes_its_cookie(make: Make, end: str) -> None:
    browser = Browser(make(cookie=Cookie("s", path="/app", domain="example.org")))
    with browser.request() as session:
        session.user = "alice"
    with browser.request() as session:
        getattr(session, end)()
    assert browser.headers.cookies == (
        "s=; Max-Age=0; Path=/app; Domain=example.org; Secure; HttpOnly; SameSite=Lax",
    )


def test_r15_a_permanent_cookie_lasts_400_days_at_most(make: Make) -> None:
    browser = Browser(make(idle_timeout=500 * 86400, absolute_timeout=600 * 86400))
    with browser.request() as session:
        session.permanent = True
        session["a"] = 1
    assert f"; Max-Age={MAX_AGE};" in browser.headers.cookies[0]


def test_r15_what_does_not_fit_raises_before_the_status_is_given() -> None:
    given: list[str] = []

    def start_response(status: str, *_: object) -> Any:
        given.append(status)

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        current_session["big"] = "x" * MAX_SIZE
        return [b"never sent"]

    wrapped = ContextMiddleware(application, EncryptedCookieSessions(SECRET))
    with pytest.raises(CookieTooLargeError):
        wrapped({}, start_response)
    assert given == []


def test_r16_a_response_has_one_field_for_each_cookie() -> None:
    app = App("shop", sessions=EncryptedCookieSessions(SECRET))

    @app.get("/")
    def view() -> str:
        current_session["a"] = 1
        current_session.flash("hello")
        current_session.regenerate()
        return ""

    names = [
        text.partition("=")[0] for text in app.test_client().get("/").headers.getlist("Set-Cookie")
    ]
    assert names == [NAME, f"{NAME}-flash"]


def test_r18_a_quote_does_not_hide_a_stored_session(browser: Browser) -> None:
    with browser.request() as session:
        session["a"] = 1
    for header in (f'q="x; {browser.cookie}; y="', f'q="; {browser.cookie}'):
        assert dict(browser.sessions.open(header)) == {"a": 1}


# Caching


def test_r20_a_response_that_varies_already_is_not_told_twice() -> None:
    for vary in ("Cookie", "accept, COOKIE", "*"):
        headers = [("Vary", vary)]
        SessionHeaders(vary=True).merge_into(headers)
        assert headers == [("Vary", vary)]


@pytest.mark.parametrize("kind", [SignedCookieSessions, EncryptedCookieSessions])
def test_r21_the_deletion_of_a_cookie_forbids_to_store_the_response_too(kind: Any) -> None:
    def leave() -> str:
        current_session.destroy()
        return "out"

    app = App("shop", sessions=kind(SECRET))
    app.get("/in")(lambda: current_session.update(a=1) or "in")
    app.get("/out", endpoint="out")(leave)
    client = app.test_client()
    for path in ("/in", "/out"):
        response = client.get(path, base_url="https://localhost")
        assert len(response.headers.getlist("Set-Cookie")) == 1
        assert response.headers.getlist("Cache-Control") == ["no-store"]


# Crypto and encoding


def test_r23_the_associated_data_are_version_name_and_purpose() -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    keyring = Keyring(SECRET)
    (key,) = keyring.derive("encrypted cookie").values()
    sealed = base64.b64decode(Sealer(keyring, NAME, "session").seal(ENVELOPE)[HEAD_SIZE:])
    nonce, ciphertext = sealed[:NONCE_SIZE], sealed[NONCE_SIZE:]
    associated = f"1\0{NAME}\0session".encode()
    assert AESGCM(key).decrypt(nonce, ciphertext, associated) == pack(ENVELOPE)


def test_r23_the_tag_of_a_sealed_token_has_128_bits() -> None:
    sealed = Sealer(Keyring(SECRET), NAME, "session").seal(ENVELOPE)[HEAD_SIZE:]
    assert len(base64.b64decode(sealed)) == NONCE_SIZE + len(pack(ENVELOPE)) + 16
    assert TAG_SIZE == 16


@pytest.mark.parametrize("kind", [Signer, Sealer])
def test_r24_content_that_nobody_vouches_for_is_refused(kind: Any) -> None:
    seal = kind(Keyring(SECRET), NAME, "session")
    head = seal.seal(ENVELOPE)[:HEAD_SIZE]
    bare = base64.b64encode(pack(ENVELOPE)).decode()
    unsealed = base64.b64encode(bytes(NONCE_SIZE) + pack(ENVELOPE) + bytes(TAG_SIZE)).decode()
    for text in (bare, f"{bare}.", f"{bare}.{'A' * 43}", unsealed):
        assert isinstance(seal.open(head + text, NOW), Rejected)


@pytest.mark.parametrize("kind", [Signer, Sealer])
def test_r24_a_token_has_one_spelling(kind: Any) -> None:
    seal = kind(Keyring(SECRET), NAME, "session")
    for size in range(3):
        token = seal.seal(Envelope(NOW, NOW + 60, {"k": b"v" * size}))
        assert isinstance(seal.open(token, NOW), Envelope)
        place = len(token) // 2
        for text in (token + "=", token + "A", f"{token[:place]}\n{token[place:]}", token[:-1]):
            assert isinstance(seal.open(text, NOW), Rejected)


@pytest.mark.parametrize("kind", [SignedCookieSessions, EncryptedCookieSessions])
def test_r24_a_forged_cookie_is_an_empty_session(kind: Any) -> None:
    sessions = kind(SECRET, clock=lambda: NOW)
    fields = {"\0user": b"admin", "\0born": repr(NOW).encode()}
    forged = kind("another " * 4)._seal.seal(Envelope(NOW, NOW + 60, fields))
    ours = sessions._seal.seal(ENVELOPE)[:HEAD_SIZE]
    for token in (forged, ours + forged[HEAD_SIZE:]):
        session = sessions.open(f"{NAME}={token}")
        assert session.user is None
        assert dict(session) == {}


class Reducing:
    """What pickle would make of this object is a call."""

    def __reduce__(self) -> Any:
        return print, ("unpickled",)


@pytest.mark.parametrize("value", [Reducing(), {"a": [Reducing()]}, print, object()])
def test_r25_what_pickle_alone_could_store_is_refused(browser: Browser, value: Any) -> None:
    session = browser.open()
    with pytest.raises(UnstorableValueError):
        session["a"] = value


@pytest.mark.parametrize("protocol", range(6))
def test_r25_a_pickle_is_never_read(
    make: Make, clock: Clock, capsys: pytest.CaptureFixture[str], protocol: int
) -> None:
    import pickle

    raw = pickle.dumps(Reducing(), protocol)
    store = MemoryStore(clock=clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["a"] = 1
    store.commit(browser.key, 0, Change("planting", {"a": raw}), 1e6)
    assert browser.open().get("a") is None
    with pytest.raises(ValueError, match=r"^not a stored value"):
        codec.decode(raw)
    assert capsys.readouterr().out == ""


def imports() -> Iterator[tuple[str, str]]:
    """Yield each module of the package with each name it imports, inside functions too."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path.name, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield path.name, node.module


def test_r25_nothing_imports_what_runs_stored_code() -> None:
    found = {name.partition(".")[0] for _, name in imports()}
    assert "msgspec" in found
    assert found.isdisjoint({"pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"})


def test_r28_nothing_is_ever_decompressed() -> None:
    found = {name.partition(".")[0] for _, name in imports()}
    assert found.isdisjoint({"zlib", "gzip", "bz2", "lzma", "zstandard", "brotli", "zipfile"})


def test_r28_depth_is_limited_before_decoding() -> None:
    for deep in (b"\x91" * 100, b"\x81\xa1k" * 100, b"\xdc\x00\x01" * 100):
        with pytest.raises(ValueError, match=r"^not a stored value \(nested deeper than 64\)$"):
            codec.decode(deep + b"\xc0")
    wide = codec.encode("a", [[]] * 1000)
    assert codec.decode(wide) == [[]] * 1000


def test_r28_size_is_limited_before_decoding() -> None:
    size = codec.MAX_BYTES
    raw = b"\xc6" + size.to_bytes(4, "big") + bytes(size)
    problem = rf"^not a stored value \({size + 5} bytes are over {size}\)$"
    with pytest.raises(ValueError, match=problem):
        codec.decode(raw)
    with pytest.raises(ValueError, match=r"^not a stored value \(an integer beyond 64 bits\)$"):
        codec.decode(b"9" * 5000)


def test_r30_nonces_are_out_of_the_operating_system() -> None:
    state = random.getstate()
    sealer = Sealer(Keyring(SECRET), NAME, "session")
    try:
        tokens = set()
        for _ in range(2):
            random.seed(1)
            tokens.add(sealer.seal(ENVELOPE))
    finally:
        random.setstate(state)
    assert len(tokens) == 2


# Robustness


@pytest.mark.parametrize("answer", [None, "committed", 7, ("committed", ()), Answer("committed")])
def test_r32_rubbish_for_an_answer_to_a_plain_change_is_no_surprise(
    make: Make, clock: Clock, answer: Any
) -> None:
    class Rubbish(MemoryStore):
        def commit(self, *_: Any) -> Any:
            return answer

    browser = Browser(make(Rubbish(clock=clock)))
    with browser.request() as session:
        session["a"] = 1
    session = browser.open()
    session["a"] = 2
    if type(answer) is Answer:
        browser.save(session)  # its word is all there is
    else:
        with pytest.raises(StoreUnavailableError) as caught:
            browser.save(session)
        assert (caught.value.store, caught.value.operation) == ("memory", "commit")


def test_r35_a_session_that_expired_is_an_event(
    make: Make, clock: Clock, events: list[str]
) -> None:
    store = MemoryStore(clock=clock)
    browser = Browser(make(store))
    with browser.request() as session:
        session["a"] = 1
    clock.advance(3600)
    stricter = make(store, idle_timeout=3600, touch_interval=60)
    events.clear()
    assert Browser(stricter, browser.cookie).values() == {}
    assert events == ["expired"]


def test_r35_every_session_that_ends_is_an_event(make: Make, events: list[str]) -> None:
    sessions = make(max_sessions=2)
    first = log_in(sessions, "alice")
    log_in(sessions, "alice")
    events.clear()
    log_in(sessions, "alice")  # the first gives way
    assert events == ["created", "destroyed"]
    assert first.open().user is None
    events.clear()
    assert sessions.revoke_all("alice") == 2
    assert events == ["destroyed"]
    third = log_in(sessions, "alice")
    (info,) = sessions.list_sessions("alice")
    events.clear()
    assert sessions.revoke(third.key)
    assert events == ["destroyed"]
    assert not sessions.revoke(third.key)
    assert not sessions.revoke(info.handle)
    assert sessions.revoke_all("alice") == 0
    assert events == ["destroyed"], "nothing more has ended"


def test_r35_no_signal_carries_an_id(browser: Browser) -> None:
    carried: list[str] = []

    def receive(sender: object, **data: Any) -> None:
        carried.append(repr((sender, data)))

    signals = (event.created, event.loaded, event.regenerated, event.destroyed, event.rejected)
    for signal in signals:
        signal.connect(receive)
    ids = [new_id()]
    browser.cookie = f"{NAME}={ids[0]}"
    changes: list[Callable[[Any], object]] = [
        lambda s: s.update(a=1),
        lambda s: s.regenerate(),
        lambda s: s.destroy(),
    ]
    for change in changes:
        with browser.request() as session:
            change(session)
        ids.append(browser.cookie.partition("=")[2])
    for signal in signals:
        signal.disconnect(receive)
    assert len(carried) >= 5
    for session_id in filter(None, ids):
        assert not any(session_id in text or key_of(session_id) in text for text in carried)
