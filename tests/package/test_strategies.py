"""Each named strategy is known wherever strategies are promised, explained or tried."""

from __future__ import annotations

from pathlib import Path

import pytest

import ctxlocal
from ctxlocal import ident
from ctxlocal.cli.doctor.advice import _BESIDE
from ctxlocal.cli.doctor.judge import fault
from ctxlocal.ident.named import KINDS, NAMED, kind_of
from ctxlocal.lab.matrix.place import Place, promise
from ctxlocal.lab.prove.words import OWNERS
from ctxlocal.lab.servers.kinds import KINDS as SERVERS

from ..support.new_owner import WAYS

ROOT = Path(ctxlocal.__file__).parents[1]


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("page", ["README.md", "docs/design.md"])
def test_a_page_names_each_strategy(page: str, name: str) -> None:
    assert f"`{name}`" in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMED)
def test_the_docstring_and_the_tests_know_each_strategy(name: str) -> None:
    assert f'"{name}"' in str(ident.resolve.__doc__)
    assert name in WAYS


@pytest.mark.parametrize("kind", KINDS)
def test_each_class_is_exported_and_on_the_page_of_reference(kind: str) -> None:
    name = KINDS[kind].__name__
    assert name in ident.__all__
    assert f"`{name}`" in (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_promise_and_is_explained(kind: str) -> None:
    assert promise(Place(), kind).creator == "shared"
    assert kind in OWNERS
    assert kind in _BESIDE


@pytest.mark.parametrize("server", SERVERS)
def test_what_a_kind_of_server_is_soaked_under_isolates_there(server: str) -> None:
    for name in SERVERS[server].strategies:
        strategy = ident.resolve(name)
        kind, hub = kind_of(strategy), getattr(strategy, "hub", None)
        wrong = fault(kind, hub, server, greenlets_have_contexts=True, in_threads=())
        assert wrong is None
