"""The store that docs/own-store.md writes keeps the contract of all stores, on moto's DynamoDB."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ctxlocal.sessions.errors import SessionConfigError, StoreUnavailableError
from ctxlocal.testing import check_store
from tests.sessions.stores.proxy import proxy_to
from tests.support.pages import ROOT, programs_of, save

from .conftest import KEY

MODULES = ("items", "dynamo", "local_dynamo", "check_dynamo")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The page's ``check_dynamo``, beside its other files and a server."""
    save(programs_of(ROOT / "docs" / "own-store.md")[-1].files, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "")  # and what the page sets is undone
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield import_module("check_dynamo")
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.slow
@pytest.mark.timeout(900)  # 20,000 requests, one after the other
def test_the_contract_is_fulfilled(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy_to(page.serve()) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        lose_reply = proxy.losing(b"DynamoDB_20120810.PutItem")
        check_store(page.make, advance=page.advance, lose_reply=lose_reply)
        assert proxy.lost


def test_what_dynamodb_refuses_is_told_by_the_stores_name(page: Any) -> None:
    page.serve()
    store = page.make()
    with pytest.raises(StoreUnavailableError) as caught:
        page.dynamo.DynamoStore(store.items._client, "none").load(KEY)
    assert caught.value.store == "dynamodb://eu-west-1/none"
    store.close()


def test_a_url_that_names_no_table_is_refused(page: Any) -> None:
    with pytest.raises(SessionConfigError, match=r"^url: it is dynamodb://region/table$"):
        page.dynamo.open_store("dynamodb://eu-west-1")
