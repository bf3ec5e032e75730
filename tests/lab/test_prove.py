from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from ctxlocal.cli import commands
from ctxlocal.lab.matrix.report import Cell
from ctxlocal.lab.prove import origin, parts, units
from ctxlocal.lab.prove.document import judge
from ctxlocal.lab.prove.figures import Time
from ctxlocal.lab.prove.page import page
from ctxlocal.lab.prove.part import PARTS, Advance, ProofPart, Unfinished
from ctxlocal.lab.prove.summary import show
from tests.support.proof_samples import bench, control, document, matrix, run, soak

LEAK = Cell("threads", "Thread", "thread", "isolated", "LEAK", False, note="saw 'callee 3'")
VOID = {"meta", "link", "br", "wbr", "img", "input", "hr", "path", "use", "rect"}


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self._is_joined = False  # what follows a <wbr> goes on without a space
        self.feed(html)
        self.close()
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._is_joined = tag == "wbr"
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "title"} & set(self._open):
            self.text += data if self._is_joined else f" {data}"
            self._is_joined = False

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def full() -> str:
    """The report with everything in it."""
    return page(document())


class TestVerdict:
    def test_clean(self) -> None:
        verdict = judge(document())
        assert (verdict.state, verdict.status) == ("clean", 0)
        assert verdict.sentence == (
            "Nothing leaked: all 6 cells of the matrix are as their strategy promises, "
            "167,990 requests to 10 servers showed 0 violations, one Local shared by up to "
            "10,000 owners at once showed no foreign read, and 2 of 2 soaks of deliberately "
            "broken code were caught."
        )

    def test_a_cell_that_leaks(self) -> None:
        verdict = judge(document(matrix=matrix(LEAK)))
        assert (verdict.state, verdict.status) == ("violated", 1)
        assert verdict.violations == [
            ("LEAK", "threads: Thread, thread: isolated was promised (saw 'callee 3')")
        ]
        assert "1 of 1 cell of the matrix break" in verdict.sentence

    @pytest.mark.parametrize(
        ("kind", "noun"),
        [
            ("foreign_reads", "foreign reads"),
            ("stale_values", "stale values"),
            ("teardowns_skipped", "teardowns skipped"),
            ("teardowns_doubled", "teardowns doubled"),
            ("teardowns_early", "teardowns too early"),
            ("lost_updates", "lost updates"),
        ],
    )
    def test_a_run_that_shows_what_it_must_not(self, kind: str, noun: str) -> None:
        verdict = judge({"soak": soak(run(**{kind: 2}))})
        assert verdict.violations == [(f"{noun}: 2", "gunicorn-gevent, greenlet, sqlite")]
        assert verdict.status == 1

    def test_a_run_that_calls_itself_violated_without_a_count(self) -> None:
        verdict = judge({"soak": soak(run(outcome="violations", note="no secret at all"))})
        where = "gunicorn-gevent, greenlet, sqlite (no secret at all)"
        assert verdict.violations == [("violations", where)]

    def test_answers_that_come_too_late_violate_nothing(self) -> None:
        late = run(outcome="violations", errors=2, note="v1-2 plain: no answer in time")
        verdict = judge({"soak": soak(late)})
        where = "gunicorn-gevent, greenlet, sqlite (v1-2 plain: no answer in time)"
        assert verdict.gaps == [("wrong or missing answers: 2", where)]
        assert verdict.state == "incomplete"
        growing = {**late, "memory": {"is_flat": False}}
        assert judge({"soak": soak(growing)}).state == "violated"

    def test_what_a_server_leaks_by_itself_is_no_violation(self) -> None:
        assert judge({"soak": soak(run(server_leaks=10_000, errors=3))}).state == "clean"

    def test_a_foreign_read_is_ours_or_the_peers(self) -> None:
        row = {"owners": "tasks", "count": 100, "foreign_reads": 7}
        clean = {**row, "library": "ctxlocal.Local", "foreign_reads": 0}
        theirs = bench(concurrency=[clean, {**row, "library": "threading.local"}])
        ours = bench(concurrency=[{**row, "library": "ctxlocal.Local"}])
        assert judge({"bench": theirs}).state == "clean"
        assert judge({"bench": ours}).violations == [
            ("foreign reads: 7", "ctxlocal.Local, 100 tasks")
        ]

    def test_a_server_that_fails_leaves_a_gap(self) -> None:
        verdict = judge({"soak": soak(run(), run(outcome="failed", note="it did not start"))})
        assert (verdict.state, verdict.status) == ("incomplete", 1)
        assert verdict.gaps == [("failed", "gunicorn-gevent, greenlet, sqlite (it did not start)")]

    def test_a_server_that_is_not_installed_leaves_none(self) -> None:
        absent = {"server": "waitress", "outcome": "not run", "note": "not installed"}
        assert judge({"soak": soak(run(), absent)}).state == "clean"

    def test_where_no_server_could_run_nothing_is_shown(self) -> None:
        verdict = judge({"soak": soak({"server": "waitress", "outcome": "not run"})})
        assert (verdict.sentence, verdict.state) == ("Isolation was not measured.", "incomplete")
        assert verdict.status == 1


class TestControl:
    """Of the verdict: a soak that does not see sabotage proves nothing by seeing nothing."""

    @pytest.mark.parametrize(
        ("sabotage", "kind", "noun"),
        [
            ("shared-dict", "foreign_reads", "foreign reads"),
            ("store-forgets", "lost_updates", "lost updates"),
        ],
    )
    def test_sabotage_that_is_not_caught_makes_what_is_clean_worthless(
        self, sabotage: str, kind: str, noun: str
    ) -> None:
        others = {"stale_values": 3, "errors": 5, kind: 0}  # it has to show what was broken
        missed = control(run(server="waitress", sabotage=sabotage, **others), *caught())
        verdict = judge(document(control=missed))
        assert (verdict.state, verdict.status) == ("incomplete", 1)
        assert verdict.sentence.startswith(
            "Nothing leaked in what ran, but the control was not caught, so this proves nothing: "
        )
        assert "2 of 3 soaks of deliberately broken code were caught" in verdict.sentence
        where = f"waitress, greenlet, sqlite, {sabotage}: it showed no {noun}"
        proof = "so what is clean here proves nothing"
        assert verdict.gaps == [("control not caught", f"{where}, {proof}")]

    def test_what_the_control_shows_counts_nowhere_else(self) -> None:
        verdict = judge({"soak": soak(run()), "control": control()})
        assert verdict.state == "clean"
        assert "17,000 requests to 1 server showed 0 violations" in verdict.sentence
        assert "108" not in Page(page(document())).text

    def test_a_leak_weighs_more_than_a_control_that_is_not_caught(self) -> None:
        missed = control(run(sabotage="shared-dict"))
        verdict = judge({"soak": soak(run(foreign_reads=1)), "control": missed})
        assert verdict.state == "violated"
        assert [what for what, _ in verdict.gaps] == ["control not caught"]

    @pytest.mark.parametrize("outcome", ["failed", "interrupted"])
    def test_a_control_that_came_to_no_end_leaves_a_gap(self, outcome: str) -> None:
        broken = control(run(sabotage="shared-dict", outcome=outcome), *caught())
        verdict = judge(document(control=broken))
        where = "control: gunicorn-gevent, greenlet, sqlite, shared-dict"
        assert verdict.gaps == [(outcome, where)]
        assert verdict.sentence.startswith("Nothing leaked in what ran, but not all of it ran: ")
        assert verdict.status == 1

    def test_without_a_server_there_is_none_and_no_gap(self) -> None:
        absent = {"server": "waitress", "sabotage": "shared-dict", "outcome": "not run"}
        assert judge({"matrix": matrix(), "control": control(absent)}).state == "clean"

    def test_alone_it_says_nothing_of_isolation(self) -> None:
        verdict = judge({"control": control()})
        assert (verdict.state, verdict.status) == ("caught", 0)
        assert verdict.sentence == (
            "Isolation was not measured; 2 of 2 soaks of deliberately broken code were caught."
        )
        assert "sabotage caught" in Page(page({"control": control()})).text

    def test_the_page_shows_what_had_to_be_seen(self, full: str) -> None:
        text = Page(full).text
        broken = "shared-dict the Local is one dict for everybody Foreign reads 77 caught"
        assert broken.lower() in text.lower()
        missed = control(run(sabotage="store-forgets", note="v1 saw all"))
        text = Page(page({"control": missed})).text
        assert "lost updates 0 not caught" in text
        assert "v1 saw all" in text


def caught() -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = control()["runs"]
    return runs


@pytest.mark.slow
class TestPage:
    def test_says_what_ctxlocal_is_before_anything_else(self, full: str) -> None:
        text = Page(full).text
        assert text.index("ctxlocal is a Python library") < text.index("Nothing leaked")

    def test_says_what_was_tried_and_what_that_does_not_show(self, full: str) -> None:
        text = Page(full).text
        tried = text[text.index("What was tried") : text.index("What this does not show")]
        for said in ("3 ways", "10 real servers", "in 20 runs", "2 of 2 caught", "in short rounds"):
            assert said in tried
        limits = text[text.index("What this does not show") : text.index("What it was made with")]
        for said in ("one in 167,990 requests", "one worker process", "WebSockets", "other than"):
            assert said in limits

    def test_says_what_did_not_run(self) -> None:
        text = Page(page({"matrix": matrix()})).text
        assert "Not run soak, control, bench" in text
        assert "no server was soaked" in text
        text = Page(page({"soak": soak()})).text
        assert "Whether the soak would see a leak: the control did not run." in text

    def test_cells_that_share_show_that_sharing_is_seen(self) -> None:
        cells = [Cell("g", "w", "thread", word, word, True) for word in ("shared", "isolated")]
        text = Page(page({"matrix": matrix(*cells)})).text
        assert "In 1 of them sharing is promised, and seen" in text
        assert "sharing is promised" not in Page(page(document())).text

    def test_judges_memory_or_says_that_it_does_not(self) -> None:
        unjudged = {"bytes_per_10000": None, "is_flat": None}
        said = "Whether memory grows"
        assert said in Page(page({"soak": soak(run(memory=unjudged))})).text
        assert said not in Page(page({"soak": soak(run())})).text

    def test_says_which_ctxlocal_it_was(self, full: str) -> None:
        text = Page(full).text
        assert "0.1.0, commit 0123456789ab ; the native twin" in text
        assert "built for this Python" in text
        assert "changed since" not in text
        text = Page(page(document(is_changed=True))).text
        assert "commit 0123456789ab , changed since;" in text

    def test_a_promise_that_was_kept_has_one_colour_whatever_the_word(self) -> None:
        words = ("isolated", "snapshot", "shared")
        kept = [Cell("g", word, "thread", word, word, True) for word in words]
        broken = Cell("g", "broken", "thread", "isolated", "shared", False)
        cells = Page(page({"matrix": matrix(*kept, broken)})).all("td")
        assert [cell["class"] for cell in cells] == ["kept", "kept", "kept", "unexpected"]

    def test_begins_with_the_verdict(self, full: str) -> None:
        shown = Page(full)
        assert shown.text.index("Nothing leaked") < shown.text.index("3.11.7")
        for fact in ("3.11.7", "native twin", "2 cores", "gevent 26.8.99", "ctxlocal prove"):
            assert fact in shown.text

    def test_needs_nothing_beside_itself(self, full: str) -> None:
        shown = Page(full)
        (policy,) = [m["content"] for m in shown.all("meta") if m.get("http-equiv")]
        assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        assert not {"script", "img", "iframe", "object", "form"} & {tag for tag, _ in shown.tags}
        assert [link["href"] for link in shown.all("link")] == ["data:,"]
        references = [
            value or ""
            for _, attributes in shown.tags
            for name, value in attributes.items()
            if name in ("src", "href", "xlink:href")
        ]
        assert {reference[0] for reference in references} == {"#", "d"}

    def test_can_be_read_aloud(self, full: str) -> None:
        shown = Page(full)
        assert len(shown.all("caption")) == len(shown.all("table"))
        assert all("scope" in attributes for attributes in shown.all("th"))
        plots = [svg for svg in shown.all("svg") if svg.get("role") == "img"]
        assert len(plots) == len(shown.all("figure"))
        assert all(svg["aria-label"] for svg in plots)
        assert "Local: get, times the time of ctxlocal: ctxlocal.Local 1×, ContextVar" in full

    def test_ids_are_unique_and_what_is_referred_to_is_there(self, full: str) -> None:
        ids = Counter(re.findall(r'\bid="([^"]+)"', full))
        assert [name for name, count in ids.items() if count > 1] == []
        assert set(re.findall(r'(?:href="|url\()#([\w.-]+)', full)) <= ids.keys()

    def test_is_the_same_each_time(self, full: str) -> None:
        assert page(document()) == full

    def test_plots_take_their_colours_and_their_font_from_the_page(self, full: str) -> None:
        plots = full[full.index('id="bench"') :]
        assert not re.findall(r"#[0-9a-f]{6}", plots)
        assert "DejaVu" not in plots
        assert "font:" not in plots
        assert set(re.findall(r"var\((--\w+)\)", plots)) <= set(re.findall(r"--\w+", full[:5000]))

    def test_plots_do_not_follow_what_people_set_for_theirs(self, full: str) -> None:
        with matplotlib.rc_context({"axes.facecolor": "#123456", "font.size": 30}):
            assert page(document()) == full

    def test_shows_the_matrix_in_words(self) -> None:
        cells = [LEAK, Cell("threads", "Timer", "thread", "shared", "shared", True, True)]
        shown = Page(page({"matrix": matrix(*cells)}))
        assert "LEAK , where isolated was promised" in shown.text
        assert "Timer shared*" in shown.text

    def test_names_the_versions_of_every_part(self) -> None:
        parts = {name: {"versions": {name: "1.0"}} for name in PARTS}
        text = Page(page(parts)).text
        assert all(f"{name} 1.0" in text for name in parts)

    def test_says_which_servers_were_not_run(self, full: str) -> None:
        assert "gunicorn-tornado : tornado is missing" in Page(full).text

    def test_says_whether_memory_is_flat(self) -> None:
        runs = [run(), run(memory={"bytes_per_10000": 12_345_678, "is_flat": False})]
        runs.append(run(memory={"bytes_per_10000": 9_999, "is_flat": None}))
        text = Page(page({"soak": soak(*runs)})).text
        assert "too few to tell" in text
        assert "20.5 kB, flat" in text
        assert "12.3 MB, growing" in text

    def test_has_the_figures_behind_the_plots(self, full: str) -> None:
        text = Page(full).text
        assert "werkzeug.Local 500 50×" in text  # ns, and the ratio
        assert "ContextVar tasks 10,000" in text
        bands = "hypercorn 3,600-5,100 3,500-5,000 3,200-4,600"
        assert bands.replace("-", units.EN_DASH) in text

    @pytest.mark.parametrize(
        "content",
        [
            {},
            dict.fromkeys(PARTS),
            {"matrix": matrix()},
            {"soak": soak()},
            {"soak": {}},
            {"control": control()},
            {"control": {"runs": [{}, {"server": "waitress", "outcome": "not run"}]}},
            {"soak": {"kind": "soak", "runs": []}},
            {"soak": {"runs": [{}, {"server": "waitress"}]}},
            {"bench": bench()},
            {"bench": {"kind": "bench", "micro": {}, "concurrency": [], "servers": []}},
            {"bench": {"micro": {"local-get": {}}, "concurrency": [{}], "servers": [{}]}},
            {"bench": {"micro": {"local-get": {"ctxlocal.Local": {"ns": 10}}}}},
            document(missing={"bench": "interrupted", "soak": "OSError: no"}),
        ],
    )
    def test_shows_what_there_is(self, content: dict[str, Any]) -> None:
        text = Page(page(content)).text
        assert "None" not in text
        assert "Undefined" not in text

    def test_says_what_is_missing(self) -> None:
        text = Page(page(document(bench=None, missing={"bench": "OSError: no"}))).text
        assert "What is missing bench OSError: no" in text

    def test_escapes_all_that_it_is_given(self) -> None:
        evil = '</style></title><script>alert("1")</script><img src=x onerror=y> $\\frac{1}$ &amp;'
        rows = {evil: {"ns": 5}, "ctxlocal.Local": {"ns": 2}}
        content = document(
            command=evil,
            date=evil,
            matrix=matrix(Cell(evil, evil, "thread", "isolated", "LEAK", False, note=evil)),
            soak=soak(
                run(server=evil, strategy=evil, store=evil, note=evil, outcome=evil, sabotage=evil),
                {"server": evil, "outcome": "not run", "note": evil},
            ),
            control=control(
                run(server=evil, strategy=evil, store=evil, note=evil, outcome=evil, sabotage=evil)
            ),
            missing={evil: evil},
            version=evil,
            commit=evil,
            twin_reason=evil,
        )
        content["control"]["settings"]["command"] = evil
        content["bench"] = bench(
            micro={evil: rows, "local-get": rows},
            concurrency=[{"owners": evil, "library": evil, "count": 1, "bytes_per_owner": 2}],
            servers=[{"server": evil, "mode": "plain", "requests_per_second": 3}],
            left_out={evil: evil},
            machine={"cpu_model_name": evil},
            versions={evil: evil},
        )
        shown = Page(page(content))
        assert not {"script", "img"} & {tag for tag, _ in shown.tags}
        assert not [a for _, a in shown.tags if "onerror" in a]
        assert shown.text.count("alert") >= 15

    @pytest.mark.parametrize(
        "figure", [0, -1, 1e-300, 10**400, 1e308, float("nan"), float("inf"), None, "7", True]
    )
    def test_survives_any_figure(self, figure: Any) -> None:
        kinds = ("requests", "foreign_reads", "lost_updates", "errors", "server_leaks")
        speeds = (f"{which}_per_second" for which in ("requests", "lowest", "highest"))
        growth = {"bytes_per_10000": figure, "is_flat": None}
        row = {
            "owners": "tasks",
            "library": "ctxlocal.Local",
            "count": figure,
            "net_ops_per_second": figure,
            "bytes_per_owner": figure,
            "bytes_left": figure,
        }
        rows = {
            "ctxlocal.Local": {"ns": 2, "median_ns": figure},
            "werkzeug.Local": {"ns": figure, "median_ns": 7},
        }
        content = document(
            seconds=figure,
            soak=soak(run(**dict.fromkeys((*kinds, *speeds), figure), memory=growth)),
            bench=bench(
                micro={"local-get": rows},
                concurrency=[row, {**row, "count": 10}],
                servers=[
                    {"server": "one", "mode": "plain", "requests_per_second": figure},
                    {
                        "server": "two",
                        "mode": "plain",
                        "requests_per_second": 100,
                        "lowest_per_second": figure,
                    },
                ],
            ),
        )
        Page(page(content))


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (units.count, 1234567.4, "1,234,567"),
        (units.supported, 9.876, "9.9"),
        (units.supported, 98.76, "99"),
        (units.supported, 987.6, "990"),
        (units.supported, 13_661.2, "14,000"),
        (units.supported, 0, "0"),
        (units.supported, 47_044_655, "47,000,000"),
        (units.size, 999, "999 B"),
        (units.size, 51_234_816, "51.2 MB"),
        (units.size, -1500, "-1.5 kB"),
        (units.compact, 40e6, "40M"),
        (units.seconds, 61.4, "61 s"),
        (units.count, None, units.MISSING),
        (units.count, float("nan"), units.MISSING),
        (units.count, True, units.MISSING),
    ],
)
def test_figures_are_written_for_people(
    write: Callable[[object], str], value: object, text: str
) -> None:
    assert write(value) == text


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (8.94, 0, "8.9"),
        (8.94, 0.02, "8.9"),
        (8.9, 0.2, "8.9"),
        (8.9, 0.8, "9"),
        (416.0, 39, "420"),
        (416.0, 90, "400"),
        (416.0, 5000, "400"),
        (0.234, 0.001, "0.23"),
    ],
)
def test_a_figure_has_the_digits_that_its_spread_supports(
    value: float, spread: float, text: str
) -> None:
    assert units.supported(value, spread) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (2633.5, 3368, f"2,600{units.EN_DASH}3,400"),
        (3361, 3368, f"{units.ABOUT}3,400"),
        (None, 3368, f"{units.ABOUT}3,400"),
        (None, float("nan"), units.MISSING),
    ],
)
def test_a_rate_is_a_band(low: object, high: object, text: str) -> None:
    assert units.band(low, high) == text


def test_a_ratio_that_is_noise_is_no_ratio() -> None:
    ours, near, far = Time(100, 9), Time(105, 10), Time(1000, 90)
    assert near.over(ours).shown == f"{units.ABOUT}1×"
    assert ours.over(near).shown == f"{units.ABOUT}1×"
    assert far.over(ours).shown == "10×"
    assert ours.over(ours).shown == "1×"


def printed(content: dict[str, Any]) -> str:
    written = io.StringIO()
    show(content, Console(width=80, file=written))
    return written.getvalue()


class TestSummary:
    def test_has_a_line_for_each_thing_in_80_columns(self) -> None:
        text = printed(document())
        assert max(map(len, text.splitlines())) <= 80
        assert re.match(r"matrix +7 cells", text)
        assert "20 runs: 0 violations" in text
        assert re.search(r"bench +ctxlocal +others, times that", text)
        assert re.search(r"control +2 sabotaged soaks +2 caught", text)
        assert re.search(r"Local: get: 11 ns +ContextVar ≈.1×, ", text)
        assert text.rstrip().endswith("were caught.")

    def test_lists_what_is_wrong_and_missing(self) -> None:
        text = printed(document(matrix=matrix(LEAK), missing={"bench": "interrupted"}))
        assert "LEAK threads: Thread, thread: isolated was promised" in text
        assert "bench interrupted" in text

    def test_shows_markup_as_text(self) -> None:
        runs = [run(server="[bold]x", foreign_reads=1)] * 30
        text = printed({"soak": soak(*runs)})
        assert "[bold]x" in text
        assert "and 10 more, which the report lists" in text


Prove = Callable[..., Result]


@pytest.fixture
def prove(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Prove:
    """Run the command in an empty folder, with parts that the test brings."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, **runs: Callable[[Advance], dict[str, Any]]) -> Result:
        brought = [ProofPart(name, 1, run) for name, run in runs.items()]
        monkeypatch.setattr(parts, "all_parts", lambda: brought)
        return CliRunner().invoke(commands.ctxlocal, ["prove", *arguments])

    return invoke


def raising(error: BaseException, partial: dict[str, Any] | None = None) -> Any:
    def run(advance: Advance) -> dict[str, Any]:
        if partial is None:
            raise error
        raise Unfinished(partial) from error

    return run


class TestCommand:
    def test_writes_the_report_and_the_summary(self, prove: Prove, tmp_path: Path) -> None:
        result = prove(matrix=lambda advance: matrix(), soak=lambda advance: soak())
        assert result.exit_code == 0
        assert "Nothing leaked" in result.stdout
        assert "Report: ctxlocal-report.html" in result.stdout
        assert "Nothing leaked" in (tmp_path / "ctxlocal-report.html").read_text("utf-8")

    def test_writes_json_beside_it(self, prove: Prove, tmp_path: Path) -> None:
        prove("--json", "all.json", matrix=lambda advance: matrix())
        written = json.loads((tmp_path / "all.json").read_text())
        assert written["matrix"]["cells"] == matrix()["cells"]
        assert written["command"].endswith(" prove")
        assert written["missing"] == {}

    def test_writes_json_alone_to_the_standard_output(self, prove: Prove) -> None:
        result = prove("--json", "-", matrix=lambda advance: matrix())
        assert json.loads(result.stdout)["matrix"]["unexpected"] == 0

    def test_a_folder_takes_the_usual_name(self, prove: Prove, tmp_path: Path) -> None:
        (tmp_path / "reports").mkdir()
        assert prove("--output", "reports", matrix=lambda advance: matrix()).exit_code == 0
        assert (tmp_path / "reports" / "ctxlocal-report.html").exists()

    @pytest.mark.parametrize(
        ("output", "complaint"),
        [
            ("report.pdf", "'report.pdf' is neither a folder nor named *.html."),
            ("nowhere/report.html", "there is no folder 'nowhere'."),
        ],
    )
    def test_what_cannot_be_written_is_refused_before_anything_runs(
        self, prove: Prove, output: str, complaint: str
    ) -> None:
        result = prove("--output", output, matrix=raising(AssertionError("it ran")))
        assert result.exit_code == 2
        assert complaint in result.stderr

    def test_a_violation_ends_it_with_1(self, prove: Prove) -> None:
        result = prove(matrix=lambda advance: matrix(LEAK))
        assert result.exit_code == 1
        assert "Isolation is violated" in result.stdout

    def test_a_part_that_fails_costs_its_own_result_alone(
        self, prove: Prove, tmp_path: Path
    ) -> None:
        result = prove(soak=raising(OSError("no")), matrix=lambda advance: matrix())
        assert result.exit_code == 1
        assert "soak OSError: no" in result.stdout
        text = Page((tmp_path / "ctxlocal-report.html").read_text("utf-8")).text
        assert "What is missing soak OSError: no" in text
        assert "all 6 cells" in text

    def test_a_part_that_fails_late_keeps_what_it_had(self, prove: Prove) -> None:
        result = prove("--json", "-", soak=raising(OSError("no"), soak(run())))
        written = json.loads(result.stdout)
        assert written["soak"]["runs"] == [run()]
        assert written["missing"] == {"soak": "OSError: no"}

    @pytest.mark.parametrize(
        ("error", "status"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)]
    )
    def test_an_interruption_ends_it_and_keeps_what_there_is(
        self, prove: Prove, tmp_path: Path, error: BaseException, status: int
    ) -> None:
        result = prove(
            matrix=lambda advance: matrix(),
            soak=raising(error, soak(run())),
            bench=lambda advance: bench(),
        )
        assert result.exit_code == status
        text = Page((tmp_path / "ctxlocal-report.html").read_text("utf-8")).text
        assert "soak interrupted bench not started: interrupted before" in text
        assert "17,000 requests" in text

    def test_a_violation_weighs_more_than_an_interruption(self, prove: Prove) -> None:
        leaking = soak(run(foreign_reads=1))
        assert prove(soak=raising(KeyboardInterrupt(), leaking)).exit_code == 1

    def test_a_part_tells_how_far_it_is(self, prove: Prove) -> None:
        def run_all(advance: Advance) -> dict[str, Any]:
            advance(0.5)
            return matrix()

        assert prove(matrix=run_all).exit_code == 0


def test_the_command_that_repeats_it_has_the_variables_that_decide(
    prove: Prove, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTXLOCAL_PURE", "1")
    monkeypatch.setenv("CTXLOCAL_IDENT", "a b")
    result = prove("--json", "-", "--only", "matrix", matrix=lambda advance: matrix())
    command = json.loads(result.stdout)["command"]
    assert command.startswith("CTXLOCAL_PURE=1 CTXLOCAL_IDENT='a b' ")
    assert command.endswith(" prove --only matrix")


def test_the_commit_is_that_of_the_start(prove: Prove, monkeypatch: pytest.MonkeyPatch) -> None:
    head = ["old"]

    def commit(advance: Advance) -> dict[str, Any]:
        head[0] = "new"
        return matrix()

    monkeypatch.setattr(origin, "origin", lambda: {"commit": head[0]})
    result = prove("--json", "-", matrix=commit)
    assert json.loads(result.stdout)["commit"] == "old"


@pytest.mark.slow
def test_runs_the_control_for_real(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ctxlocal", "prove", "--only", "control", "--json", "all.json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 of 2 soaks of deliberately broken code were caught" in " ".join(done.stdout.split())
    written = json.loads((tmp_path / "all.json").read_text())
    shared, forgetful = written["control"]["runs"]
    assert shared["foreign_reads"] > 0
    assert forgetful["lost_updates"] > 0
    assert 0 < shared["lowest_per_second"] <= shared["highest_per_second"]


@pytest.mark.slow
def test_runs_the_matrix_for_real(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ctxlocal", "prove", "--only", "matrix", "--json", "all.json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    written = json.loads((tmp_path / "all.json").read_text())
    assert written["command"] == "ctxlocal prove --only matrix"
    assert written["matrix"]["unexpected"] == 0
    assert Page((tmp_path / "ctxlocal-report.html").read_text("utf-8")).all("table")


def test_ctrl_c_keeps_the_cells_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setenv("HANGING_KIT_PIPE", str(pipe))
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from functools import partial\n"
        "from ctxlocal.cli import main\n"
        "from ctxlocal.lab.prove import parts\n"
        "parts.conduct = partial(parts.conduct, kit='tests.lab.broken_kits:HangingKit')\n"
        "sys.argv[1:] = ['prove', '--json', 'all.json']\n"
        "main()"
    )
    command = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    pipe.read_text()  # blocks until a worker has written, and hangs
    command.send_signal(signal.SIGINT)
    assert command.wait() == 130
    missing = json.loads((tmp_path / "all.json").read_text())["missing"]
    assert missing["matrix"] == "interrupted"
    assert set(missing.values()) == {"interrupted", "not started: interrupted before"}
    assert "interrupted" in (tmp_path / "ctxlocal-report.html").read_text("utf-8")


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_without_a_library_it_says_how_to_get_it(package: str, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None; from ctxlocal.cli import main; "
        "sys.argv[1:] = ['prove']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        f"Error: ctxlocal prove needs {package}, which is not installed. "
        f"Install it with: pip install {package} (ctxlocal's extra [prove] has all it goes with).\n"
    )


def test_no_command_needs_what_only_another_one_does() -> None:
    foreign = {"matplotlib", "jinja2", "numpy", "werkzeug", "blinker", "msgspec", "psutil"}
    code = f"import sys, ctxlocal.cli.commands; print({foreign} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
