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
def test_the_same_passes_and_one_bit_does_not(check):
    check({"w": ONE}, {"w": ONE.copy()})
    with pytest.raises(DivergenceError, match="w: the values differ"):
        check({"w": NEXT}, {"w": ONE})
    with pytest.raises(AssertionError):
        check({"w": np.float32([-0.0])}, {"w": np.float32([0.0])})


@pytest.mark.parametrize("check", BOUNDED)
@pytest.mark.parametrize("bound", [{"max_ulp": 1}, {"rtol": 1.2e-7}, {"atol": 1.2e-7}, {"norm": 1.2e-7}])
def test_a_bound_admits_up_to_itself(check, bound):
    check(NEXT, ONE, **bound)
    with pytest.raises(DivergenceError):
        check(np.nextafter(NEXT, np.float32(2)), ONE, **bound)


@pytest.mark.parametrize("check", [assert_identical, *BOUNDED, assert_metrics_close])
def test_nothing_compared_is_no_pass(check):
    with pytest.raises(InconclusiveError, match="nothing to compare"):
        check({}, {})


@pytest.mark.parametrize("check", BOUNDED)
def test_impossible_bounds_are_refused_although_all_is_equal(check):
    for bound in ({"max_ulp": -1}, {"rtol": float("nan")}, {"atol": "1"}, {"norm": -1.0}):
        with pytest.raises(UsageError):
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


def test_flips_of_scores_are_told_by_row():
    scores = np.array([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6]])
    other = scores.copy()
    other[2] = [0.6, 0.4]
    with pytest.raises(DivergenceError) as caught:
        assert_predictions_close(other, scores)
    assert str(caught.value).splitlines()[-2:] == [
        "class flips (expected -> actual)",
        "  result: 1 of 3 (33.33%, 95 % interval 6.15% to 79.23%) changed class; rows 2: 1 -> 0",
    ]


def test_scores_that_moved_without_a_flip_say_so():
    scores = np.array([[0.1, 0.9], [0.8, 0.2]])
    with pytest.raises(DivergenceError, match="no class changed in 2 samples"):
        assert_predictions_close(scores * 1.01, scores)


@pytest.mark.parametrize("labels", [np.array([1, 2, 3]), np.array(["a", "b", "c"]), np.array([True, False, True])])
def test_flips_of_labels_are_unequal_entries(labels):
    other = labels.copy()
    other[1] = labels[0]
    with pytest.raises(DivergenceError, match=r"1 of 3 .* changed class; rows 1: "):
        assert_predictions_close({"y": other}, {"y": labels})


@pytest.mark.parametrize("values", [np.array([1.0, 2.0]), np.ones((2, 1)), np.ones((2, 2, 2)), np.array(3)])
def test_what_holds_no_classes_has_no_flips(values):
    with pytest.raises(DivergenceError) as caught:
        assert_predictions_close(values + 1, values)
    assert "class flips" not in str(caught.value)


def test_a_nan_among_scores_is_a_flip():
    scores = np.array([[0.1, 0.9], [0.8, 0.2]])
    other = scores.copy()
    other[0, 0] = np.nan
    with pytest.raises(DivergenceError, match="rows 0: 1 -> 0"):
        assert_predictions_close(other, scores)


def test_flips_of_scores_in_bfloat16_are_read_as_numbers():
    import ml_dtypes

    scores = np.array([[-1, -2], [3, 1]]).astype(ml_dtypes.bfloat16)  # as codes, -2 is the larger
    other = np.array([[-1, -2], [1, 3]]).astype(ml_dtypes.bfloat16)
    with pytest.raises(DivergenceError, match=r"1 of 2 .* rows 1: 0 -> 1"):
        assert_predictions_close(other, scores)


def test_metrics_are_numbers():
    assert_metrics_close({"acc": 0.5, "n": {"x": 3}}, {"acc": 0.5, "n": {"x": 3}})
    assert_metrics_close(0.5, np.nextafter(0.5, 1).item(), max_ulp=1)
    with pytest.raises(DivergenceError):
        assert_metrics_close({"acc": 0.5}, {"acc": 0.6})
    for wrong in ([0.5], "0.5", None, {"a": np.zeros(3)}, {"a": [1]}):
        with pytest.raises(UsageError):
            assert_metrics_close(wrong, wrong)


def test_equivalence_takes_numbers_and_dicts():
    runs = [0.90, 0.91, 0.92, 0.91, 0.90]
    assert_metrics_equivalent(runs, [r + 0.001 for r in runs], margin=0.01, paired=True)
    rows, others = ([{"acc": r + shift, "loss": 1 - r} for r in runs] for shift in (0, 0.002))
    assert_metrics_equivalent(rows, others, margin={"acc": 0.01, "loss": 0.01}, paired=True)
    with pytest.raises(DivergenceError, match=r"acc: difference of means -0\.002"):
        assert_metrics_equivalent(rows, others, margin={"acc": 0.001, "loss": 0.01}, paired=True)


def test_equivalence_refuses_what_it_cannot_judge():
    runs = [0.9] * 5
    for actual, expected, options in [
        (runs[:4], runs[:4], {"margin": 0.1, "paired": True}),
        (runs, runs, {"margin": 0.1}),
        (runs, runs, {"margin": 0, "paired": True}),
        ([{"a": 1.0}] * 5, [{"b": 1.0}] * 5, {"margin": 0.1, "paired": True}),
        ([{"a": 1.0}] * 5, [{"a": 1.0}] * 5, {"margin": {"b": 0.1}, "paired": True}),
        ([{"a": 1.0}] * 4 + [{}], [{"a": 1.0}] * 5, {"margin": 0.1, "paired": True}),
        (["x"] * 5, runs, {"margin": 0.1, "paired": True}),
        ("xxxxx", runs, {"margin": 0.1, "paired": True}),
        ([], [], {"margin": 0.1, "paired": True}),
        ([{}] * 5, [{}] * 5, {"margin": 0.1, "paired": True}),
    ]:
        with pytest.raises(UsageError):
            assert_metrics_equivalent(actual, expected, **options)
