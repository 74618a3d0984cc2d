"""The curve of a history as inline SVG: tests that diverge, and tests without a verdict, report by report."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_repro.model.history import HistoryReport
from pytest_repro.reporting.html.markup import Markup, el, svg

_LEFT, _TOP, _WIDTH, _HEIGHT = 48, 24, 640, 200
#: Kind of point -> its words in the legend; the first is drawn as a solid line, the second dashed.
CURVES = {"diverged": "diverged", "unclear": "inconclusive or an error"}
_DASHES = (None, "8 4")
#: Reports that are drawn: the last ones.
MAX_REPORTS = 200
#: Labels on the axis of the reports.
_MAX_TICKS = 6


def draw_trend(reports: Sequence[HistoryReport], name: str) -> Markup:
    """Draw how many tests diverge in each report, with `name` as the prefix of all ids.

    A report of an unfinished session has a hollow mark: more tests may have diverged than it counts.
    """
    shown = reports[-MAX_REPORTS:]
    most = max([1, *(report.counts.get(kind, 0) for report in shown for kind in CURVES)])
    floor, right = _TOP + _HEIGHT, _LEFT + _WIDTH
    parts = [
        el("line", x1=_LEFT, y1=floor, x2=right, y2=floor, class_="axis"),
        el("text", "0", x=_LEFT - 8, y=floor + 4, class_="tick end"),
        el("line", x1=_LEFT, y1=_TOP, x2=right, y2=_TOP, class_="grid"),
        el("text", f"{most:,}", x=_LEFT - 8, y=_TOP + 4, class_="tick end"),
        el("text", "tests", x=12, y=_TOP + _HEIGHT // 2, class_="name", transform=f"rotate(-90 12 {_TOP + 100})"),
    ]
    places = [round(_LEFT + 10 + n * (_WIDTH - 20) / max(len(shown) - 1, 1), 1) for n in range(len(shown))]
    for n, kind in enumerate(CURVES):
        heights = [round(floor - report.counts.get(kind, 0) * _HEIGHT / most, 1) for report in shown]
        line = " ".join(f"{x},{y}" for x, y in zip(places, heights, strict=True))
        parts.append(el("polyline", points=line, class_=f"curve c{n}", stroke_dasharray=_DASHES[n]))
        for x, y, report in zip(places, heights, shown, strict=True):
            parts.append(_mark(n, x, y, is_finished=report.is_finished))
    step = max(1, (len(shown) - 1) // _MAX_TICKS + 1)
    for n in range(0, len(shown), step):
        parts.append(el("text", _label(shown[n]), x=places[n], y=floor + 18, class_="tick"))
    for n, words in enumerate(CURVES.values()):
        x = _LEFT + 10 + 140 * n
        parts.append(
            el("line", x1=x, y1=floor + 42, x2=x + 34, y2=floor + 42, class_=f"curve c{n}", stroke_dasharray=_DASHES[n])
        )
        parts.append(el("text", words, x=x + 40, y=floor + 46, class_="tick start"))
    last = shown[-1].counts if shown else {}
    told = ", ".join(f"{last.get(kind, 0):,} {words}" for kind, words in CURVES.items())
    return svg(
        name,
        right + 20,
        floor + 60,
        "Tests that diverge, report by report",
        f"{len(shown):,} reports; in the last one: {told}. The table has all.",
        parts,
    )


def _mark(n: int, x: float, y: float, *, is_finished: bool) -> Markup:
    look = f"dot c{n}" if is_finished else f"curve c{n}"
    if n == 0:
        return el("circle", cx=x, cy=y, r=3.5, class_=look)
    return el("rect", x=x - 3, y=y - 3, width=6, height=6, class_=look)


def _label(report: HistoryReport) -> str:
    return report.commit[:7] or report.time[:10] or report.name[:10]
