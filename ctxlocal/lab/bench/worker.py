"""Runs one job in a process of its own; ``conductor`` starts it.

Reads the job from stdin, writes one line of JSON for each step and a last one when it is done.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

from ctxlocal.lab.process import die_when_orphaned

SILENCE_S = 300  # a crowd of 10,000 takes its time on a busy machine
DONE = {"done": True}


def main() -> None:
    """Run what stdin asks for."""
    job = json.load(sys.stdin)
    answers, sys.stdout = sys.stdout, sys.stderr  # a library that prints must not be an answer
    module, _, name = job["target"].partition(":")
    die_when_orphaned(SILENCE_S)
    for step in getattr(import_module(module), name)(**job["arguments"]):
        die_when_orphaned(SILENCE_S)
        print(json.dumps(step), file=answers, flush=True)
    print(json.dumps(DONE), file=answers, flush=True)
