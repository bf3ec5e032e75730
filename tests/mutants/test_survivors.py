import sys

import pytest

from .__main__ import all_mutants
from .mutant import mutants_of
from .survivors import as_entry, read_survivors
from .tree import ROOT

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="as the tool needs it")
PACKAGE = ROOT / "ctxlocal"


def test_names_are_unique_and_what_is_listed_is_in_the_code_and_has_a_reason() -> None:
    mutants = all_mutants(PACKAGE)
    names = {mutant.name for mutant in mutants}
    assert len(names) == len(mutants)
    listed = read_survivors()
    assert set(listed) <= names
    assert all(listed.values())


def test_each_mutant_is_a_program_and_another_one() -> None:
    for path in ("_pure/storage.py", "app.py", "session/codec.py"):
        source = (PACKAGE / path).read_bytes()
        for mutant in mutants_of(PACKAGE, path):
            changed = mutant.apply(source)
            assert changed != source, mutant
            compile(changed, path, "exec")


def test_an_entry_names_its_mutant_alone() -> None:
    mutants = mutants_of(PACKAGE, "_owner.py")
    entries = [as_entry(mutant) for mutant in mutants]
    assert len(set(entries)) == len(mutants)
