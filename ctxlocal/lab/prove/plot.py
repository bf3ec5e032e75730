"""Plots as inline SVG that follows the page: its font, its light and its dark colours.

matplotlib draws in placeholder colours, which become the page's CSS variables ``--ink``,
``--quiet``, ``--line`` and ``--s0`` to ``--s7``. A plot is drawn for the width of a phone and
scales: beside each other they fill a wide page, one below the other a narrow one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from . import units

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float]

WIDTH_IN = 4.6  # of 72 px
BYTES = "B"
CURVES_IN = (3.75, 2.6)  # four fit beside each other
LINE_IN = 0.245  # the height of a row of bars
INK, QUIET, LINE = "#000101", "#000202", "#000303"
COLOURS = [f"#0005{number:02x}" for number in range(8)]
VARIABLES = {INK: "--ink", QUIET: "--quiet", LINE: "--line"} | {
    colour: f"--s{number}" for number, colour in enumerate(COLOURS)
}
# Who cannot tell two colours apart tells the markers and the dashes apart.
MARKERS = "osD^vPX*"
DASHES = ("-", "--", "-.", ":")

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: to be searched, selected and read aloud
    "svg.hashsalt": "ctxlocal",  # else each run gives other ids
    "text.parse_math": False,  # a label with dollars is a label
    "font.size": 10.5,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10.5,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
}
WHISKER: dict[str, Any] = {"color": INK, "linewidth": 1.1, "marker": "|", "markersize": 6}
SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True)
class Bar:
    """A row of a bar chart, with a whisker where it has a range.

    ``colour`` is the number of one of the page's, 0 for our own; ``said`` the figure in words;
    ``range`` between which values it varies.
    """

    label: str
    value: float
    colour: int
    said: str
    range: tuple[float, float]

    @property
    def end(self) -> float:
        """The greater one of the value and the range."""
        return max(self.value, *self.range)


def ratios(bars: Sequence[Bar], name: str, said: str) -> str:
    """Draw how many times the time of the reference each bar is, to the right and left of 1.

    :param bars: values above 0.
    :param name: unique on the page; every id in the plot begins with it.
    :param said: the plot in words.
    """
    with _figure(len(bars) * LINE_IN + 0.35) as (figure, axes):
        places = range(len(bars))
        axes.set_xscale("log")
        highest = max([2.0, *(bar.end for bar in bars)])
        lowest = min([1.0, *(min(bar.range) for bar in bars)])
        axes.set_xlim(lowest / (1.6 if lowest < 1 else 1), highest * 2.6)
        # On a logarithmic axis a bar has no natural foot but the reference itself.
        axes.barh(
            places,
            [bar.value - 1 for bar in bars],
            left=1,
            height=0.66,
            color=[COLOURS[bar.colour] for bar in bars],
        )
        axes.axvline(1, color=COLOURS[0], linewidth=1.6)
        _whiskers(axes, list(enumerate(bars)))
        for place, bar in enumerate(bars):
            _say(axes, max(bar.end, 1), place, bar.said)
        _name_rows(axes, [bar.label for bar in bars])
        for bar, label in zip(bars, axes.get_yticklabels(), strict=True):
            if bar.colour == 0:
                label.set(color=INK, fontweight="bold")
        _logarithmic(axes, "x", units.TIMES)
        return _svg(figure, name, said)


def grouped(
    rows: Sequence[tuple[str, Sequence[Bar]]], name: str, said: str, *, limit: float
) -> str:
    """Draw groups of bars, each under its own heading, on a linear axis from 0 to ``limit``."""
    lines = [line for label, bars in rows for line in (label, *bars)]
    with _figure(len(lines) * LINE_IN * 0.92 + 0.35) as (figure, axes):
        bars = [(place, line) for place, line in enumerate(lines) if isinstance(line, Bar)]
        axes.barh(
            [place for place, _ in bars],
            [bar.value for _, bar in bars],
            height=0.74,
            color=[COLOURS[bar.colour] for _, bar in bars],
        )
        axes.set_xlim(0, limit * 1.4)
        _whiskers(axes, bars)
        for place, bar in bars:
            _say(axes, bar.end, place, bar.said)
        _name_rows(axes, [line.label if isinstance(line, Bar) else "" for line in lines])
        for place, line in enumerate(lines):
            if isinstance(line, str):
                _say(axes, 0, place, line, fontweight="bold")
        axes.xaxis.set_major_formatter(lambda value, _: units.compact(value))
        return _svg(figure, name, said)


def curves(
    series: Mapping[int, Sequence[Point]],
    name: str,
    said: str,
    *,
    unit: str,
    limits: tuple[Point, Point],
) -> str:
    """Draw lines on logarithmic axes.

    :param series: points with both coordinates above 0, under the number of their style.
    :param unit: of the vertical axis: ``BYTES`` or "".
    :param limits: of both axes, so that plots beside each other can be compared.
    """
    width, height = CURVES_IN
    with _figure(height, width) as (figure, axes):
        axes.set_xscale("log")
        axes.set_yscale("log")
        for number, points in series.items():
            axes.plot(*zip(*sorted(points), strict=True), **_style(number))
        (left, right), (bottom, top) = limits
        axes.set_xlim(left / 1.4, right * 1.4)
        axes.set_ylim(bottom / 1.5, top * 1.5)
        axes.grid(visible=True)
        axes.tick_params(length=0)
        axes.set_xlabel("owners at once")
        _logarithmic(axes, "x", "")
        _logarithmic(axes, "y", unit)
        return _svg(figure, name, said)


def swatch(number: int, name: str) -> str:
    """Draw a short piece of a line, for a legend beside the plots."""
    with _figure(0.17, width=0.45) as (figure, axes):
        axes.set_axis_off()
        axes.plot([0, 1, 2], [0, 0, 0], **_style(number), markevery=[1])
        return _svg(figure, f"{name}-{number}", "")


def _style(number: int) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": DASHES[number % len(DASHES)],
        "linewidth": 2.4 if number == 0 else 1.3,
        "markersize": 5,
        "zorder": 3 if number == 0 else 2,
    }


@contextmanager
def _figure(height: float, width: float = WIDTH_IN) -> Iterator[tuple[Figure, Axes]]:
    from matplotlib import rc_context, rcdefaults, rcParams
    from matplotlib.figure import Figure

    with rc_context():
        rcdefaults()  # what people set for their own plots is not for this page
        rcParams.update(SETTINGS)
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.add_subplot()


def _whiskers(axes: Axes, bars: Sequence[tuple[float, Bar]]) -> None:
    """Draw between which values each varies."""
    for place, bar in bars:
        if bar.range[0] < bar.range[1]:
            axes.plot(bar.range, (place, place), **WHISKER)


def _name_rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)  # the first on top
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x")


def _say(axes: Axes, x: float, y: float, text: str, **look: Any) -> None:
    axes.annotate(text, (x, y), (4, 0), textcoords="offset points", va="center_baseline", **look)


def _logarithmic(axes: Axes, which: str, unit: str) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axis = getattr(axes, f"{which}axis")
    low, high = axis.get_view_interval()
    subs = (1.0, 2.0, 5.0) if high < 50 * low else (1.0,)  # a decade alone says little
    axis.set_major_locator(LogLocator(subs=subs, numticks=6))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: _tick(value, unit))


def _tick(value: float, unit: str) -> str:
    if unit == BYTES:
        return units.size(value)
    return (units.compact(value) if value >= 1 else f"{value:g}") + unit


def _svg(figure: Figure, name: str, said: str) -> str:
    """Return what stands in the page: no fixed size, no font, no colour, no id of another plot."""
    written = io.BytesIO()
    figure.savefig(written, format="svg", transparent=True, metadata=NO_METADATA)
    root = ElementTree.fromstring(written.getvalue())
    for attribute in ("width", "height", "version"):
        del root.attrib[attribute]
    root.attrib.update({"role": "img", "aria-label": said} if said else {"aria-hidden": "true"})
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)  # the style is one for the whole page
    for element in root.iter():
        if element.tag == f"{{{SVG}}}g":
            element.attrib.pop("id", None)  # nothing refers to it
        element.attrib.update(
            (key, _adapted(key.rpartition("}")[2], value, name))
            for key, value in element.attrib.items()
        )
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return re.sub(r">\s+<", "><", ElementTree.tostring(root, encoding="unicode"))


def _adapted(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return value.replace("#", f"#{name}-")
    value = value.replace("url(#", f"url(#{name}-")
    if key != "style":
        return value
    value = re.sub(r" *font-family: [^;]*;?", "", value)
    value = re.sub(r"font: (?:(bold|\d+) )?([\d.]+px)[^;]*", _font, value)  # matplotlib 3.8
    return re.sub(r"#[0-9a-f]{6}", lambda match: _variable(match[0]), value)


def _font(match: re.Match[str]) -> str:
    weight = f"font-weight: {match[1]}; " if match[1] else ""
    return f"{weight}font-size: {match[2]}"


def _variable(colour: str) -> str:
    return f"var({VARIABLES[colour]})" if colour in VARIABLES else colour
