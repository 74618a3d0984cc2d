"""The fast path gives the figures of the general path, and leaves the blocks that it cannot measure to it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pytest_repro.model import Tolerance
from pytest_repro.numerics import compare_arrays
from pytest_repro.numerics.dense import DenseKernel
from pytest_repro.numerics.kinds import kind_of
from pytest_repro.numerics.statistics import ArrayStatistics, Tally

SIZE = 16_000
BOUNDS = [Tolerance(), Tolerance(max_ulp=3), Tolerance(rtol=2e-7), Tolerance(max_ulp=2, atol=1e-7, rtol=1e-9)]


def measure(actual: np.ndarray, expected: np.ndarray, bound: Tolerance, *, fast: bool, dtype: str = ""):
    tally = Tally(kind_of(dtype or expected.dtype.name, expected.dtype), bound)
    codes = [side.view(tally.kind.storage) for side in (actual, expected)]
    with np.errstate(all="ignore"):
        if not fast:
            tally.add_expected(codes[1])
            tally.add_block(0, *codes)
            return tally.finish(expected.shape)
        kernel = DenseKernel(tally, SIZE)
        kernel.add_expected(codes[1])
        if not kernel.add_dense(0, *codes):
            assert tally.differing == 0, "a block that is not measured must leave the tally unchanged"
            return None
        return tally.finish(expected.shape)


def assert_same_figures(fast: ArrayStatistics, general: ArrayStatistics) -> None:
    for name in ("norm_rel", "max_rel"):
        assert getattr(fast, name) == pytest.approx(getattr(general, name), rel=1e-5)
    rest = {"norm_rel": None, "max_rel": None}
    assert dataclasses.replace(fast, **rest) == dataclasses.replace(general, **rest)


def base(dtype: str, kind: str) -> np.ndarray:
    rng = np.random.default_rng(5)
    values = rng.standard_normal(SIZE).astype(dtype)
    if kind == "zeros":
        values[::3] = 0
    if kind == "tiny":
        values *= np.finfo(dtype).tiny
    if kind == "subnormal":
        values = (values * 20).astype(dtype) * np.finfo(dtype).smallest_subnormal
    if kind == "large":
        values = np.clip(values, -3, 3) * {"float32": 1e38, "float64": 1e140}[dtype]
    return values.astype(dtype)


def moved(values: np.ndarray, reach: int, share: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(6)
    result = values.copy()
    signed = result.view(f"i{values.itemsize}")
    steps = rng.integers(1, reach + 1, SIZE) * rng.choice([-1, 1], SIZE) * (rng.random(SIZE) < share)
    signed += steps.astype(signed.dtype)
    return result


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["plain", "large", "tiny"])
@pytest.mark.parametrize("reach", [1, 4, 300, 100_000])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.01])
def test_the_fast_path_gives_the_figures_of_the_general_path(dtype, kind, reach, share):
    expected = base(dtype, kind)
    actual = moved(expected, reach, share)
    for bound in BOUNDS:
        fast, general = (measure(actual, expected, bound, fast=fast) for fast in (True, False))
        if fast is None:
            # Signs cross or squares underflow, or too few elements differ.
            assert kind == "tiny" or share == 0.01
            continue
        assert_same_figures(fast, general)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["plain", "subnormal", "zeros"])
@pytest.mark.parametrize("reach", [1, 4, 60])
def test_the_fast_path_gives_the_figures_of_the_general_path_for_16_bits(dtype, kind, reach):
    rng = np.random.default_rng(7)
    # Codes of finite numbers, except those so close to 0 or infinity that a step would change the sign or overflow.
    top = {"float16": 0x7C00, "bfloat16": 0x7F80}[dtype]
    low, high = (reach, 64) if kind == "subnormal" else (reach, top - reach)
    magnitudes = rng.integers(low, max(high, low + 1), SIZE)
    expected = (magnitudes | (rng.integers(0, 2, SIZE) << 15)).astype(np.uint16)
    actual = expected.copy()
    actual.view(np.int16)[:] += (rng.integers(1, reach + 1, SIZE) * rng.choice([-1, 1], SIZE)).astype(np.int16)
    if kind == "zeros":
        expected[::3] = actual[::3] = 0
    for bound in BOUNDS:
        fast, general = (measure(actual, expected, bound, fast=fast, dtype=dtype) for fast in (True, False))
        if fast is None:
            assert kind == "subnormal", "the squares of differences of subnormal bfloat16 underflow float32"
            continue
        assert_same_figures(fast, general)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_blocks_that_are_not_finite_are_passed_to_the_general_path(dtype):
    top = {"float16": 0x7C00, "bfloat16": 0x7F80}[dtype]
    expected = np.full(SIZE, top - 1, np.uint16)
    for code in (top, top + 1, 0x8000 | (top - 1), 0x8000):  # infinity, NaN, the other sign, -0
        actual = np.full(SIZE, code, np.uint16)
        assert measure(actual, expected, Tolerance(), fast=True, dtype=dtype) is None
    found = compare_arrays(np.full(SIZE, top, np.uint16), expected, dtype=dtype, bound=Tolerance(max_ulp=4))
    assert (found.over, found.inf_actual, found.incomparable) == (SIZE, SIZE, SIZE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_block_that_starts_equal_is_measured_completely(dtype):
    expected = np.resize(base(dtype, "plain"), 100_000)
    actual = expected.copy()
    actual.view(f"i{actual.itemsize}")[30_000:] += 2
    actual[77] = 5
    found = compare_arrays(actual, expected)
    assert (found.differing, found.first_index, found.ulp_histogram[2]) == (70_001, (77,), 70_000)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_zeros_count_neither_as_ratio_nor_as_difference(dtype):
    expected = base(dtype, "zeros")
    actual = expected.copy()
    actual[actual != 0] = np.nextafter(actual[actual != 0], np.inf)
    fast, general = (measure(actual, expected, Tolerance(), fast=fast) for fast in (True, False))
    assert fast is not None
    assert_same_figures(fast, general)
    assert fast.max_rel == pytest.approx(general.max_rel, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0])
def test_special_values_and_sign_changes_are_passed_to_the_general_path(dtype, value):
    expected = np.abs(base(dtype, "plain"))
    actual = moved(expected, 3)
    actual[123] = value
    assert measure(actual, expected, Tolerance(), fast=True) is None
    found = compare_arrays(actual, expected)
    assert (found.differing, found.incomparable) == (SIZE, 0 if value == -1.0 else 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_wrapped_distance_between_signs_is_not_mistaken_for_a_small_one(dtype):
    top = np.full(SIZE, np.finfo(dtype).max, dtype)
    found = compare_arrays(top, -top)
    assert found.max_ulp == 2 * int(top[:1].view(f"u{top.itemsize}")[0])
    nan = np.full(SIZE, -1, f"i{top.itemsize}").view(dtype)  # all bits set: one step from +0 when wrapped
    zero = np.zeros(SIZE, dtype)
    assert compare_arrays(nan, zero).incomparable == SIZE


def test_the_first_of_several_equally_distant_elements_is_the_worst():
    expected = np.resize(base("float32", "plain"), 600_000)
    actual = expected.copy()
    codes = actual.view(np.int32)
    codes[300_000:450_000] += 3  # dense blocks, measured directly
    codes[[7, 599_999]] += 3  # a few elements elsewhere, which are measured later
    found = compare_arrays(actual, expected)
    assert (found.max_ulp, found.worst_index, found.first_index, found.differing) == (3, (7,), (7,), 150_002)


def test_sums_of_tiny_float32_differences_do_not_vanish():
    expected = np.full(SIZE, 1e-15, np.float32)
    actual = np.nextafter(expected, np.float32(1))
    found = compare_arrays(actual, expected)
    assert found.norm_rel == pytest.approx(found.max_rel, rel=1e-5)
    assert found.norm_rel > 0


def test_a_ratio_over_zero_is_infinite():
    expected = np.full(SIZE, 1e-45, np.float32)
    expected[0] = 0
    actual = np.nextafter(expected, np.float32(1))
    assert compare_arrays(actual, expected).max_rel == np.inf
