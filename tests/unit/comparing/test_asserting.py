from __future__ import annotations

import numpy as np
import pytest

from pytest_repro.comparing import (
    assert_close,
    assert_identical,
    assert_metrics_close,
    assert_metrics_equivalent,
    assert_predictions_close,
    assert_weights_close,
)
from pytest_repro.errors import DivergenceError, InconclusiveError, UsageError

ONE = np.float32([1.0])
NEXT = np.nextafter(ONE, np.float32(2))
BOUNDED = [assert_close, assert_weights_close, assert_predictions_close]


@pytest.mark.parametrize("check", [assert_identical, *BOUNDED])
def test_identical_values_pass_and_one_different_bit_fails(check):
    check({"w": ONE}, {"w": ONE.copy()})
    with pytest.raises(DivergenceError, match="w: the values differ"):
        check({"w": NEXT}, {"w": ONE})
    with pytest.raises(AssertionError):
        check({"w": np.float32([-0.0])}, {"w": np.float32([0.0])})


@pytest.mark.parametrize("check", BOUNDED)
@pytest.mark.parametrize("bound", [{"max_ulp": 1}, {"rtol": 1.2e-7}, {"atol": 1.2e-7}, {"norm": 1.2e-7}])
def test_a_bound_includes_its_limit(check, bound):
    check(NEXT, ONE, **bound)
    with pytest.raises(DivergenceError):
        check(np.nextafter(NEXT, np.float32(2)), ONE, **bound)


@pytest.mark.parametrize("check", [assert_identical, *BOUNDED, assert_metrics_close])
def test_comparing_nothing_does_not_pass(check):
    with pytest.raises(InconclusiveError, match="nothing to compare"):
        check({}, {})


@pytest.mark.parametrize("check", BOUNDED)
def test_impossible_bounds_are_rejected_even_if_everything_is_equal(check):
    for bound in ({"max_ulp": -1}, {"rtol": float("nan")}, {"atol": "1"}, {"norm": -1.0}):
        with pytest.raises(UsageError, match=next(iter(bound))):
            check(ONE, ONE, **bound)
    with pytest.raises(TypeError):
        check(ONE, ONE, 4)
    with pytest.raises(TypeError):
        check(ONE, ONE, max_ulps=4)


def test_every_artifact_that_differs_is_in_the_message():
    with pytest.raises(DivergenceError) as caught:
        assert_close({"a": 1.0, "b": np.zeros(2), "c": 3}, {"a": 2.0, "b": np.zeros(3), "c": 3})
    assert "a: the values differ" in str(caught.value)
    assert "b: the shape differs" in str(caught.value)


def test_class_flips_of_scores_are_listed_by_row():
    scores = np.array([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6]])
    other = scores.copy()
    other[2] = [0.6, 0.4]
    with pytest.raises(DivergenceError) as caught:
        assert_predictions_close(other, scores)
    assert str(caught.value).splitlines()[-2:] == [
        "class flips (expected -> actual)",
        "  result: 1 of 3 (33.33%, 95 % interval 6.15% to 79.23%) changed class; rows 2: 1 -> 0",
    ]


def test_scores_that_change_without_a_class_flip_are_reported_as_such():
    scores = np.array([[0.1, 0.9], [0.8, 0.2]])
    with pytest.raises(DivergenceError, match="no class changed in 2 samples"):
        assert_predictions_close(scores * 1.01, scores)


@pytest.mark.parametrize("labels", [np.array([1, 2, 3]), np.array(["a", "b", "c"]), np.array([True, False, True])])
def test_class_flips_of_labels_are_the_unequal_entries(labels):
    other = labels.copy()
    other[1] = labels[0]
    with pytest.raises(DivergenceError, match=r"1 of 3 .* changed class; rows 1: "):
        assert_predictions_close({"y": other}, {"y": labels})


def test_eight_rows_are_listed_and_the_others_are_counted():
    with pytest.raises(DivergenceError, match=r"12 of 12 .* rows 0: 0 -> 1, .*, 7: 7 -> 8 and 4 more$"):
        assert_predictions_close(np.arange(12) + 1, np.arange(12))


@pytest.mark.parametrize("values", [np.array([1.0, 2.0]), np.ones((2, 1)), np.ones((2, 2, 2)), np.array(3)])
def test_arrays_without_classes_have_no_class_flips(values):
    with pytest.raises(DivergenceError) as caught:
        assert_predictions_close(values + 1, values)
    assert "class flips" not in str(caught.value)


def test_a_nan_among_scores_is_a_class_flip():
    scores = np.array([[0.1, 0.9], [0.8, 0.2]])
    other = scores.copy()
    other[0, 0] = np.nan
    with pytest.raises(DivergenceError, match="rows 0: 1 -> 0"):
        assert_predictions_close(other, scores)


def test_bfloat16_scores_are_compared_as_numbers():
    ml_dtypes = pytest.importorskip("ml_dtypes")

    scores = np.array([[-1, -2], [3, 1]]).astype(ml_dtypes.bfloat16)  # as codes, -2 is the larger
    other = np.array([[-1, -2], [1, 3]]).astype(ml_dtypes.bfloat16)
    with pytest.raises(DivergenceError, match=r"1 of 2 .* rows 1: 0 -> 1"):
        assert_predictions_close(other, scores)


def test_metrics_must_be_numbers():
    assert_metrics_close({"acc": 0.5, "n": {"x": 3}}, {"acc": 0.5, "n": {"x": 3}})
    assert_metrics_close(0.5, np.nextafter(0.5, 1).item(), max_ulp=1)
    with pytest.raises(DivergenceError):
        assert_metrics_close({"acc": 0.5}, {"acc": 0.6})
    for wrong, message in [
        ([0.5], "actual must be a number or a dict of numbers, got a list"),
        ("0.5", "got a str"),
        (None, "got a NoneType"),
        ({"a": np.zeros(3)}, r"actual\['a'\] has 3 values, but a metric is one number"),
        ({"a": [1]}, r"actual\['a'\] must be a number"),
    ]:
        with pytest.raises(UsageError, match=message):
            assert_metrics_close(wrong, wrong)


def test_equivalence_accepts_numbers_and_dicts():
    runs = [0.90, 0.91, 0.92, 0.91, 0.90]
    assert_metrics_equivalent(runs, [r + 0.001 for r in runs], margin=0.01, paired=True)
    rows, others = ([{"acc": r + shift, "loss": 1 - r} for r in runs] for shift in (0, 0.002))
    assert_metrics_equivalent(rows, others, margin={"acc": 0.01, "loss": 0.01}, paired=True)
    with pytest.raises(DivergenceError, match=r"acc: difference of means -0\.002"):
        assert_metrics_equivalent(rows, others, margin={"acc": 0.001, "loss": 0.01}, paired=True)


def test_invalid_runs_are_rejected():
    runs = [0.9] * 5
    paired = {"margin": 0.1, "paired": True}
    for actual, expected, options, message in [
        (runs[:4], runs[:4], paired, "needs at least 5 runs"),
        (runs, runs, {"margin": 0.1}, "needs at least 10 runs"),
        (runs, runs, {**paired, "margin": 0}, "margin .* must be positive"),
        ([{"a": 1.0}] * 5, [{"b": 1.0}] * 5, paired, "the metrics differ: .*'a'.* in actual_runs"),
        ([{"a": 1.0}] * 5, [{"a": 1.0}] * 5, {**paired, "margin": {"b": 0.1}}, "margin names .*'b'"),
        ([{"a": 1.0}] * 4 + [{}], [{"a": 1.0}] * 5, paired, "run 5 of actual_runs has the metrics"),
        (["0.9"] * 5, runs, paired, "metric in run 1 of actual_runs must be a number, got '0.9'"),
        ([None] * 5, runs, paired, "metric in run 1 of actual_runs must be a number, got None"),
        ("xxxxx", runs, paired, "actual_runs must be a sequence .* got a str"),
        ([], [], paired, "actual_runs is empty"),
        ([{}] * 5, [{}] * 5, paired, "the runs of actual_runs have no metrics"),
    ]:
        with pytest.raises(UsageError, match=message):
            assert_metrics_equivalent(actual, expected, **options)
