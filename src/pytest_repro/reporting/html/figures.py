"""Drawings as inline SVG: a histogram of distances, a curve over steps. Computes no figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_repro.model.reported import Difference, RunDifference, StepPoint, StepSeries
from pytest_repro.reporting.html.markup import Markup, el, plain, svg

_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_BAR, _HEIGHT, _LEFT, _TOP = 34, 150, 44, 24
#: Dashes of each curve's line: shapes distinguish them, not colours.
_DASHES = (None, "8 4", "2 3", "10 3 2 3")
_PLOT_WIDTH, _PLOT_HEIGHT = 620, 220
#: Height at which a distance of 0 is drawn, which a logarithmic scale lacks.
_ZERO = _TOP + _PLOT_HEIGHT + 22
MAX_CURVES = len(_DASHES)
#: The bin from 512 to 1023; beyond it powers are easier to read than numbers.
_LAST_IN_NUMBERS = 10
#: Bins that are drawn: a distance in a format of 128 bits fits.
_MAX_BINS = 200


def power(base: int, exponent: int) -> str:
    """Return ``2¹⁰``, or the number itself for a power of two up to 8."""
    if base == 2 and 0 <= exponent <= 3:
        return str(2**exponent)
    return f"{base}{str(exponent).translate(_SUPERSCRIPTS)}"


def bins(histogram: Sequence[int]) -> list[tuple[str, int]]:
    """Return the bins from the first to the last that is not empty: range of the distance [ulp], elements."""
    filled = [k for k, count in enumerate(histogram[:_MAX_BINS]) if count]
    if not filled:
        return []
    return [(_range(k), histogram[k]) for k in range(filled[0], filled[-1] + 1)]


def _range(k: int) -> str:
    """Return the range of a bin, from ``2**(k - 1)`` to below ``2**k``: in numbers as long as these are short."""
    if k <= 1:
        return str(k)
    if k <= _LAST_IN_NUMBERS:
        return f"{2 ** (k - 1)}–{2**k - 1}"
    return f"{power(2, k - 1)}–{power(2, k)}"


def histogram(difference: Difference, name: str) -> Markup:
    """Draw the number of elements by their distance, with `name` as the prefix of all ids."""
    shown = bins(difference.ulp_histogram)
    most = max(count for _, count in shown)
    width = _LEFT + _BAR * len(shown) + 10
    parts = []
    for n, (label, count) in enumerate(shown):
        x = _LEFT + n * _BAR
        tall = _bar_height(count, most)
        if count:
            parts.append(el("rect", x=x + 3, y=_TOP + _HEIGHT - tall, width=_BAR - 6, height=tall, class_="bar", rx=1))
        parts.append(_label(x + _BAR / 2, _TOP + _HEIGHT - tall - 5, _short(count), "count"))
        parts.append(_label(x + _BAR / 2, _TOP + _HEIGHT + 16, label.partition("–")[0], "tick"))
    floor = _TOP + _HEIGHT
    parts.append(el("line", x1=_LEFT, y1=floor, x2=width - 4, y2=floor, class_="axis"))
    parts.append(_label(_LEFT, floor + 34, "distance from [ulp]", "name start"))
    parts.append(_upright(14, _TOP + _HEIGHT // 2, "elements"))
    of_what = f"run 1, in run {difference.run}" if isinstance(difference, RunDifference) else "the expected values"
    listed = "; ".join(f"{label} ulp: {count:,}" for label, count in shown[:20])
    return svg(
        name,
        max(width, 190),
        floor + 42,
        f"Distances in {plain(difference.artifact, 80)} from {of_what}",
        f"Elements by their distance in ulp, bars on a logarithmic scale. {listed}. The table below has all of them.",
        parts,
    )


def curve(series: Sequence[StepSeries], name: str) -> Markup:
    """Draw the distance of one value over the steps, a line for each of up to four runs."""
    shown = series[:MAX_CURVES]
    metric = metric_of(shown)
    scale = _Scale.of([(point.step, metric_value(point, metric)) for one in shown for point in one.points])
    parts = _grid(scale)
    parts.append(_upright(12, _TOP + _PLOT_HEIGHT // 2, METRICS[metric]))
    for n, one in enumerate(shown):
        places = [(scale.x(point.step), scale.y(metric_value(point, metric))) for point in one.points]
        line = " ".join(f"{x},{y}" for x, y in places)
        parts.append(el("polyline", points=line, class_=f"curve c{n}", stroke_dasharray=_DASHES[n]))
        parts += [_mark(n, x, y) for x, y in (places if len(places) <= 60 else places[:1])]
        parts += _legend(n, one.run, _ZERO + 50)
    return svg(
        name,
        _LEFT + _PLOT_WIDTH + 16,
        _ZERO + 62,
        f"Distance of {plain(shown[0].name, 80)} from run 1 over the steps",
        f"{METRICS[metric]} on a logarithmic scale. " + " ".join(describe_series(one) for one in shown),
        parts,
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """The scales of a drawing: steps from `first` to `last`, decades from `low` to `high` with 0 below them."""

    low: int
    high: int
    first: int
    last: int

    @classmethod
    def of(cls, points: Sequence[tuple[int, float | None]]) -> _Scale:
        values = [value for _, value in points if value is not None and 0 < value < math.inf]
        low = math.floor(math.log10(min(values))) if values else -1
        high = math.ceil(math.log10(max(values))) if values else 0
        steps = [step for step, _ in points]
        return cls(low, max(high, low + 1), min(steps), max(steps))

    def x(self, step: int) -> float:
        return round(_LEFT + 14 + (step - self.first) / max(self.last - self.first, 1) * (_PLOT_WIDTH - 20), 1)

    def y(self, value: float | None) -> float:
        if value is None or not math.isfinite(value):
            return _TOP - 8
        if value <= 0:
            return _ZERO
        return self.y_of_decade(math.log10(value))

    def y_of_decade(self, exponent: float) -> float:
        return round(_TOP + (self.high - exponent) / (self.high - self.low) * _PLOT_HEIGHT, 1)


#: The figure that a curve shows, in words.
METRICS = {"norm_rel": "relative distance (2-norm)", "max_abs": "largest absolute difference"}


def metric_of(series: Sequence[StepSeries]) -> str:
    """Return the figure that a curve shows: the relative distance where every point has one."""
    has_norm = all(p.norm_rel is not None and math.isfinite(p.norm_rel) for s in series for p in s.points)
    return "norm_rel" if has_norm else "max_abs"


def metric_value(point: StepPoint, metric: str) -> float | None:
    """Return one point's figure."""
    return point.norm_rel if metric == "norm_rel" else point.max_abs


def is_beyond(value: float | None) -> bool:
    """Return whether a figure has no place on a scale."""
    return value is None or not math.isfinite(value)


def describe_series(series: StepSeries) -> str:
    """Return where a value differs: ``Run 2 differs first at step 3, and at 7 of 10 steps captured.``"""
    return (
        f"Run {series.run} differs first at step {series.first_differing}, and at {series.differing:,} of "
        f"{series.captured:,} steps captured."
    )


def _grid(scale: _Scale) -> list[Markup]:
    right = _LEFT + _PLOT_WIDTH
    parts = []
    for exponent in range(scale.low, scale.high + 1, max(1, (scale.high - scale.low) // 6)):
        y = scale.y_of_decade(exponent)
        parts.append(el("line", x1=_LEFT + 14, y1=y, x2=right, y2=y, class_="grid"))
        parts.append(_label(_LEFT + 8, y + 4, power(10, exponent), "tick end"))
    parts.append(el("line", x1=_LEFT + 14, y1=_ZERO, x2=right, y2=_ZERO, class_="axis"))
    parts.append(_label(_LEFT + 8, _ZERO + 4, "0", "tick end"))
    for step in dict.fromkeys((scale.first, scale.last)):
        parts.append(_label(scale.x(step), _ZERO + 18, str(step), "tick"))
    parts.append(_label(_LEFT + _PLOT_WIDTH / 2, _ZERO + 32, "step", "name"))
    return parts


def _upright(x: int, y: int, text: str) -> Markup:
    return el("text", text, x=x, y=y, class_="name", transform=f"rotate(-90 {x} {y})")


def _legend(n: int, run: int, y: int) -> list[Markup]:
    x = _LEFT + 24 + n * 110
    line = el("line", x1=x, y1=y, x2=x + 34, y2=y, class_=f"curve c{n}", stroke_dasharray=_DASHES[n])
    return [line, _mark(n, x + 17, y), _label(x + 40, y + 4, f"run {run}", "tick start")]


def _mark(n: int, x: float, y: float) -> Markup:
    if n == 0:
        return el("circle", cx=x, cy=y, r=3.5, class_=f"dot c{n}")
    if n == 1:
        return el("rect", x=x - 3, y=y - 3, width=6, height=6, class_=f"dot c{n}")
    shape = "M0 -4L4 3L-4 3Z" if n == 2 else "M0 -4.5L4.5 0L0 4.5L-4.5 0Z"
    return el("path", d=shape, transform=f"translate({x} {y})", class_=f"dot c{n}")


def _label(x: float, y: float, text: str, kind: str) -> Markup:
    return el("text", text, x=round(x, 1), y=round(y, 1), class_=kind)


def _bar_height(count: int, most: int) -> int:
    """Return the height of a bar, logarithmic: one element in a million must be visible."""
    return max(4, round(_HEIGHT * math.log10(1 + count) / math.log10(1 + most))) if count else 0


def _short(count: int) -> str:
    for size, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**4, "k")):
        if count >= size:
            return f"{count / (1000 if letter == 'k' else size):.3g}{letter}"
    return str(count)
