"""Values of Locals in a header: what all queues and RPC have in common."""

from __future__ import annotations

import gc
import json
import logging
from typing import Any

import pytest

from ctxlocal import Local, LocalStack, scoped
from ctxlocal.errors import WireError
from ctxlocal.integrations._wire import Carried

HOSTILE = {
    "no text": (b"{}", "it has to be a str, not bytes"),
    "no JSON": ("{'request': {}}", "it is no JSON"),
    "no object": ("[]", "What is to be imported has to be a dict, not list."),
    "not finite": ('{"request":{"user":NaN}}', "it has a float that is not finite."),
    "deep": ('{"request":{"user":' + "[" * 3000, None),
    "long": (f'{{"request":{{"user":"{"x" * 5000}"}}}}', "the limit is 4096"),
    "another Local": ('{"password":{}}', "There is no Local 'password' here"),
    "another attribute": ('{"request":{"is_admin":true}}', "lets no 'is_admin' in"),
}


@pytest.fixture
def request_local() -> Local:
    gc.collect()
    return Local(name="request", wire=("user",))


def test_a_header_is_ascii_and_comes_back(request_local: Local) -> None:
    carried = Carried([request_local])
    assert carried.header() is None
    with scoped(request_local, user="Zoë\n", other=1):
        header = carried.header()
    assert header == '{"request":{"user":"Zo\\u00eb\\n"}}'
    frame = carried.frame(header, "a message")
    assert frame.run(lambda: dict(request_local)) == {"user": "Zoë\n"}
    assert carried.frame(None, "a message").run(lambda: dict(request_local)) == {}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_header_that_nobody_could_have_sent_is_refused_and_told(
    request_local: Local, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    header, problem = HOSTILE[case]
    request_local.user = "outside"
    with caplog.at_level(logging.WARNING, "ctxlocal.integrations"):
        frame = Carried([request_local]).frame(header, "task mail[7]")
    assert frame.run(lambda: dict(request_local)) == {}
    (said,) = caplog.messages
    assert said.startswith("the header 'ctxlocal' of task mail[7] was refused, and nothing of it ")
    assert problem is None or problem in said


def test_what_cannot_be_carried_is_refused_at_the_start(request_local: Local) -> None:
    with pytest.raises(ValueError, match=r"^carry names no Local"):
        Carried([])
    with pytest.raises(WireError, match=r"^Local 'app' says of none of its attributes"):
        Carried([request_local, Local(name="app")])
    with pytest.raises(WireError, match=r"^Two Locals"):
        Carried([request_local, Local(name="request", wire=("user",))])
    stack: Any = LocalStack(name="s")
    with pytest.raises(TypeError, match=r"takes Locals, not LocalStack"):
        Carried([stack])


def test_a_value_that_is_no_json_is_the_senders_error(request_local: Local) -> None:
    request_local.user = json
    with pytest.raises(WireError, match="it is or has a module"):
        Carried([request_local]).header()
