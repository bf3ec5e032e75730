"""Runs programs on one implementation: reads one as a line of JSON, answers with its outcomes.

``python -m tests.differential.run pure|native|werkzeug|threading``
"""

from __future__ import annotations

import contextvars
import functools
import io
import json
import math
import re
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

from .words import NAMES, drive

ADDRESS = re.compile(r"0x[0-9a-f]+")
PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray, range, slice, type(...))


def implementation(name: str) -> tuple[dict[str, Any], Callable[[Any], bool], Callable[[Any], Any]]:
    """Return the names of one, whether an object is its proxy, and how to see behind one."""
    if name in ("pure", "native"):
        from ..support.twins import IMPLEMENTATIONS

        impl = IMPLEMENTATIONS[name]
        base = impl.LocalProxy.__mro__[1]
        made = {n: getattr(impl, n) for n in ("Local", "LocalStack", "LocalProxy", "release_local")}
        made["Base"] = types.new_class("Base", (impl.Local,), {"ident": "thread"})
        made["ThreadLocal"] = functools.partial(impl.Local, ident="thread")
        return made, lambda obj: issubclass(type(obj), base), impl.unwrap
    import threading

    import werkzeug.local as impl

    made = {n: getattr(impl, n) for n in ("Local", "LocalStack", "LocalProxy", "release_local")}
    made["Base"] = type("Base", (threading.local,), {})
    made["ThreadLocal"] = threading.local

    def unwrap(obj: Any) -> Any:
        while issubclass(type(obj), impl.LocalProxy):
            obj = object.__getattribute__(obj, "_get_current_object")()
        return obj

    return made, lambda obj: issubclass(type(obj), impl.LocalProxy), unwrap


class Runner:
    """Runs programs with the names of one implementation."""

    def __init__(self, name: str) -> None:
        self.names, self.is_proxy, self.unwrap = implementation(name)

    def run(self, program: list[str]) -> list[Any]:
        """Return what each step of a program comes to."""
        return contextvars.Context().run(self._run, program)

    def _run(self, program: list[str]) -> list[Any]:
        namespace = {"__name__": "program", **NAMES, **self.names, "unwrap": self.unwrap}
        namespace["is_proxy"] = self.is_proxy
        try:
            return [self._step(source, namespace) for source in program]
        finally:
            for obj, attributes in WORDS:
                restore(obj, attributes)

    def _step(self, source: str, namespace: dict[str, Any]) -> Any:
        namespace["_"] = None
        try:
            code, is_expression = compiled(source)
            value = eval(code, namespace)
            return ["result", self.told(value if is_expression else namespace["_"])]
        except Exception as error:
            kinds = [each.__name__ for each in type(error).__mro__[:-2]]
            return ["error", kinds, ADDRESS.sub("0x0", _text(error))]

    def told(self, value: Any, depth: int = 3) -> Any:
        """Describe a value without the name of the implementation."""
        if self.is_proxy(value):
            try:
                return ["proxy", type(value).__name__, self.told(self.unwrap(value), depth)]
            except Exception:
                return ["proxy", type(value).__name__, "unbound"]
        if isinstance(value, PLAIN):
            return [type(value).__name__, ADDRESS.sub("0x0", repr(value))[:1000]]
        if not depth:
            return [type(value).__name__]
        if isinstance(value, (list, tuple)):
            return [type(value).__name__, [self.told(each, depth - 1) for each in value]]
        if isinstance(value, (set, frozenset)):
            return [type(value).__name__, sorted(map(str, (self.told(each) for each in value)))]
        if isinstance(value, dict):
            told = [(self.told(k), self.told(v, depth - 1)) for k, v in value.items()]
            return [type(value).__name__, told]
        if isinstance(value, type):
            return ["class", value.__name__]
        if isinstance(value, memoryview):
            return ["memoryview", value.format, list(value.tobytes())]
        return self._told_by_attributes(value, depth)

    def _told_by_attributes(self, value: Any, depth: int) -> Any:
        if type(value).__module__ != "tests.differential.words":
            return [type(value).__name__]
        attributes = getattr(value, "__dict__", {})
        return [type(value).__name__, self.told(dict(attributes), depth - 1)]


def restore(obj: Any, attributes: dict[str, Any]) -> None:
    """Undo what a program did to a class or function that the next one uses too."""
    now = dict(vars(obj))
    for name in now.keys() - attributes.keys():
        delattr(obj, name)
    for name, value in attributes.items():
        if now.get(name, now) is not value:
            setattr(obj, name, value)


WORDS = [
    (word, dict(vars(word)))
    for word in (*NAMES.values(), NAMES["Color"].RED, math)
    if word is math or getattr(word, "__module__", "") == drive.__module__
]


@functools.lru_cache(maxsize=100_000)
def compiled(source: str) -> tuple[types.CodeType, bool]:
    """Compile a step; the other half tells whether it is an expression."""
    try:
        return compile(source, "<program>", "eval"), True
    except SyntaxError:
        return compile(source, "<program>", "exec"), False


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # of `assert False, proxy` the text is an unbound proxy's
        return "there is no text"


def main() -> None:
    """Answer until the input ends."""
    warnings.simplefilter("ignore")
    runner = Runner(sys.argv[1])
    answers, sys.stdout = sys.stdout, sys.stderr
    lines, sys.stdin = sys.stdin, io.StringIO()  # which no program may read
    for line in lines:
        print(json.dumps(runner.run(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
