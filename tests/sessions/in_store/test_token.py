"""Commit ids and the names in logs: no process has those of another, nor has its child."""

from __future__ import annotations

import hashlib
import os

import pytest

from ctxlocal.sessions.in_store.token import commit_id, key_of, log_name, new_id


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_repeats_nothing_of_its_parent() -> None:
    """A store answers a commit id that it knows with the first answer, and stores nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, f"{commit_id()} {log_name('key')}".encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        of_child = told.read().split()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert of_child[0] != commit_id()
    assert of_child[1] != log_name("key")


def test_no_commit_id_comes_twice() -> None:
    assert len({commit_id() for _ in range(1000)}) == 1000


def test_a_key_is_the_sha_256_of_the_id() -> None:
    for session_id in (new_id(), "", "é"):
        assert key_of(session_id) == hashlib.sha256(session_id.encode()).hexdigest()
