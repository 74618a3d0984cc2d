"""Drawings: every bin and every point is where its figure says, also figures without a place on the scale."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_repro.model.reported import Difference, StepSeries
from pytest_repro.reporting.html import figures
from tests.unit.reporting.html.reading import Page, case, difference, read, series


def read_series(*given: dict[str, Any]) -> tuple[StepSeries, ...]:
    return read(case(steps=[*given]))[0].steps


def read_difference(**changed: Any) -> Difference:
    return read(case(divergences=[{"run": 2, **difference(**changed)}]))[0].divergences[0]


def heights(drawing: str) -> list[int]:
    return [int(bar["height"] or 0) for bar in Page(drawing).all("rect")]


def points(drawing: str) -> list[tuple[float, float]]:
    (line,) = re.findall(r'points="([^"]*)"', drawing)
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())]


def test_bins_run_from_the_first_to_the_last_that_is_not_empty() -> None:
    assert figures.bins((0, 0, 3, 0, 5, 0)) == [("2–3", 3), ("4–7", 0), ("8–15", 5)]
    assert figures.bins((*[0] * 10, 1, 2)) == [("512–1023", 1), ("2¹⁰–2¹¹", 2)]
    assert figures.bins((2,)) == [("0", 2)]
    assert figures.bins((0, 0)) == []
    assert len(figures.bins((1,) * 10**6)) == 200


def test_one_element_in_a_million_is_visible() -> None:
    few, many = heights(figures.histogram(read_difference(ulp_histogram=[0, 1, 1_000_000]), "f"))
    assert 4 <= few < many == 150


def test_an_empty_bin_has_no_bar() -> None:
    assert len(heights(figures.histogram(read_difference(ulp_histogram=[1, 0, 1]), "f"))) == 2


def test_counts_beyond_every_integer_of_json_are_drawn() -> None:
    assert heights(figures.histogram(read_difference(ulp_histogram=[0, str(2**62)]), "f")) == [150]


def test_a_curve_rises_with_the_distance_and_is_at_zero_for_identical_steps() -> None:
    (one,) = read_series(series({5: 1e-8, 6: 1e-6, 9: 1e-4}))
    drawn = points(figures.curve([one], "f"))
    assert len(drawn) == 10
    ys = [y for _, y in drawn]
    assert len({*ys[:5], ys[7], ys[8]}) == 1
    assert ys[0] > ys[5] > ys[6] > ys[9]
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)


@pytest.mark.parametrize("value", ["inf", "nan", None])
def test_a_point_without_a_figure_is_above_the_scale(value: str | None) -> None:
    given = series({2: 1e-3, 3: 1e-3})
    given["points"][3] |= {"max_abs": value, "norm_rel": value}
    drawn = points(figures.curve(read_series(given), "f"))
    assert drawn[3][1] < drawn[2][1]
    assert drawn[3][1] < min(y for n, (_, y) in enumerate(drawn) if n != 3)


def test_one_step_and_equal_distances_are_drawn() -> None:
    assert len(points(figures.curve(read_series(series({0: 1e-3}, captured=1)), "f"))) == 1
    assert len(points(figures.curve(read_series(series({0: 5e-324, 1: 1.7e308})), "f"))) == 10


def test_runs_are_distinguished_by_dash_and_mark_and_not_only_by_colour() -> None:
    drawing = figures.curve(read_series(*(series({3: 1e-3}, run=n) for n in range(2, 7))), "f")
    dashes = [line.get("stroke-dasharray") for line in Page(drawing).all("polyline")]
    assert len(dashes) == len(set(dashes)) == 4


def test_a_value_without_a_relative_distance_is_drawn_by_its_absolute_one() -> None:
    given = series({2: 1e-3})
    given["points"][2]["norm_rel"] = None
    found = read_series(given)
    assert figures.metric_of(found) == "max_abs"
    assert figures.metric_of(read_series(series({2: 1e-3}))) == "norm_rel"
