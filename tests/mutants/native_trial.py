"""Builds the native twin with one change, and runs tests on it, in a copy of the tree."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.tree import FAILED, PASSED, ROOT, Tree

from .native_sites import SOURCE, Site

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
#: What a change that is no C has to fail by: GCC lets pass what C23 does not.
_REFUSALS = ("implicit-function-declaration", "incompatible-pointer-types", "int-conversion")
_COMMON = [
    *("-w", "-fPIC", "-std=c11", "-fvisibility=hidden", f"-I{sysconfig.get_path('include')}"),
    *(f"-Werror={each}" for each in _REFUSALS),
]
_SANITIZE = ["-fsanitize=address,undefined"]
_FAST = ["-O0", "-g0", "-DNDEBUG"]
_BEST = ["-O2", "-g0", "-DNDEBUG"]
_DEBUG = [
    *("-O1", "-g", "-UNDEBUG", "-DCTXLOCAL_DEBUG=1", "-fno-omit-frame-pointer"),
    *(*_SANITIZE, "-fno-sanitize-recover=undefined"),
]
_TIME_S = 1_800  # that a run may take, however busy the machine is
_MEMORY = 6 << 30


class Stage(NamedTuple):
    """A run of tests.

    :param cpu_s: how many seconds of a processor it may take; what takes more does not end.
    :param is_sanitized: it is on a build with assertions, under the sanitizers; as the last one,
        for that build stays.
    """

    name: str
    arguments: tuple[str, ...]
    environ: dict[str, str] = {}  # noqa: RUF012 (a default that nobody changes)
    cpu_s: int = 900
    is_sanitized: bool = False


def _tests(*names: str, leaving: Sequence[str] = ("pure",)) -> tuple[str, ...]:
    return ("-k", " and ".join(f"not {each}" for each in leaving), *(f"tests/{n}" for n in names))


_ABOUT_C = (
    "local/test_stack.py",
    "local/test_local.py",
    "local/test_proxy.py",
    "local/test_proxy_like.py",
)
_SLOW = ("gevent", "eventlet", "hundred_thousand", "pytest_and_doctest")
_MIRRORS = {
    "stack": ("local/test_stack.py",),
    "pile": ("local/test_stack.py",),
    "proxy": ("local/test_proxy.py", "local/test_proxy_like.py"),
    "resolver": ("local/test_proxy.py",),
}
NEAR = Stage(
    "near",
    _tests(
        *_ABOUT_C, "local/test_parity.py", "local/test_native_memory.py", leaving=("pure", *_SLOW)
    ),
    cpu_s=120,
)
#: The nearest first: a change that one kills is not given to the next.
STAGES = (
    NEAR,
    Stage(
        "more",
        _tests(
            *_ABOUT_C,
            *(
                "local/test_recursion.py",
                "local/test_model.py",
                "ident/test_by_equality.py",
                "local/test_manager.py",
            ),
            *(
                "package/test_pain_points.py",
                "local/test_native_fuzz.py",
                "flow/test_flow.py",
                "ident/test_ident.py",
            ),
        ),
        {"CTXLOCAL_FUZZ_EXAMPLES": "60"},
    ),
    Stage(
        "differential",
        (*_tests("differential"), "-k", "native or threading"),
        {"CTXLOCAL_DIFFERENTIAL": "1500"},
    ),
    Stage("memory", _tests("local/test_memory.py", "local/test_native_model.py")),
    Stage(
        "sanitized",
        _tests(
            "local/test_native_memory.py",
            "local/test_stack.py",
            "local/test_native_fuzz.py",
            "local/test_parity.py",
        ),
        {"CTXLOCAL_FUZZ_EXAMPLES": "60"},
        is_sanitized=True,
    ),
)


def mirror(site: Site) -> Stage:
    """Return the run of what mirrors the file of a change, which takes the least time."""
    names = _MIRRORS.get(Path(site.file).stem, ("local/test_local.py",))
    return Stage("mirror", _tests(*names, leaving=("pure", *_SLOW)), cpu_s=60)


class Workshop:
    """A copy of the tree, in which one change after the other is made, built and tried."""

    def __init__(self, folder: Path) -> None:
        self._tree = Tree(folder / "tree", leaving=("__pycache__", "*.so"))
        self._object = folder / "native.o"
        self._whole = {"fast": self._compiled(_FAST), "best": b""}

    def build(self, site: Site | None) -> str:
        """Build the twin with a change; "" if that is done, else why there is nothing to try."""
        self._write(site)
        made = self._compiled(_FAST)
        if not made:
            return "no C"
        if site is not None and made == self._whole["fast"]:
            return "the same code"
        self._link([])
        return ""

    def is_same_when_optimised(self, site: Site) -> bool:
        """Whether the compiler makes the same of the change when it tries harder."""
        self._write(None)
        self._whole["best"] = self._whole["best"] or self._compiled(_BEST)
        self._write(site)
        return self._compiled(_BEST) == self._whole["best"]

    def run(self, stage: Stage) -> str:
        """Return what killed the change that was built last, "" if nothing did."""
        environ = dict(stage.environ)
        if stage.is_sanitized:
            self._compiled(_DEBUG)
            self._link(_SANITIZE)
            environ |= _sanitizer_environ()
        return _verdict(self._tree, environ, stage)

    def _write(self, site: Site | None) -> None:
        for path in (ROOT / SOURCE).rglob("*.[ch]"):
            name = path.relative_to(ROOT / SOURCE)
            text = path.read_text(encoding="utf-8")
            if site is not None and site.file == name.as_posix():
                text = site.apply(text)
            (self._tree.folder / SOURCE / name).write_text(text, encoding="utf-8")

    def _compiled(self, flags: Sequence[str]) -> bytes:
        """Compile, and return what was made; nothing where the compiler refuses."""
        source = f"{SOURCE}/module.c"
        command = [*_compiler(), *_COMMON, *flags, "-c", source, "-o", str(self._object)]
        done = subprocess.run(command, cwd=self._tree.folder, capture_output=True, check=False)
        return self._object.read_bytes() if done.returncode == 0 else b""

    def _link(self, flags: Sequence[str]) -> None:
        target = self._tree.package / "local" / f"_native{SUFFIX}"
        target.unlink(missing_ok=True)
        command = [*_compiler(), "-shared", *flags, str(self._object), "-o", str(target)]
        subprocess.run(command, check=True)


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "cc"))


def _sanitizer_environ() -> dict[str, str]:
    """Return the environment of .ci/run's part ``memory``."""
    libraries = [
        subprocess.check_output([*_compiler(), f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "halt_on_error=1",
        "PYTHONMALLOC": "malloc",
    }


def _verdict(tree: Tree, environ: dict[str, str], stage: Stage) -> str:
    """Run pytest, and say what went red first; a crash, and what does not end, is red too."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (stage.cpu_s, stage.cpu_s + 10))
        if not stage.is_sanitized:  # which reserve terabytes
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))

    arguments = ["-x", *stage.arguments]
    ended = tree.run_pytest(arguments, limit_s=_TIME_S, environ=environ, begin=limit)
    if ended.status is None:
        return f"not done in {_TIME_S} s"
    if ended.status == PASSED:
        return ""
    if ended.status in (-signal.SIGTERM, -signal.SIGKILL, -signal.SIGINT):
        raise RuntimeError("The tests were ended by somebody else, which says nothing")
    if ended.status != FAILED:
        return f"exit status {ended.status}"
    return ended.red[0].test if ended.red else "pytest's exit status 1"
