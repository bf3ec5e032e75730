"""Every shell line of the README and the docs runs where its reader is: beside the page's files.

A comment says what comes of it, and is checked: ``# answers "gevent"`` of a server, ``# exit
status 1`` of another command. A server gets a free port, and is asked for its first page.
"""

from __future__ import annotations

import http.client
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S

from ..support.pages import PAGES, Shell, save, shells_of, words_of
from ..support.services import die_with_parent, free_port

# What is read, but not run, and why.
NOT_RUN = {
    "*pip install*": "asks the network; CI runs those of the README as they stand",
    "ctxlocal soak*": "loads servers for minutes; tests/lab/test_soak.py runs it",
    "ctxlocal bench*": "measures for minutes; tests/lab/test_bench.py runs it",
    "python check_dynamo.py": "takes a minute; tests/sessions/stores/test_dynamodb.py runs it",
    "python -m benchmarks.*": "measures for minutes; tests/benchmarks run it",
}

# The options that give a server its port.
SERVERS = {
    "gunicorn": ("--no-control-socket", "--bind=127.0.0.1:{}"),
    "hypercorn": ("--bind=127.0.0.1:{}",),
    "uvicorn": ("--port={}",),
    "waitress-serve": ("--listen=127.0.0.1:{}",),
}
PORT = "8000"  # of a page's file that serves by itself

SHELLS = [shell for page in PAGES for shell in shells_of(page)]


def is_run(line: str) -> bool:
    return not any(fnmatch(line, left_out) for left_out in NOT_RUN)


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return that of a reader: our Python's commands come first, and nothing is set."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CTXLOCAL_")}
    return {**kept, "PATH": path, "HOME": str(folder), **variables}


def run(shell: Shell, line: str, folder: Path) -> None:
    """Run a line to its end, or ask what it serves for a page."""
    variables, words = words_of(line)
    if words[0] in SERVERS or PORT in shell.files.get(words[-1], ""):
        answered = re.search(r'# answers "(.*)"', line)
        body = ask(shell, variables, words, folder)
        assert answered is None or body == answered[1], line
        return
    status = re.search(r"# exit status (\d)", line)
    done = subprocess.run(
        line,
        shell=True,
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == int(status[1] if status else 0), line + done.stdout + done.stderr


def ask(shell: Shell, variables: dict[str, str], words: list[str], folder: Path) -> str:
    """Start a server and return its first page."""
    port = free_port()
    options = [option.format(port) for option in SERVERS.get(words[0], ())]
    save({name: text.replace(PORT, str(port)) for name, text in shell.files.items()}, folder)
    command = [words[0], *options, *words[1:]]
    with serving(command, folder, environment(folder, **variables)) as process:
        connection = connect(port, process)
        connection.request("GET", "/")
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
    assert response.status == 200, f"{shell.place}: {shlex.join(words)}: {response.status}"
    return body


@contextmanager
def serving(
    command: list[str], folder: Path, variables: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        yield process
    except Exception as error:
        raise AssertionError(f"{shlex.join(command)}\n{(folder / 'log').read_text()}") from error
    finally:
        with suppress(ProcessLookupError):  # it ended
            os.killpg(process.pid, signal.SIGKILL)  # its workers too
        process.wait()


def connect(port: int, process: subprocess.Popen[bytes]) -> http.client.HTTPConnection:
    """Return a connection as soon as the server takes one."""
    limit = time.monotonic() + PATIENCE_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.connect()
            return connection
        except ConnectionRefusedError:
            assert process.poll() is None, "it ended"
            assert time.monotonic() < limit, "it does not listen"
            threading.Event().wait(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shell",
    [shell for shell in SHELLS if any(map(is_run, shell.lines))],
    ids=lambda shell: shell.place,
)
def test_lines_run(shell: Shell, tmp_path: Path) -> None:
    save(shell.files, tmp_path)
    for line in filter(is_run, shell.lines):
        run(shell, line, tmp_path)


@pytest.mark.parametrize("left_out", NOT_RUN)
def test_what_is_not_run_is_there(left_out: str) -> None:
    assert [line for shell in SHELLS for line in shell.lines if fnmatch(line, left_out)] != []


APP = """
from ctxlocal.web import App

app = App("shop")


@app.get("/")
def index():
    return "here"
"""

WRONG = {
    "an App where its ASGI application is meant": "uvicorn shop:app",
    "a module that is not there": "waitress-serve shopp:app",
    "another answer": 'uvicorn shop:app.asgi  # answers "there"',
    "another exit status": "ctxlocal --version  # exit status 1",
    "an option that is not there": "ctxlocal doctor --inport shop",
}


def test_line_that_is_right_runs(tmp_path: Path) -> None:
    shell = Shell("here", {"shop.py": APP}, ['uvicorn shop:app.asgi  # answers "here"'])
    save(shell.files, tmp_path)
    run(shell, shell.lines[0], tmp_path)


@pytest.mark.parametrize("line", WRONG.values(), ids=WRONG)
def test_line_that_is_wrong_is_found(line: str, tmp_path: Path) -> None:
    shell = Shell("here", {"shop.py": APP}, [line])
    save(shell.files, tmp_path)
    with pytest.raises(AssertionError):
        run(shell, line, tmp_path)
