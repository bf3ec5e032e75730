import sys

import pytest

from tests.support.tree import ROOT

from .mutant import mutants_of
from .survivors import as_entry, read_survivors

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="as the tool needs it")
PACKAGE = ROOT / "ctxlocal"


def test_what_is_listed_is_in_the_code_and_has_a_reason() -> None:
    listed = read_survivors()
    files = {path for path, *_ in listed}
    known = {mutant.name for path in files for mutant in mutants_of(PACKAGE, path)}
    assert set(listed) <= known
    assert all(listed.values())


@pytest.mark.parametrize("path", ["ident/record.py", "local/storage.py", "sessions/codec.py"])
def test_each_mutant_is_another_program_and_has_a_name_and_an_entry_of_its_own(path: str) -> None:
    source = (PACKAGE / path).read_bytes()
    mutants = mutants_of(PACKAGE, path)
    for mutant in mutants:
        changed = mutant.apply(source)
        assert changed != source, mutant
        compile(changed, path, "exec")
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    assert len({as_entry(mutant) for mutant in mutants}) == len(mutants)


def test_a_decorator_is_noticed_by_who_runs_what_it_decorates() -> None:
    of_decorators = [
        mutant
        for mutant in mutants_of(PACKAGE, "sessions/interface.py")
        if mutant.before.startswith("@")
    ]
    assert of_decorators
    for mutant in of_decorators:
        assert mutant.lines.stop - 1 in mutant.users
