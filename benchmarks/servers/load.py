"""wrk, which loads a server at a cost that hardly shows, and what the server spends meanwhile."""

from __future__ import annotations

import http.client
import re
import subprocess
from pathlib import Path

import psutil

from benchmarks.sessions.client import HOST, Jar
from benchmarks.sessions.visit import START

CONNECTIONS = 8
VISITORS = 64  # sessions that take turns: more than there are requests at once
# As a proxy that ends TLS sends it: the session's cookie is a Secure one.
HEADERS = {"Host": HOST, "X-Forwarded-Proto": "https"}
SCRIPT = """
local requests = {{ {requests} }}
local next = 0
function request()
  next = next % #requests + 1
  return requests[next]
end
"""
_REQUESTS = re.compile(r"(\d+) requests in ")
_RATE = re.compile(r"Requests/sec: +([\d.]+)")


class LoadError(Exception):
    """A server did not answer each request with success."""


def write_script(path: Path, port: int, target: str, *, has_sessions: bool) -> None:
    """Write what wrk sends: a request of each visitor in turn, or always the same."""
    visitors = range(VISITORS if has_sessions else 1)
    cookies = [first_cookie(port) if has_sessions else "" for _ in visitors]
    requests = ",\n".join(f"[[{_request(target, cookie)}]]" for cookie in cookies)
    path.write_text(SCRIPT.format(requests=requests), newline="")


def _request(target: str, cookie: str) -> str:
    headers = HEADERS | ({"Cookie": cookie} if cookie else {})
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    # Lua makes each end of a line in a long string a line feed: so it is asked for by its number.
    return "]]..'\\r\\n'..[[".join([*lines, "", ""])


def first_cookie(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", START, headers=HEADERS)
        response = connection.getresponse()
        body = response.read().decode()
        if response.status != 200:
            raise LoadError(f"{START}: {response.status} {body}")
        jar = Jar()
        jar.keep_all(response.headers.get_all("Set-Cookie", []))
        return jar.header
    finally:
        connection.close()


def put(port: int, script: Path, seconds: int) -> tuple[int, float]:
    """Load a server for so long, and return the number of requests and of requests a second.

    :raises LoadError: not each request was answered with success.
    """
    command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--timeout", "30s"]
    command += ["--duration", f"{seconds}s", "--script", str(script), f"http://127.0.0.1:{port}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    requests, rate = _REQUESTS.search(said), _RATE.search(said)
    if requests is None or rate is None or "Non-2xx" in said or "Socket errors" in said:
        raise LoadError(said)
    return int(requests[1]), float(rate[1])


def processor_seconds(process: psutil.Process) -> float:
    """Return the user and system time of a server and all that it has started."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)
