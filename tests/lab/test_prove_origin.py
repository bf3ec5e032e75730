"""Which commit a report names: that of the checkout that what runs was installed from."""

from __future__ import annotations

import json
import os
import subprocess
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

import ctxlocal
from ctxlocal.lab.prove import origin as module
from ctxlocal.lab.prove.origin import origin

AUTHOR = {
    f"GIT_{who}_{what}": "nobody@localhost"
    for who in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}


def git(folder: Path, *arguments: str) -> str:
    """Run git, whatever this machine's settings are, and in a hook of another repository too."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    nobody = AUTHOR | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env=clean | nobody,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a package in it, committed."""
    folder = tmp_path / "a checkout"
    (folder / "ctxlocal").mkdir(parents=True, exist_ok=True)
    (folder / "ctxlocal" / "__init__.py").write_text("first = 1\n")
    (folder / "ctxlocal" / "more.py").write_text("second = 2\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "all")
    return folder


def told(monkeypatch: pytest.MonkeyPatch, recorded: object, package: Path) -> dict[str, Any]:
    """What is told of ``package`` where pip has recorded this."""

    found = package.parent / "found"
    silent = found / "checkout" / "ctxlocal.egg-info"  # the first one, as in a checkout's folder
    silent.mkdir(parents=True, exist_ok=True)
    (silent / "PKG-INFO").write_text("Name: ctxlocal\n")
    installed = found / "site" / "ctxlocal-0.1.0.dist-info"
    installed.mkdir(parents=True, exist_ok=True)
    (installed / "METADATA").write_text("Name: ctxlocal\n")
    if recorded is not None:
        (installed / "direct_url.json").write_text(json.dumps(recorded))
    path = [str(silent.parent), str(installed.parent)]
    monkeypatch.setattr(module, "distributions", partial(distributions, path=path))
    monkeypatch.setattr(ctxlocal, "__file__", str(package / "__init__.py"))
    return origin()


def installed_from(folder: Path, **info: bool) -> dict[str, Any]:
    return {"url": folder.as_uri(), "dir_info": info}


def copy_of(package: Path, target: Path) -> Path:
    target.mkdir()
    for file in package.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_an_editable_install_has_the_commit_of_its_checkout(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told(monkeypatch, installed_from(checkout, editable=True), checkout / "ctxlocal")
    assert found["commit"] == git(checkout, "rev-parse", "HEAD")
    assert found["is_changed"] is False
    assert (found["version"], found["twin"]) == (ctxlocal.__version__, ctxlocal.IMPLEMENTATION)


@pytest.mark.parametrize("name", ["ctxlocal/__init__.py", "ctxlocal/new.py", "pyproject.toml"])
def test_a_checkout_that_was_changed_says_so(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (checkout / name).write_text("third = 3\n")
    found = told(monkeypatch, installed_from(checkout, editable=True), checkout / "ctxlocal")
    assert found["is_changed"] is True


def test_what_nothing_is_made_of_is_no_change(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "ctxlocal-report.html").write_text("a report")
    found = told(monkeypatch, installed_from(checkout, editable=True), checkout / "ctxlocal")
    assert found["is_changed"] is False


def test_a_copy_has_the_commit_while_the_checkout_is_where_it_was(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = copy_of(checkout / "ctxlocal", tmp_path / "ctxlocal")
    assert told(monkeypatch, installed_from(checkout), package)["is_changed"] is False
    (checkout / "ctxlocal" / "more.py").write_text("second = 22\n")
    git(checkout, "commit", "-q", "-a", "-m", "on")
    assert told(monkeypatch, installed_from(checkout), package)["is_changed"] is True


def test_a_repository_around_it_is_another_one(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = checkout / "inner"
    (inner / "ctxlocal").mkdir(parents=True, exist_ok=True)
    (inner / "ctxlocal" / "__init__.py").touch()
    assert "commit" not in told(monkeypatch, installed_from(inner), inner / "ctxlocal")


def test_an_install_from_a_repository_has_its_commit(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = {"url": "https://example.org/x", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    found = told(monkeypatch, recorded, checkout / "ctxlocal")
    assert (found["commit"], found["is_changed"]) == ("abc", False)


@pytest.mark.parametrize(
    "recorded",
    [
        None,
        [],
        {"url": "https://example.org/ctxlocal.whl", "archive_info": {}},
        {"url": "file:///nowhere/at/all", "dir_info": {}},
    ],
)
def test_where_nothing_tells_it_no_commit_is_named(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, recorded: object
) -> None:
    assert "commit" not in told(monkeypatch, recorded, checkout / "ctxlocal")


def test_without_git_no_commit_is_named(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert "commit" not in told(monkeypatch, installed_from(checkout), checkout / "ctxlocal")


def test_the_environment_names_no_other_repository(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    found = told(monkeypatch, installed_from(checkout), checkout / "ctxlocal")
    assert found["commit"] == head


@pytest.mark.parametrize("folder", ["/opt/some/where/", "C:\\opt\\some\\"])
def test_no_path_is_told(checkout: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.setattr(module, "REASON", f"it cannot be loaded ({folder}_native.so: no symbol)")
    found = told(monkeypatch, installed_from(checkout, editable=True), checkout / "ctxlocal")
    assert found["twin_reason"] == "it cannot be loaded (_native.so: no symbol)"
    assert str(checkout) not in json.dumps(found)
