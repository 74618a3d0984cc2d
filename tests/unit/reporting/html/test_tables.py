"""Cells and phrases of the tables."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_repro.model.reported import RunDifference
from pytest_repro.reporting.html import tables
from tests.unit.reporting.html.reading import Page, case, difference, read


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "none"),
        ([], "none"),
        ({}, "none"),
        (["a", 1], "a, 1"),
        ({"a": [1, {"b": None}]}, "a 1; b none"),
        ({"a": [1, 2], "b": [], "c": "x"}, "a 1, 2; b none; c x"),
        ([{"name": "x", "threads": 2}, {"name": "y", "threads": 2}], "name x, threads 2; name y, threads 2"),
        ({"a": 1, "b": []}, "a 1, b none"),
        ({"unavailable": "no git"}, "unknown (no git)"),
        ("0x1.999999999999ap-4", "0.1 (0x1.999999999999ap-4)"),
        ("-0x1.0000000000000p+0", "-1.0 (-0x1.0000000000000p+0)"),
        ("0x1.8p+9999", "0x1.8p+9999"),
        ("0x1.8p-4 of it", "0x1.8p-4 of it"),
    ],
)
def test_a_value_is_described_in_a_phrase(value: Any, said: str) -> None:
    assert tables.describe_value(value) == said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "5,000 ulp, 0.00125 absolute in w"),
        ({"max_ulp": None}, "0.00125 absolute in w"),
        ({"max_ulp": None, "max_abs": None}, "other values in w"),
        ({"kind": "shape"}, "another shape in w"),
        ({"kind": "missing"}, "missing: w"),
        ({"kind": "nan"}, "other NaNs or infinities in w"),
    ],
)
def test_the_largest_difference_is_described_in_a_phrase(changed: dict[str, Any], said: str) -> None:
    one = {"run": 2, **difference(artifact="w", **changed)}
    (test,) = read(case(verdict="diverged", divergences=[one]))
    assert Page(tables.largest_difference(test)).text == said


def test_a_structural_difference_counts_as_larger_than_any_distance() -> None:
    found = [
        {"run": 2, **difference(max_ulp=10**9)},
        {"run": 3, **difference(artifact="b", kind="shape", max_ulp=None)},
    ]
    (test,) = read(case(verdict="diverged", divergences=found))
    assert isinstance(test.worst, RunDifference)
    assert (test.worst.artifact, test.worst.run) == ("b", 3)


def test_a_test_without_a_difference_has_none_only_if_it_is_identical() -> None:
    same, open_ = read(case(), case(verdict="inconclusive"))
    assert tables.largest_difference(same) == "none"
    assert "not applicable" in tables.largest_difference(open_)
