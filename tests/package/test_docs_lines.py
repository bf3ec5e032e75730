"""What the shell lines and the prose of the README and the docs name is there, run or not."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec

import pytest
from click.testing import CliRunner

from ctxlocal.cli.commands import ctxlocal

from ..support.pages import PAGES, ROOT, Shell, shells_of, words_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHELLS = [shell for page in PAGES for shell in shells_of(page)]
LINES = [line for shell in SHELLS for line in shell.lines]
PROSE = "".join(re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S) for page in PAGES)
INLINE = re.findall(r"`([^`]+)`", PROSE)


def project() -> tuple[set[str], set[str]]:
    """Return the extras and the dependency groups that there are."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return set(settings["project"]["optional-dependencies"]), set(settings["dependency-groups"])


def unknown_to_pip(line: str) -> set[str]:
    """Return the extras and groups of a line that there are not."""
    extras, groups = project()
    asked = {extra for some in re.findall(r"\[(.*?)\]", line) for extra in some.split(",")}
    return (asked - extras) | (set(re.findall(r"--group (\S+)", line)) - groups)


@pytest.mark.parametrize("line", sorted({code for code in LINES + INLINE if "pip install" in code}))
def test_pip_line_names_what_there_is(line: str) -> None:
    assert unknown_to_pip(line) == set()


def not_understood(line: str) -> str:
    """Return what ``ctxlocal`` says of a line's options; with ``--help`` it does nothing else."""
    done = CliRunner().invoke(ctxlocal, [*words_of(line)[1][1:], "--help"])
    return done.output if done.exit_code else ""


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("ctxlocal ")])
def test_ctxlocal_line_is_understood(line: str) -> None:
    assert not_understood(line) == ""


@pytest.mark.parametrize(
    "code", sorted({code for code in INLINE if re.match("ctxlocal [a-z]", code)})
)
def test_command_that_is_mentioned_is_there(code: str) -> None:
    command = ctxlocal.commands[code.split()[1]]
    commands = [command, *getattr(command, "commands", {}).values()]
    options = {option for each in commands for param in each.params for option in param.opts}
    assert set(re.findall(r"--[a-z-]+", code)) - options == set()


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("python -m bench")])
def test_module_that_a_line_runs_is_there(line: str) -> None:
    assert find_spec(words_of(line)[1][2]) is not None


def serves_wsgi(shell: Shell, line: str) -> bool:
    """Tell whether a server of ASGI gets an App itself, which hypercorn serves as WSGI."""
    _, words = words_of(line)
    module, _, name = words[-1].partition(":")
    is_app = f"\n{name} = App(" in shell.files.get(f"{module}.py", "")
    return words[0] in ("hypercorn", "uvicorn") and is_app


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.place)
def test_servers_of_asgi_get_an_asgi_application(shell: Shell) -> None:
    assert [line for line in shell.lines if serves_wsgi(shell, line)] == []


APP = "\napp = App('shop')\n"


def test_app_that_hypercorn_would_serve_as_wsgi_is_found() -> None:
    shell = Shell("here", {"shop.py": APP}, ["hypercorn shop:app.asgi", "hypercorn shop:app"])
    assert [serves_wsgi(shell, line) for line in shell.lines] == [False, True]


def test_extra_that_is_not_there_is_found() -> None:
    assert unknown_to_pip('pip install ".[web,wob]" --group tset') == {"wob", "tset"}


def test_option_that_is_not_there_is_found() -> None:
    assert "No such option" in not_understood("ctxlocal soak --sabotge shared-dict")
