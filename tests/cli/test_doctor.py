from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ctxlocal.cli.doctor import Diagnosis, diagnose
from ctxlocal.cli.doctor.advice import advise
from ctxlocal.cli.doctor.facts import Default, Facts, Patch
from ctxlocal.cli.doctor.view import show
from ctxlocal.lab.servers.kinds import KINDS

ALL = {"ctxlocal": "1", "greenlet": "3", "gevent": "26", "eventlet": "0.41", "trio": "0.35"}
HEALTHY = Facts(
    python="3.11.7",
    free_threaded=False,
    gil=True,
    thread_inherit_context=None,
    twin="pure",
    twin_reason="",
    default=Default("context", "context", None, "built-in"),
    greenlet_contexts=True,
    versions=ALL,
)

FLASKS = ("current_app", "g", "request", "session")


def under(strategy: str, hub: str | None = None, **changes: Any) -> Facts:
    default = Default(hub or strategy, strategy, hub, "set_default")
    return replace(HEALTHY, default=default, **changes)


def errors(facts: Facts, server: str | None = None) -> list[str]:
    return [finding.text for finding in advise(facts, server) if finding.level == "error"]


def notes(facts: Facts, server: str | None = None) -> str:
    return "\n".join(f.text for f in advise(facts, server) if f.level == "note")


def doctor(*arguments: str, code: str | None = None, **environ: str) -> Any:
    # Without -B a module that is written anew within a second is read from its old bytecode.
    command = [sys.executable, "-B", "-W", "ignore"]
    command += ["-c", code] if code else ["-m", "ctxlocal", "doctor", *arguments]
    inherited = {k: v for k, v in os.environ.items() if k != "CTXLOCAL_IDENT"}
    inherited["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(command, capture_output=True, text=True, env={**inherited, **environ})


def facts_after(code: str) -> dict[str, Any]:
    """What diagnose() sees in a process that has run ``code``."""
    ending = "import json; from ctxlocal.cli.doctor import diagnose\n"
    ending += "print(json.dumps(diagnose().as_dict()['facts']))"
    done = doctor(code=f"{code}\n{ending}")
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


class TestAdvice:
    @pytest.mark.parametrize(
        ("strategy", "isolating"),
        [
            ("context", {"asyncio", "trio", "gevent", "eventlet", "threads"}),
            ("thread", {"threads"}),
            ("greenlet", {"gevent", "eventlet", "threads"}),
            ("task", {"asyncio", "threads"}),
        ],
    )
    def test_which_strategy_isolates_where(self, strategy: str, isolating: set[str]) -> None:
        assert {name for name in KINDS if not errors(under(strategy), name)} == isolating

    def test_it_says_what_to_use_instead(self) -> None:
        assert errors(under("thread"), "asyncio") == [
            "The strategy 'thread' gives concurrent requests, which share a thread under asyncio, "
            "one set of values. Use 'context' or 'task': set CTXLOCAL_IDENT, or call "
            "ctxlocal.ident.set_default()."
        ]

    def test_what_runs_decides_where_no_server_is_named(self) -> None:
        assert errors(under("thread", running={"asyncio": "uvloop.Loop"}))
        assert not errors(under("thread"))
        assert "Nothing in this process tells" in notes(under("thread"))

    def test_patched_threads_are_greenlets(self) -> None:
        patched = under("thread", patches=(Patch("gevent", ("threading",), ()),))
        assert "share a thread under gevent" in errors(patched, "threads")[0]

    def test_the_other_hub_has_patched(self) -> None:
        patched = under("greenlet", patches=(Patch("gevent", ("threading",), ()),))
        assert errors(patched, "eventlet") == [
            "This process is patched by gevent, but the server is eventlet. Patch with eventlet, "
            "or run it under gevent."
        ]

    def test_both_hubs_have_patched(self) -> None:
        patches = (Patch("gevent", ("os",), ()), Patch("eventlet", ("os",), ()))
        found = errors(under("greenlet", patches=patches))
        assert found == ["gevent and eventlet have both patched this process. Remove one."]

    def test_the_strategy_insists_on_the_other_hub(self) -> None:
        found = errors(under("greenlet", hub="gevent"), "eventlet")
        assert found[0].startswith("The strategy 'gevent' refuses greenlets of eventlet. Use ")

    def test_the_library_is_missing(self) -> None:
        found = errors(replace(HEALTHY, versions={}), "gevent")
        assert found == ["gevent is not installed: pip install gevent"]

    def test_greenlets_without_contexts(self) -> None:
        found = errors(replace(HEALTHY, greenlet_contexts=False), "gevent")
        assert 'pip install "greenlet>=3.1"' in found[0]
        assert not errors(replace(HEALTHY, greenlet_contexts=False), "asyncio")

    def test_a_callable_is_not_judged(self) -> None:
        assert not errors(under("callable"), "asyncio")
        assert "Only callable itself knows" in notes(under("callable"), "asyncio")

    def test_a_twin_that_was_not_built_is_told(self) -> None:
        reason = "the native twin was not built, or cannot be loaded (No module named '_native')"
        assert f"takes several times as long: {reason}. Install a C compiler" in notes(
            replace(HEALTHY, twin_reason=reason)
        )
        assert "C compiler" not in notes(replace(HEALTHY, twin_reason="CTXLOCAL_PURE is set"))

    def test_notes(self) -> None:
        facts = under("greenlet", environment_ident="thread")
        assert "CTXLOCAL_IDENT=thread is overruled" in notes(facts)
        assert "copy of their starter's" in notes(replace(HEALTHY, thread_inherit_context=True))

    @pytest.mark.parametrize(
        ("strategy", "what"),
        [
            ("context", "So does the default;"),
            ("thread", "they tell threads apart; but a task"),
            ("greenlet", "they tell greenlets apart and inherit nothing"),
            ("task", "they show the creator's values"),
            ("callable", "means nothing to them"),
        ],
    )
    def test_what_keeps_to_the_context_is_named(self, strategy: str, what: str) -> None:
        found = notes(under(strategy, context_proxies=("shop.request", "shop.user")))
        assert "whatever the default is: shop.request, shop.user. " in found
        assert what in found

    def test_what_keeps_to_contexts_that_greenlets_lack(self) -> None:
        lacking = under("greenlet", greenlet_contexts=False, context_proxies=("shop.request",))
        assert errors(lacking, "gevent")[0].endswith('pip install "greenlet>=3.1"')
        assert not errors(lacking, "threads")


class TestShown:
    @pytest.mark.parametrize(
        ("free_threaded", "gil", "wanted"),
        [
            (False, True, "3.11.7"),
            (True, False, "3.11.7, free-threaded"),
            (True, True, "3.11.7, free-threaded, the GIL switched on"),
        ],
    )
    def test_whether_there_is_a_gil(self, free_threaded: bool, gil: bool, wanted: str) -> None:
        facts = replace(HEALTHY, free_threaded=free_threaded, gil=gil)
        printed = io.StringIO()
        show(Diagnosis(facts, ()), Console(file=printed, width=100))
        assert printed.getvalue().splitlines()[0].removeprefix("python").strip() == wanted


class TestDiagnose:
    def test_the_running_loop_is_seen(self) -> None:
        async def inside() -> dict[str, str]:
            return diagnose().facts.running

        with ThreadPoolExecutor(1) as pool:  # where no earlier test has left gevent's hub
            assert set(pool.submit(asyncio.run, inside()).result()) == {"asyncio"}

    def test_an_unknown_server_is_refused(self) -> None:
        message = "^server is 'twisted'; expected one of asyncio, trio, gevent, eventlet, threads"
        with pytest.raises(ValueError, match=message):
            diagnose(server="twisted")

    def test_it_needs_neither_click_nor_rich(self) -> None:
        facts = facts_after("import sys; sys.modules['click'] = sys.modules['rich'] = None")
        assert facts["default"]["name"] == "context"

    def test_gevent_patched_first(self) -> None:
        facts = facts_after("import gevent.monkey; gevent.monkey.patch_all()")
        (patch,) = facts["patches"]
        assert patch["library"] == "gevent"
        assert "threading" in patch["modules"]
        assert patch["too_early"] == []

    def test_gevent_patched_after_others(self) -> None:
        facts = facts_after("import ctxlocal, asyncio, gevent.monkey; gevent.monkey.patch_all()")
        early = facts["patches"][0]["too_early"]
        assert {"ctxlocal", "asyncio", "threading"} <= set(early)

    def test_eventlet_patched(self) -> None:
        facts = facts_after("import eventlet; eventlet.monkey_patch(); import ctxlocal")
        assert facts["patches"][0]["library"] == "eventlet"
        assert facts["patches"][0]["too_early"] == []

    def test_a_partial_patch(self) -> None:
        facts = facts_after("import gevent.monkey; gevent.monkey.patch_socket()")
        assert facts["patches"][0]["modules"] == ["socket"]

    @pytest.mark.parametrize(
        ("code", "library"),
        [
            ("import gevent; gevent.sleep(0)", "gevent"),
            ("import eventlet; eventlet.sleep(0)", "eventlet"),
        ],
    )
    def test_a_running_hub_is_seen(self, code: str, library: str) -> None:
        assert list(facts_after(code)["running"]) == [library]


class TestContextProxies:
    def named_after(self, code: str) -> list[str]:
        names: list[str] = facts_after(code)["context_proxies"]
        return names

    def test_flask(self) -> None:
        names = self.named_after("from flask import Flask, current_app, g, request, session")
        assert {f"flask.globals.{name}" for name in FLASKS} <= set(names)
        assert not any(name.startswith("__main__.") for name in names)

    def test_werkzeug(self) -> None:
        names = self.named_after(
            "from werkzeug.local import Local, LocalProxy, LocalStack\n"
            "local = Local(); user = local('user'); stack = LocalStack(); top = stack()\n"
            "called = LocalProxy(lambda: 1)"
        )
        assert names == ["__main__.local", "__main__.stack", "__main__.top", "__main__.user"]

    @pytest.mark.parametrize("pure", ["0", "1"])
    def test_ctxlocal(self, pure: str) -> None:
        names = self.named_after(
            f"import os; os.environ['CTXLOCAL_PURE'] = {pure!r}\n"
            "from contextvars import ContextVar\n"
            "from ctxlocal import Local, LocalProxy, LocalStack\n"
            "local = Local(ContextVar('a')); user = local('user')\n"
            "stack = LocalStack(ContextVar('b')); var = LocalProxy(ContextVar('c'))\n"
            "follows = Local(); its = follows('x'); pinned = Local(ident='thread')\n"
            "again = LocalProxy(lambda: 1)"
        )
        assert names == ["__main__.local", "__main__.stack", "__main__.user", "__main__.var"]

    def test_what_no_module_has_is_named_by_its_variable(self) -> None:
        names = self.named_after(
            "from contextvars import ContextVar\n"
            "from ctxlocal import LocalProxy\n"
            "kept = [LocalProxy(ContextVar('shop.user'))]"
        )
        assert names == ["a LocalProxy of ContextVar 'shop.user'"]

    def test_a_lazy_module_stays_unloaded(self, tmp_path: Path) -> None:
        (tmp_path / "its_lazy.py").write_text("raise AssertionError('loaded')")
        names = self.named_after(
            "import sys, importlib.util as util\n"
            f"sys.path.insert(0, {str(tmp_path)!r})\n"
            "spec = util.find_spec('its_lazy'); loader = util.LazyLoader(spec.loader)\n"
            "spec.loader = loader; module = util.module_from_spec(spec)\n"
            "sys.modules['its_lazy'] = module; loader.exec_module(module)"
        )
        assert names == []

    @pytest.mark.skipif(sys.version_info < (3, 15), reason="lazy imports are of 3.15")
    def test_a_lazy_import_stays_unloaded(self, tmp_path: Path) -> None:
        (tmp_path / "its_lazy.py").write_text("raise AssertionError('loaded')")
        names = self.named_after(
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
            "lazy import its_lazy\n"
            "lazy from its_lazy import local"
        )
        assert names == []

    def test_flask_keeps_to_the_context_under_gevent(self) -> None:
        """What the doctor says of them."""
        code = (
            "import gevent.monkey; gevent.monkey.patch_all()\n"
            "import gevent\n"
            "from flask import Flask, request\n"
            "from ctxlocal import flow\n"
            "app = Flask('shop')\n"
            "def own(path):\n"
            "    with app.test_request_context(path):\n"
            "        gevent.sleep(0)\n"
            "        return request.path\n"
            "def inherited(): return request.path if request else None\n"
            "with app.test_request_context('/outer'):\n"
            "    jobs = [gevent.spawn(own, path) for path in ('/a', '/b')]\n"
            "    jobs += [gevent.spawn(inherited), gevent.spawn(flow.bind(inherited))]\n"
            "    assert [job.get() for job in jobs] == ['/a', '/b', None, '/outer']"
        )
        assert doctor(code=code).returncode == 0


class TestCommand:
    def test_the_built_in_default_is_healthy(self) -> None:
        done = doctor()
        assert done.returncode == 0
        assert "context (built-in)" in done.stdout

    def test_asyncio_under_the_thread_strategy(self) -> None:
        done = doctor("--server", "asyncio", CTXLOCAL_IDENT="thread")
        assert done.returncode == 1
        assert "thread (CTXLOCAL_IDENT)" in done.stdout
        assert "Use 'context' or 'task'" in " ".join(done.stdout.split())

    def test_a_wrong_name_in_the_environment(self) -> None:
        done = doctor("--json", CTXLOCAL_IDENT="gevnt")
        report = json.loads(done.stdout)
        assert done.returncode == 1
        assert not report["healthy"]
        assert report["findings"][0]["level"] == "error"
        assert report["findings"][0]["text"].startswith(
            "The environment variable CTXLOCAL_IDENT is 'gevnt', which is no identity strategy."
        )

    def test_the_application_is_imported_first(self, tmp_path: Path) -> None:
        app = (
            "import gevent.monkey; gevent.monkey.patch_all()\n"
            "import ctxlocal; ctxlocal.ident.set_default('task')\n"
        )
        (tmp_path / "its_app.py").write_text(app)
        code = (
            f"import os, sys; os.chdir({str(tmp_path)!r})\n"
            "sys.argv[1:] = ['doctor', '--import', 'its_app:application']\n"
            "from ctxlocal.cli import main; main()"
        )
        done = doctor(code=code)
        assert done.returncode == 1
        assert "task (set_default)" in done.stdout
        assert "gevent: os" in done.stdout
        assert "Use 'context' or 'greenlet'" in " ".join(done.stdout.split())

    def test_an_application_of_flask(self, tmp_path: Path) -> None:
        (tmp_path / "its_shop.py").write_text(
            "from flask import Flask, request, session\napp = Flask(__name__)\n"
        )
        code = (
            f"import os, sys; os.chdir({str(tmp_path)!r})\n"
            "sys.argv[1:] = ['doctor', '--import', 'its_shop:app', '--server', 'gevent']\n"
            "from ctxlocal.cli import main; main()"
        )
        done = doctor(code=code, CTXLOCAL_IDENT="gevent")
        assert done.returncode == 0
        shown = " ".join(done.stdout.split())
        assert all(f"flask.globals.{name}" in shown for name in FLASKS)
        assert "they tell greenlets apart and inherit nothing" in shown

    def test_an_application_that_cannot_be_imported(self) -> None:
        done = doctor("--import", "no_such_application")
        assert done.returncode == 2
        assert "No module named 'no_such_application'" in done.stderr

    def test_an_unknown_server(self) -> None:
        done = doctor("--server", "twisted")
        assert done.returncode == 2
        assert "'twisted' is not one of" in done.stderr


MIDDLEWARE = """
from ctxlocal.sessions import StoredSessions
from ctxlocal.sessions.stores.memory import MemoryStore
sessions = StoredSessions(MemoryStore())
"""
STARLETTE = f"""{MIDDLEWARE}
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount
from ctxlocal.web.asgi import ContextMiddleware

def with_ours(application, sessions=sessions, ours=ContextMiddleware):
    application.add_middleware(ours, sessions=sessions)
    return application

def with_theirs(theirs=SessionMiddleware):
    application = Starlette()
    application.add_middleware(theirs, secret_key='x')
    return application

"""


@pytest.mark.slow
class TestApplications:
    """Small applications with one mistake each, and clean ones: verdict, words, exit status."""

    def examine(
        self, folder: Path, source: str, *options: str, **environ: str
    ) -> tuple[int, dict[str, Any]]:
        (folder / "its_shop.py").write_text(source)
        code = (
            f"import os, sys; os.chdir({str(folder)!r})\n"
            f"sys.argv[1:] = ['doctor', '--json', '--import', 'its_shop', *{options!r}]\n"
            "from ctxlocal.cli import main; main()"
        )
        done = doctor(code=code, **environ)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def errors_in(self, folder: Path, source: str, *options: str, **environ: str) -> list[str]:
        status, report = self.examine(folder, source, *options, **environ)
        errors = [found["text"] for found in report["findings"] if found["level"] == "error"]
        assert (status, report["verdict"]) == ((1, "broken") if errors else (0, "isolates"))
        return errors

    @pytest.mark.parametrize("pure", ["0", "1"])
    def test_each_local_is_listed_with_its_strategy_and_where_it_is(
        self, tmp_path: Path, pure: str
    ) -> None:
        source = (
            "from contextvars import ContextVar\n"
            "from ctxlocal import Local, LocalStack\n"
            "user = Local()\n"
            "jobs = LocalStack(ident='task')\n"
            "class Shop:\n"
            "    basket = Local(ident='thread')\n"
            "    def __init__(self): self.own = Local(ident='gevent', name='own')\n"
            "shop = Shop(); over = Local(ContextVar('over')); owner = Local(ident=lambda: 1)\n"
        )
        _, report = self.examine(tmp_path, source, CTXLOCAL_PURE=pure)
        assert report["verdict"] == "not judged"
        listed = {tuple(local.values()) for local in report["facts"]["locals"]}
        assert listed == {
            ("Local 'own' of a its_shop.Shop", "Local", None, "gevent", "greenlet", "gevent"),
            ("its_shop.Shop.basket", "Local", "its_shop.py:6", "thread", "thread", None),
            ("its_shop.jobs", "LocalStack", "its_shop.py:4", "task", "task", None),
            ("its_shop.owner", "Local", "its_shop.py:8", "<lambda>", "callable", None),
            ("its_shop.user", "Local", "its_shop.py:3", None, None, None),
        }

    @pytest.mark.parametrize(
        ("strategy", "server", "instead"),
        [
            ("thread", "gevent", "Use 'context' or 'greenlet'"),
            ("thread", "asyncio", "Use 'context' or 'task'"),
            ("task", "gevent", "Use 'context' or 'greenlet'"),
            ("greenlet", "asyncio", "Use 'context' or 'task'"),
            ("greenlet", "trio", "Use 'context'"),
            ("eventlet", "gevent", "Use 'context' or 'greenlet'"),
        ],
    )
    def test_a_local_of_another_strategy_is_judged_for_itself(
        self, tmp_path: Path, strategy: str, server: str, instead: str
    ) -> None:
        source = f"from ctxlocal import Local\nconn = Local(ident={strategy!r})\n"
        (error,) = self.errors_in(tmp_path, source, "--server", server)
        assert error.startswith("its_shop.conn (its_shop.py:2) is a Local with a strategy of its")
        assert instead in error

    @pytest.mark.parametrize(
        ("strategy", "server"),
        [("thread", "threads"), ("greenlet", "gevent"), ("task", "asyncio"), ("context", "trio")],
    )
    def test_a_clean_application(self, tmp_path: Path, strategy: str, server: str) -> None:
        source = f"from ctxlocal import Local\nuser = Local()\nconn = Local(ident={strategy!r})\n"
        status, report = self.examine(tmp_path, source, "--server", server)
        assert (status, report["verdict"]) == (0, "isolates")
        fine = [found["text"] for found in report["findings"] if found["level"] == "ok"]
        assert (
            f"The strategy 'context' isolates requests under {server}. What follows it: " in fine[0]
        )
        assert f"of its own: {strategy!r} isolates requests under {server}." in fine[1]

    def test_the_running_process_is_judged_too(self) -> None:
        code = (
            "import gevent.monkey; gevent.monkey.patch_all()\n"
            "from ctxlocal import Local\n"
            "from ctxlocal.cli.doctor import diagnose\n"
            "assert diagnose().verdict == 'isolates'\n"
            "conn = Local(ident='thread')\n"
            "assert (diagnose().verdict, diagnose().is_healthy) == ('broken', False)\n"
        )
        done = doctor(code=code)
        assert done.returncode == 0, done.stderr

    def test_nothing_judged_is_not_called_fine(self) -> None:
        done = doctor()
        assert done.returncode == 0
        assert "Nothing was judged" in done.stdout
        assert "breaks isolation" not in done.stdout

    def test_a_callable_alone_is_not_called_fine(self, tmp_path: Path) -> None:
        source = "import ctxlocal; ctxlocal.ident.set_default(lambda: 1)"
        status, report = self.examine(tmp_path, source, "--server", "gevent")
        assert (status, report["verdict"]) == (0, "not judged")

    @pytest.mark.parametrize("library", ["gevent", "eventlet"])
    def test_a_thread_local_made_before_the_patch(self, tmp_path: Path, library: str) -> None:
        patch = "gevent.monkey; gevent.monkey.patch_all()"
        patch = patch if library == "gevent" else "eventlet; eventlet.monkey_patch()"
        source = f"import threading\nuser = threading.local()\nimport {patch}\n"
        (error,) = self.errors_in(tmp_path, source)
        assert error.startswith("its_shop.user (its_shop.py:2) is a threading.local, made before")
        late = f"import {patch}\nimport threading\nuser = threading.local()\n"
        assert self.errors_in(tmp_path, late) == []

    def test_a_thread_local_under_asyncio_is_named(self, tmp_path: Path) -> None:
        source = "import threading\nclass Shop: user = threading.local()\n"
        status, report = self.examine(tmp_path, source, "--server", "asyncio")
        assert status == 0
        assert any("its_shop.Shop.user (its_shop.py:2)" in f["text"] for f in report["findings"])

    @pytest.mark.parametrize("framework", ["starlette", "django"])
    def test_frameworks_that_use_threads_and_the_task_strategy(
        self, tmp_path: Path, framework: str
    ) -> None:
        source = f"import {framework}"
        (error,) = self.errors_in(tmp_path, source, "--server", "asyncio", CTXLOCAL_IDENT="task")
        assert f"in the threads of {framework.capitalize()}" in error
        assert "Use 'context': set CTXLOCAL_IDENT" in error
        source += "\nfrom ctxlocal import Local; job = Local(ident='task')"
        (error,) = self.errors_in(tmp_path, source, "--server", "asyncio")
        assert error.startswith("its_shop.job (its_shop.py:2)")
        assert self.errors_in(tmp_path, source.partition("\n")[0], "--server", "asyncio") == []

    def test_another_session_middleware_inside(self, tmp_path: Path) -> None:
        source = (
            f"{MIDDLEWARE}"
            "from starlette.applications import Starlette\n"
            "from starlette.middleware.sessions import SessionMiddleware\n"
            "from ctxlocal.web.asgi import ContextMiddleware\n"
            "app = Starlette()\n"
            "app.add_middleware(SessionMiddleware, secret_key='x')\n"
        )
        added = f"{source}app.add_middleware(ContextMiddleware, sessions=sessions)\n"
        wrapped = f"{source}wrapped = ContextMiddleware(app, sessions)\n"
        for inside in (added, wrapped):
            (error,) = self.errors_in(tmp_path, inside, "--server", "asyncio")
            assert error.startswith("Starlette's SessionMiddleware stands inside ContextMiddleware")
        assert self.errors_in(tmp_path, source, "--server", "asyncio") == []

    @pytest.mark.parametrize(
        "application",
        [
            "ContextMiddleware(SessionMiddleware(Starlette(), secret_key='x'), sessions)",
            "ContextMiddleware(GZipMiddleware(with_theirs()), sessions)",
            "with_ours(Starlette(routes=[Mount('/shop', app=with_theirs())]))",
            "ContextMiddleware(Starlette(routes=[Mount('/shop', app=with_theirs())]), sessions)",
            "with_ours(with_theirs(type('Renamed', (SessionMiddleware,), {})))",
            "with_ours(with_theirs(), ours=type('Renamed', (ContextMiddleware,), {}))",
        ],
    )
    def test_another_session_middleware_anywhere_inside(
        self, tmp_path: Path, application: str
    ) -> None:
        (error,) = self.errors_in(tmp_path, f"{STARLETTE}app = {application}", "--server=asyncio")
        assert error.startswith("Starlette's SessionMiddleware stands inside ContextMiddleware")

    @pytest.mark.parametrize(
        "application",
        [
            "ContextMiddleware(with_theirs()), with_ours(Starlette())",
            "with_ours(with_theirs(), sessions=None), with_ours(Starlette())",
            "SessionMiddleware(with_ours(Starlette()), secret_key='x')",
        ],
    )
    def test_session_middleware_elsewhere_is_no_error(
        self, tmp_path: Path, application: str
    ) -> None:
        source = f"{STARLETTE}app = {application}"
        assert self.errors_in(tmp_path, source, "--server=asyncio") == []

    def test_sessions_beside_flasks_and_djangos(self, tmp_path: Path) -> None:
        source = (
            f"{MIDDLEWARE}"
            "import flask, flask_login, django.conf\n"
            "app = flask.Flask('shop')\n"
            "name = 'django.contrib.sessions.middleware.SessionMiddleware'\n"
            "django.conf.settings.configure(MIDDLEWARE=[name])\n"
        )
        status, report = self.examine(tmp_path, source, "--server", "threads")
        assert (status, report["verdict"]) == (0, "isolates")
        shown = " ".join(found["text"] for found in report["findings"])
        for beginning in ("flask.session is another", "Flask-Login keeps", "Django's Session"):
            assert beginning in shown
        _, report = self.examine(tmp_path, source.replace("sessions = ", "0 and "))
        assert report["facts"]["doubled_sessions"] == []

    def test_flasks_and_djangos_sessions_that_are_ours_are_no_others(self, tmp_path: Path) -> None:
        source = (
            "import flask, flask_login, django.conf\n"
            "from ctxlocal.integrations.flask import Sessions\n"
            "app = flask.Flask('shop')\n"
            "Sessions(app, store='memory:')\n"
            "django.conf.settings.configure(\n"
            "    MIDDLEWARE=['django.contrib.sessions.middleware.SessionMiddleware'],\n"
            "    SESSION_ENGINE='ctxlocal.integrations.django.sessions',\n"
            ")\n"
        )
        _, report = self.examine(tmp_path, source, "--server", "threads")
        assert report["facts"]["doubled_sessions"] == []
        around = (
            "from ctxlocal.web.wsgi import ContextMiddleware\n"
            "app.wsgi_app = ContextMiddleware(app.wsgi_app, sessions)\n"
        )
        _, report = self.examine(tmp_path, f"{MIDDLEWARE}{source}{around}", "--server", "threads")
        (doubled,) = report["facts"]["doubled_sessions"]
        assert "by ctxlocal.integrations.flask, and a ContextMiddleware" in doubled["text"]

    @pytest.mark.slow
    def test_scoped_sessions_of_sqlalchemy(self, tmp_path: Path) -> None:
        source = (
            "import ctxlocal\n"
            "from sqlalchemy.orm import scoped_session, sessionmaker\n"
            "session = scoped_session(sessionmaker())\n"
        )
        (error,) = self.errors_in(tmp_path, source, "--server", "asyncio")
        assert "Make it by scoped() of ctxlocal.integrations.sqlalchemy." in error
        assert self.errors_in(tmp_path, source, "--server", "threads") == []
        patched = f"import gevent.monkey; gevent.monkey.patch_all()\n{source}"
        assert self.errors_in(tmp_path, patched) == []
        source = source.replace("import ctxlocal", "import ctxlocal, ctxlocal.web.context", 1)
        for scope in ("web.context.current_request_context", "ident.current"):
            advised = source.replace("maker())", f"maker(), scopefunc=ctxlocal.{scope})")
            status, report = self.examine(tmp_path, advised, "--server", "asyncio")
            assert status == 0
            assert any("until remove() is called" in found["text"] for found in report["findings"])
        ours = source.replace("scoped_session(", "scoped(").replace(
            "import scoped_session,", "import"
        )
        ours = f"from ctxlocal.integrations.sqlalchemy import scoped\n{ours}"
        status, report = self.examine(tmp_path, ours, "--server", "asyncio")
        assert [one["scope"] for one in report["facts"]["scoped_sessions"]] == ["integrated"]
        assert not any("remove()" in found["text"] for found in report["findings"])
