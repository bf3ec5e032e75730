"""Which ctxlocal was measured: its version, its twin, and the commit of its checkout.

No path is told: a report is for others too.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import ctxlocal
from ctxlocal.lab.versions import hidden_twin
from ctxlocal.local import REASON

PATIENCE_S = 30
MADE_OF = ("pyproject.toml", "setup.py", "ctxlocal")  # what an installation takes
_FOLDERS = re.compile(r"(?:[A-Za-z]:)?[/\\][^\s'\":]*[/\\]")


def origin() -> dict[str, Any]:
    """Return "version", "twin" and "twin_reason"; "commit" and "is_changed" where they are known.

    ``is_changed`` tells that what runs is not what the commit has.
    """
    return {
        "version": ctxlocal.__version__,
        "twin": ctxlocal.IMPLEMENTATION,
        "twin_reason": hidden_twin() or _FOLDERS.sub("", REASON),
        **_commit(_recorded(), Path(ctxlocal.__file__).parent),
    }


def _recorded() -> dict[str, Any]:
    """Where pip says that it was installed from (PEP 610); empty where it says nothing.

    In the folder of a checkout its ``egg-info`` is found first, which does not tell.
    """
    told = (found.read_text("direct_url.json") for found in distributions(name="ctxlocal"))
    try:
        found: Any = json.loads(next(filter(None, told), "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _commit(recorded: dict[str, Any], package: Path) -> dict[str, Any]:
    """Return the commit of what ``package``, the folder that is imported, was installed from."""
    if commit := recorded.get("vcs_info", {}).get("commit_id"):
        return {"commit": commit, "is_changed": False}
    address = urlsplit(recorded.get("url", ""))
    if address.scheme != "file" or "dir_info" not in recorded:
        return {}
    checkout = Path(url2pathname(address.path))
    # A repository around the folder may be somebody else's.
    if _git(checkout, "ls-files", "--error-unmatch", "ctxlocal/__init__.py") is None:
        return {}
    commit = _git(checkout, "rev-parse", "HEAD")
    changes = _git(checkout, "status", "--porcelain", "--", *MADE_OF)
    if not commit or changes is None:
        return {}
    is_changed = bool(changes) or not _is_same(package, checkout / "ctxlocal")
    return {"commit": commit, "is_changed": is_changed}


def _is_same(package: Path, source: Path) -> bool:
    """Whether the modules are those of the checkout, which may have moved on since."""
    return _modules(package) == _modules(source)


def _modules(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.py")}


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git says; None where it is not there, or refuses."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, env=clean, capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()
