"""A result reaches its file in full, or the command says that it did not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctxlocal.cli.output import NotWritten
from ctxlocal.cli.result import write_json


def test_it_is_written_to_the_end(tmp_path: Path) -> None:
    with (tmp_path / "found.json").open("w") as file:
        write_json({"a": 1}, file)
        assert json.loads((tmp_path / "found.json").read_text()) == {"a": 1}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
def test_a_full_disk_is_told() -> None:
    file = open("/dev/full", "w")  # noqa: SIM115  closing it raises once more
    with pytest.raises(NotWritten) as told:
        write_json({"a": 1}, file)
    assert told.value.format_message() == "/dev/full: No space left on device"
    with pytest.raises(OSError, match="No space left"):
        file.close()
