from __future__ import annotations

import numpy as np
import pytest

from pytest_repro.comparing import compare
from pytest_repro.comparing.message import describe_comparison, explain_assert, render_rows
from pytest_repro.model import Comparison


def text(actual, expected, *, width=100, **bounds):
    return describe_comparison(compare(actual, expected, **bounds), width=width)


def test_differing_values_are_described():
    actual, expected = np.float32([[1, 2], [3, 4.5]]), np.float32([[1, 2], [3, 4]])
    assert text({"fc/weight": actual}, {"fc/weight": expected}, max_ulp=2) == (
        "1 of 1 artifact differs by more than allowed\n"
        "\n"
        "artifact   dtype    shape   differing    max ulp  max abs  first at\n"
        "fc/weight  float32  (2, 2)  1/4 25.0%  1,048,576  5.0e-01  [1, 1]\n"
        "\n"
        "fc/weight: the values differ\n"
        "  actual    4.5 at [1, 1]\n"
        "  expected  4.0\n"
        "  relative  max rel 1.2e-01, norm of the difference / norm of expected 9.1e-02\n"
        "  allowed   max_ulp=2\n"
        "  minimum   max_ulp=1048576 (or atol=0.5, rtol=0.13)"
    )


def test_a_nan_and_an_infinity_are_described():
    assert text(np.array([1.0, np.nan, np.inf]), np.array([1.0, 2.0, 3.0]), rtol=1.0) == (
        "1 of 1 artifact differs by more than allowed\n"
        "\n"
        "artifact  dtype    shape  differing  max ulp  max abs  first at\n"
        "result    float64  (3,)   2/3 66.7%        -        -  [1]\n"
        "\n"
        "result: NaN differs\n"
        "  actual    nan (0x7ff8000000000000) at [1]\n"
        "  expected  2.0\n"
        "  allowed   rtol=1\n"
        "  note      differing elements include 1 NaN in actual, 0 in expected; 1 infinity in actual, 0 in\n"
        "            expected: no tolerance allows these"
    )


@pytest.mark.parametrize(
    "actual, expected, row, details",
    [
        (
            np.zeros(3),
            np.zeros((3, 1)),
            "x         float64  (3, 1)      shape        -        -  -",
            "x: the shape differs\n  actual    (3,)\n  expected  (3, 1)",
        ),
        (
            np.zeros(3),
            np.zeros(3, np.float32),
            "x         float32  (3,)       dtype        -        -  -",
            "x: the dtype differs\n  actual    float64\n  expected  float32",
        ),
        (
            1.5,
            "1.5",
            "x         str    ()          type        -        -  -",
            "x: the type differs\n  actual    float 1.5\n  expected  str '1.5'",
        ),
        (
            [1],
            (1,),
            "x         -      -      structure        -        -  -",
            "x: the structure differs\n  actual    list\n  expected  tuple",
        ),
    ],
)
def test_another_type_dtype_or_shape_is_described(actual, expected, row, details):
    lines = text({"x": actual}, {"x": expected})
    assert lines.splitlines()[3] == row
    assert lines.split("\n\n", 2)[2] == details


def test_missing_and_extra_artifacts_are_described():
    assert text({"new": 1.5}, {"old": np.zeros((2, 2))}) == (
        "2 of 2 artifacts differ by more than allowed\n"
        "\n"
        "artifact  dtype    shape   differing  max ulp  max abs  first at\n"
        "old       float64  (2, 2)    missing        -        -  -\n"
        "new       float    ()          extra        -        -  -\n"
        "\n"
        "old: missing from actual\n"
        "  actual    absent\n"
        "  expected  ndarray float64 (2, 2)\n"
        "\n"
        "new: not in expected\n"
        "  actual    float 1.5\n"
        "  expected  absent"
    )


def test_identical_empty_and_tolerated_comparisons_have_different_headings():
    assert (
        text({"a": 1, "b": np.zeros(4)}, {"a": 1, "b": np.zeros(4)})
        == "identical, bit for bit: 2 artifacts, 5 elements"
    )
    assert text({}, {}) == "inconclusive: there was nothing to compare"
    assert text(1.1, 1.0, rtol=0.2).startswith(
        "within tolerance: 1 artifact, 1 element; 1 artifact differs as allowed\n"
    )


def test_the_worst_artifact_comes_first_and_structure_before_values():
    lines = text({"a": 1.5, "b": 2.0, "c": 1}, {"a": 1.0, "b": 1.0, "c": "x"}).splitlines()
    assert [line.split()[0] for line in lines[3:6]] == ["c", "b", "a"]


def test_ten_artifacts_are_shown_and_the_others_are_counted():
    actual, expected = ({f"w{i:03}": value for i in range(1000)} for value in (1.0, 2.0))
    message = text(actual, expected)
    assert message.startswith("1,000 of 1,000 artifacts differ")
    assert "... and 990 more" in message
    assert len(message.splitlines()) < 100


def test_a_row_fits_into_80_columns_and_keeps_its_figures():
    name = "model/encoder/layers/11/self_attention/query_projection/weight"
    actual, expected = np.ones((4096, 16), np.float32), np.zeros((4096, 16), np.float32)
    rows = render_rows(compare({name: actual}, {name: expected}).divergences, width=80)
    assert max(map(len, rows)) <= 80
    assert rows == [
        "artifact                       dtype           differing        max ulp  max abs",
        "model/encoder...ection/weight  float32  65536/65536 100%  1,065,353,216  1.0e+00",
    ]


def test_text_from_user_code_cannot_control_the_terminal():
    message = text({"a\x1b[2J\n\u202eb": "x\x07" * 10_000}, {"a\x1b[2J\n\u202eb": "y"})
    assert "\x1b" not in message
    assert "\x07" not in message
    assert "\u202e" not in message
    assert "a\\x1b[2J\\n\\u202eb" in message
    assert max(map(len, message.splitlines())) < 130


def test_an_integer_of_a_million_digits_is_not_printed():
    assert "bits)" in text(1 << 4_000_000, 0)


def test_a_nearly_full_share_is_not_rounded_up_to_all():
    actual, expected = np.ones(100_000), np.zeros(100_000)
    actual[5] = 0
    assert "99999/100000 99.9%" in text(actual, expected)


def test_elements_of_every_dtype_have_distinct_texts():
    ml_dtypes = pytest.importorskip("ml_dtypes")

    pairs = [
        (np.array([1], ">i4"), np.array([2], ">i4"), "1", "2"),
        (np.array([1.5], ">f4"), np.array([2.5], ">f4"), "1.5", "2.5"),
        (np.array([1.5], ml_dtypes.bfloat16), np.array([2.5], ml_dtypes.bfloat16), "1.5", "2.5"),
        (np.array([1.5], ml_dtypes.float8_e5m2), np.array([2.5], ml_dtypes.float8_e5m2), "1.5", "2.5"),
        (np.array(["NaT"], "M8[D]"), np.array(["2020-01-01"], "M8[D]"), "NaT", "2020-01-01"),
        (np.array([True]), np.array([False]), "True", "False"),
        (np.array([1j]), np.array([2j]), "1j", "2j"),
        (
            np.array([1], np.longdouble) / 3,
            np.array([2], np.longdouble) / 3,
            "0.33333333333333333334",
            "0.6666666666666666667",
        ),
        (np.array([b"a"]), np.array([b"b"]), "b'a'", "b'b'"),
    ]
    for actual, expected, left, right in pairs:
        (found,) = compare(actual, expected).differences
        assert (found.actual, found.expected) == (left, right)


def test_a_failed_equality_of_arrays_is_explained():
    lines = explain_assert("==", np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    assert lines is not None
    assert lines[0] == "ndarray == ndarray, compared bit by bit:"
    assert any("max ulp" in line for line in lines)


@pytest.mark.parametrize(
    "op, left, right", [("!=", np.zeros(1), np.ones(1)), ("==", 1, 2), ("==", np.zeros(1), [1]), ("in", "a", "b")]
)
def test_other_comparisons_are_left_to_pytest(op, left, right):
    assert explain_assert(op, left, right) is None


def test_two_comparisons_are_explained_by_their_text():
    lines = explain_assert("==", Comparison(), compare(1, 1))
    assert lines == [
        "two comparisons differ:",
        "inconclusive: there was nothing to compare",
        "and",
        "identical, bit for bit: 1 artifact, 1 element",
    ]


def test_a_comparison_prints_itself():
    assert repr(compare(1.5, 1.0)) == str(compare(1.5, 1.0)) == text(1.5, 1.0)
