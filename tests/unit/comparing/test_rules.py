from __future__ import annotations

import numpy as np
import pytest

from pytest_repro.comparing import compare
from pytest_repro.errors import UsageError
from pytest_repro.model import Tolerance, Verdict


@pytest.fixture
def product():
    """A float32 matrix product in two orders of its terms, with its float64 reference."""
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((40, 600)).astype(np.float32), rng.standard_normal((600, 30)).astype(np.float32)
    turn = rng.permutation(600)
    return left @ right, left[:, turn] @ right[turn], left.astype(np.float64) @ right.astype(np.float64)


def test_another_order_of_summation_is_within_the_references_error(product):
    expected, actual, reference = product
    found = compare(actual, expected, Tolerance.auto(reference))
    assert found.verdict is Verdict.WITHIN_TOLERANCE
    assert "RMSE" in found.tolerated[0].note
    assert compare(actual, expected, max_ulp=64).verdict is Verdict.DIVERGED, "an ulp bound would have failed it"


def test_a_small_systematic_error_exceeds_the_references_error(product):
    expected, actual, reference = product
    found = compare((actual * np.float32(1 + 1e-5)).astype(np.float32), expected, Tolerance.auto(reference))
    assert found.verdict is Verdict.DIVERGED
    assert found.divergences[0].allowed.startswith("auto: 5 x")


def test_a_reference_in_a_tree_is_found_by_path(product):
    expected, actual, reference = product
    trees = [{"net": {"out": side}} for side in (actual, expected, reference)]
    assert compare(trees[0], trees[1], Tolerance.auto(trees[2])).verdict is Verdict.WITHIN_TOLERANCE


def test_one_broken_small_artifact_is_found_among_good_ones():
    rng = np.random.default_rng(1)
    reference = {f"bias{i}": rng.standard_normal(4) for i in range(50)}
    expected = {name: value.astype(np.float32) for name, value in reference.items()}
    actual = {name: np.nextafter(value, np.float32(9)) for name, value in expected.items()}
    assert compare(actual, expected, Tolerance.auto(reference)).verdict is Verdict.WITHIN_TOLERANCE
    actual["bias7"] = actual["bias7"] * np.float32(1 + 3e-6)
    found = compare(actual, expected, Tolerance.auto(reference))
    assert [d.artifact for d in found.divergences] == ["bias7"]


def test_a_nan_is_not_a_rounding_error(product):
    expected, actual, reference = product
    actual[3, 3] = np.nan
    assert compare(actual, expected, Tolerance.auto(reference)).verdict is Verdict.DIVERGED


def test_values_other_than_floats_must_be_identical():
    tolerance = Tolerance.auto({"n": np.array([1.0]), "label": "a"})
    assert (
        compare({"n": np.array([1]), "label": "a"}, {"n": np.array([2]), "label": "a"}, tolerance).verdict
        is Verdict.DIVERGED
    )


@pytest.mark.parametrize(
    "reference, says",
    [
        (np.zeros((2, 2)), "shape"),
        (np.zeros(3, np.float32), "must have float64"),
        ({"other": np.zeros(3)}, "no artifact 'result'"),
    ],
)
def test_a_reference_of_another_structure_shape_or_dtype_is_rejected(reference, says):
    left, right = np.zeros(3, np.float32), np.ones(3, np.float32)
    with pytest.raises(UsageError, match=says):
        compare(left, right, Tolerance.auto(reference))


def test_the_noise_floor_admits_the_effect_of_one_ulp_in_the_weights():
    rng = np.random.default_rng(2)
    weights, data = rng.standard_normal((50, 50)).astype(np.float32), rng.standard_normal((20, 50)).astype(np.float32)

    def run(w):
        return np.tanh(data @ w) @ w

    def jitter(seed):
        up = np.random.default_rng(seed).random(weights.shape) < 0.5
        return np.where(up, np.nextafter(weights, np.float32(9)), np.nextafter(weights, np.float32(-9)))

    tolerance = Tolerance.auto(jittered=[run(jitter(seed)) for seed in range(7)])
    expected = run(weights)
    found = compare(run(jitter(99)), expected, tolerance)
    assert found.verdict is Verdict.WITHIN_TOLERANCE
    assert "median of 7 runs" in found.tolerated[0].note
    assert compare(run(weights * np.float32(1 + 1e-4)), expected, tolerance).verdict is Verdict.DIVERGED


def test_a_noise_floor_of_zero_admits_nothing():
    base = np.ones(30, np.float32)
    tolerance = Tolerance.auto(jittered=[base.copy() for _ in range(7)])
    assert compare(np.nextafter(base, np.float32(2)), base, tolerance).verdict is Verdict.DIVERGED
    assert compare(base.copy(), base, tolerance).verdict is Verdict.IDENTICAL


#: dtype -> its default's relative and absolute bound.
DEFAULTS = {
    "float64": (1e-7, 1e-7),
    "float32": (1.3e-6, 1e-5),
    "float16": (1e-3, 1e-5),
    "complex128": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
}


@pytest.mark.parametrize("dtype", DEFAULTS)
@pytest.mark.parametrize("order", ["=", ">", "<"])
def test_each_dtype_has_its_default_bound_in_either_byte_order(dtype, order):
    rtol, atol = DEFAULTS[dtype]
    # Where the absolute bound decides, and where the relative one does.
    for size in (1e-3, 30.0):
        bound = atol + rtol * size
        expected = np.full(4, size).astype(dtype)
        sides = [(expected + bound * np.array([0, 0, far, 0])).astype(dtype) for far in (0, 0.6, 2.0)]
        expected, inside, outside = (side.astype(np.dtype(dtype).newbyteorder(order)) for side in sides)
        found = compare(inside, expected, Tolerance.per_dtype())
        assert found.verdict is Verdict.WITHIN_TOLERANCE
        assert found.tolerated[0].allowed == f"{dtype}'s default: rtol={rtol:g}, atol={atol:g}"
        assert compare(outside, expected, Tolerance.per_dtype()).verdict is Verdict.DIVERGED


def test_python_numbers_have_the_default_bounds_of_64_bits():
    for value in (1.0, 1 + 0j):
        found = compare(value + 1e-7, value, Tolerance.per_dtype())
        assert found.verdict is Verdict.WITHIN_TOLERANCE
        assert "64's default" in found.tolerated[0].allowed or "128's default" in found.tolerated[0].allowed
        assert compare(value + 1e-6, value, Tolerance.per_dtype()).verdict is Verdict.DIVERGED


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (np.array([3]), np.array([4])),
        (3, 4),
        (True, False),
        ("a", "b"),
        (np.uint8([255]), np.uint8([0])),
        (np.longdouble([1]) + np.finfo(np.longdouble).eps, np.longdouble([1])),
        (np.array(["2020-01-01"], "M8[D]"), np.array(["2020-01-02"], "M8[D]")),
    ],
    ids=["int64", "int", "bool", "text", "uint8", "longdouble", "time"],
)
def test_dtypes_without_default_must_be_identical(actual, expected):
    found = compare(actual, expected, Tolerance.per_dtype())
    assert found.verdict is Verdict.DIVERGED
    assert found.divergences[0].allowed.endswith("has no default: no difference")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_no_default_admits_nan_infinity_or_large_differences(bad):
    expected = np.ones(3, np.float32)
    actual = np.array([1, bad, 1], np.float32)
    assert compare(actual, expected, Tolerance.per_dtype()).verdict is Verdict.DIVERGED
    assert compare(expected, actual, Tolerance.per_dtype()).verdict is Verdict.DIVERGED


def test_a_default_does_not_admit_another_dtype():
    found = compare(np.ones(3, np.float32), np.ones(3), Tolerance.per_dtype())
    assert found.divergences[0].kind == "dtype"
    assert "default" not in found.divergences[0].allowed


def test_8_bit_floats_pass_with_bounds_given_for_their_dtype():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    expected = np.array([1.0, 2.0]).astype(ml_dtypes.float8_e4m3fn)
    actual = np.array([1.125, 2.0]).astype(ml_dtypes.float8_e4m3fn)
    assert compare(actual, expected, Tolerance.per_dtype()).verdict is Verdict.DIVERGED
    own = Tolerance.per_dtype({"float8_e4m3fn": Tolerance(max_ulp=1), "float32": Tolerance(rtol=0.5)})
    found = compare({"a": actual, "b": np.float32([1.4])}, {"a": expected, "b": np.float32([1])}, own)
    assert [d.allowed for d in found.tolerated] == ["for float32: rtol=0.5", "for float8_e4m3fn: max_ulp=1"]
    assert "float8_e4m3fn max_ulp=1; others no difference" in own.describe()


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ([("float32", Tolerance())], "takes a mapping of dtype"),
        ({"float32": 1e-3}, "maps a dtype's name"),
        ({np.float32: Tolerance()}, "maps a dtype's name"),
        ({"float32": Tolerance.per_dtype()}, "Tolerance of bounds"),
    ],
)
def test_invalid_bounds_of_a_dtype_are_rejected(others, says):
    with pytest.raises(UsageError, match=says):
        Tolerance.per_dtype(others)


def test_globs_choose_which_artifacts_have_defaults():
    expected = {"loss": np.float32([1.0]), "weights": np.float32([1.0])}
    actual = {name: value + np.float32(1e-6) for name, value in expected.items()}
    found = compare(actual, expected, {"loss": Tolerance.per_dtype()})
    assert [d.artifact for d in found.divergences] == ["weights"]
    assert [d.artifact for d in found.tolerated] == ["loss"]
