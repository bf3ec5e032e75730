"""A CPython whose private layouts are not those of native/layout.h: seen at import, done without.

There is none to try it on; so the native twin is built with other layouts than this CPython has.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.twins import IMPLEMENTATIONS

ROOT = Path(__file__).parents[2]

#: What is changed in layout.h: each a text and what takes its place.
CHANGES = {
    "a version that is not known": ("PY_VERSION_HEX < 0x03100000", "0"),
    "another order in a ContextVar": (
        "    uint64_t cached_tsid;\n    uint64_t cached_tsver;\n    Py_hash_t",
        "    uint64_t cached_tsver;\n    uint64_t cached_tsid;\n    Py_hash_t",
    ),
    "another order in a map": (
        "    PyObject *root;\n    PyObject *weakreflist;",
        "    PyObject *weakreflist;\n    PyObject *root;",
    ),
    "another order in a bitmap": (
        "    uint32_t bitmap;\n    PyObject *array[1];",
        "    PyObject *array[1];\n    uint32_t bitmap;",
    ),
    "another order in an array": (
        "    PyObject *array[32];\n    Py_ssize_t count;",
        "    Py_ssize_t count;\n    PyObject *array[32];",
    ),
}

PROGRAM = """
import json, sys
from ctxlocal.cli.doctor import diagnose
from ctxlocal.local import _native
from tests.support import holding

facts = diagnose().as_dict()["facts"]
print(json.dumps([facts["twin"], facts["twin_reason"], _native.IN_PLACE, holding.main(5)]))
"""

pytestmark = [
    pytest.mark.skipif("native" not in IMPLEMENTATIONS, reason="the native twin is not built"),
    pytest.mark.skipif(not os.path.isdir(ROOT / "ctxlocal/local/native"), reason="no sources here"),
    pytest.mark.timeout(0),
    pytest.mark.slow,
]


@pytest.mark.parametrize("change", CHANGES)
def test_values_are_copied_where_the_layouts_are_not_known(change: str, tmp_path: Path) -> None:
    if shutil.which("cc") is None and not os.environ.get("CI"):
        pytest.skip("there is no compiler here")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    built = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "ctxlocal", tmp_path / "ctxlocal", ignore=built)
    layouts = tmp_path / "ctxlocal/local/native/layout.h"
    former, other = CHANGES[change]
    source = layouts.read_text()
    assert source.count(former) == 1
    layouts.write_text(source.replace(former, other))
    environment = {
        **os.environ,
        "CTXLOCAL_DEBUG": "1",
        "CTXLOCAL_REQUIRE_NATIVE": "1",
        "CTXLOCAL_NO_INPLACE": "",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
    }
    for arguments in (["setup.py", "-q", "build_ext", "--inplace"], ["-c", PROGRAM]):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    reason = "built for this Python; a Context's values are copied for each write"
    assert json.loads(done.stdout) == ["native", reason, 0, []]
