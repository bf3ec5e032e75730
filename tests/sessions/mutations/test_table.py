"""The table is complete and fits the code; ``python -m tests.sessions.mutations`` runs it."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.tree import ROOT

from .bearing import bearing_tests
from .mutation import Mutation
from .piece import Code
from .run import FOLDERS
from .table import MUTATIONS, REQUIREMENTS

CODE = Code.read(ROOT / "ctxlocal", FOLDERS)


@pytest.mark.parametrize("number", REQUIREMENTS)
def test_each_requirement_has_a_test_and_a_mutation(number: int) -> None:
    assert bearing_tests()[number] != []
    assert any(mutation.requirement == number for mutation in MUTATIONS)


def test_the_page_of_requirements_has_each_of_them() -> None:
    page = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| R(\d+) \| \S", page, re.MULTILINE) == list(map(str, REQUIREMENTS))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_each_piece_is_there_once(mutation: Mutation) -> None:
    assert mutation.edits != ()
    for edit in mutation.edits:
        CODE.find(edit)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_each_mutation_is_another_program(mutation: Mutation) -> None:
    """A test that is red because of the spelling shows nothing."""
    for path, changed in CODE.edited(mutation.edits).items():
        compile(ast.unparse(changed), path, "exec")


def test_no_two_mutations_have_one_name() -> None:
    assert len(set(map(str, MUTATIONS))) == len(MUTATIONS)


def test_numbers_are_read_from_names() -> None:
    found = bearing_tests()
    assert (
        "tests/web/app/test_application.py::test_r20_r21_headers_of_a_touched_session" in found[21]
    )
    assert not any("test_r17_" in test for test in found[7])
    assert set(found) <= set(REQUIREMENTS)
    assert all(
        (ROOT / test.partition("::")[0]).exists() for each in found.values() for test in each
    )
