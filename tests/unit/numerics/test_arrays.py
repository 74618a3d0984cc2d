from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from pytest_repro.errors import UnsupportedTypeError, UsageError
from pytest_repro.model import Tolerance
from pytest_repro.numerics import blocks, compare_arrays

F32_MAX = np.finfo(np.float32).max


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def bits(*codes: int, dtype: str = "uint32", view: str = "float32") -> np.ndarray:
    return np.array(codes, dtype).view(view)


def test_infinity_is_never_one_ulp_from_max():
    found = compare_arrays(f32(np.inf), f32(F32_MAX), bound=Tolerance(max_ulp=2**40, rtol=1e30, atol=1e30))
    assert (found.over, found.incomparable, found.max_ulp) == (1, 1, None)


def test_opposite_infinities_are_never_within_a_bound():
    found = compare_arrays(f32(np.inf), f32(-np.inf), bound=Tolerance(max_ulp=2**40, rtol=1e30, atol=1e30))
    assert (found.over, found.inf_actual, found.inf_expected) == (1, 1, 1)


def test_nan_is_never_within_a_bound_of_a_number():
    found = compare_arrays(f32(np.nan, 1), f32(1, np.nan), bound=Tolerance(max_ulp=2**40, rtol=1e30, atol=1e30))
    assert (found.over, found.nan_actual, found.nan_expected) == (2, 1, 1)


def test_nans_with_the_same_bits_are_identical():
    assert compare_arrays(bits(0x7FC00001), bits(0x7FC00001)).is_identical


def test_nans_with_different_bits_differ_and_no_bound_admits_them():
    found = compare_arrays(bits(0x7FC00001), bits(0x7FC00002), bound=Tolerance(max_ulp=10, rtol=1.0))
    assert (found.differing, found.over, found.nan_actual, found.nan_expected) == (1, 1, 1, 1)


def test_signed_zeros_differ_in_bits_and_are_0_ulp_apart():
    found = compare_arrays(f32(-0.0), f32(0.0))
    assert (found.differing, found.over, found.max_ulp, found.ulp_histogram) == (1, 1, 0, (1,))
    assert compare_arrays(f32(-0.0), f32(0.0), bound=Tolerance(max_ulp=1)).over == 0


def test_max_to_minus_max_is_counted_without_wrapping():
    found = compare_arrays(f32(F32_MAX), f32(-F32_MAX))
    assert found.max_ulp == 2 * 0x7F7FFFFF == 4_278_190_078
    assert found.max_abs == 2 * float(F32_MAX)
    top = np.finfo(np.float64).max
    assert compare_arrays(np.array([top]), np.array([-top])).max_ulp == 2 * 0x7FEFFFFFFFFFFFFF


def test_a_difference_that_overflows_float64_is_not_admitted_by_rtol_or_atol():
    top = np.array([np.finfo(np.float64).max])
    assert compare_arrays(top, -top, bound=Tolerance(rtol=1.5, atol=1e300)).over == 1
    assert compare_arrays(top, -top, bound=Tolerance(max_ulp=2**64)).over == 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_the_smallest_subnormals_are_1_ulp_apart(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    found = compare_arrays(np.array([2 * tiny], dtype), np.array([tiny], dtype))
    assert (found.max_ulp, found.max_rel) == (1, 1.0)
    assert found.max_abs == float(tiny)


def test_padding_of_longdouble_is_not_compared():
    left, right = (np.array([1.5, 2.5], np.longdouble) for _ in range(2))
    if np.finfo(np.longdouble).nmant != 63:
        pytest.skip("this platform's long double has no padding")
    left.view(np.uint8).reshape(2, 16)[:, 10:] = 0xAA
    right.view(np.uint8).reshape(2, 16)[:, 10:] = 0x55
    assert left.tobytes() != right.tobytes()
    assert compare_arrays(left, right).is_identical


def test_distances_of_longdouble_may_exceed_64_bits():
    top = np.finfo(np.longdouble).max
    found = compare_arrays(np.array([top, 1, 1]), np.array([-top, 1, np.nextafter(np.longdouble(1), 2)]))
    if np.finfo(np.longdouble).nmant == 63:
        assert found.max_ulp == 2 * ((0x7FFE << 63) + (1 << 63) - 1)
        assert found.ulp_histogram == (0, 1, *[0] * 77, 1)
    assert compare_arrays(np.array([top]), np.array([-top]), bound=Tolerance(max_ulp=2**63)).over == 1


def test_complex_distances_are_steps_per_part_and_the_modulus():
    found = compare_arrays(np.array([3 + 4j, 1j]), np.array([0 + 0j, 1j]))
    assert (found.elements, found.differing, found.max_abs) == (2, 1, 5.0)
    up = np.nextafter(1.0, 2)
    assert compare_arrays(np.array([complex(up, 1)]), np.array([complex(1, up)])).max_ulp == 1


def test_a_part_that_is_infinite_on_both_sides_leaves_the_other_part_comparable():
    left, right = np.array([complex(np.inf, 1.0)]), np.array([complex(np.inf, 2.0)])
    found = compare_arrays(left, right, bound=Tolerance(rtol=0.25))
    assert (found.incomparable, found.max_abs, found.max_rel, found.over) == (0, 1.0, 0.5, 1)
    assert compare_arrays(left, right, bound=Tolerance(rtol=0.5)).over == 0


def test_integers_past_2_to_the_53_are_exact():
    left, right = np.array([2**53 + 1, -(2**63)]), np.array([2**53, 2**63 - 1])
    found = compare_arrays(left, right)
    assert (found.differing, found.max_ulp) == (2, 2**64 - 1)


def test_an_integer_is_not_admitted_if_its_distance_only_rounds_to_the_bound():
    left, right = np.array([2**53 + 1]), np.array([0])
    assert compare_arrays(left, right, bound=Tolerance(atol=2.0**53)).over == 1
    assert compare_arrays(left, right, bound=Tolerance(atol=2.0**53 + 2)).over == 0


def test_max_ulp_admits_rounding_but_no_change_of_integers_or_bools():
    bound = Tolerance(max_ulp=5)
    assert compare_arrays(np.array([3]), np.array([4]), bound=bound).over == 1
    assert compare_arrays(np.array([True]), np.array([False]), bound=Tolerance(max_ulp=5, atol=5.0)).over == 1
    assert compare_arrays(np.array([3], np.uint8), np.array([4], np.uint8), dtype="quint8", bound=bound).over == 0


def test_dates_are_compared_exactly_and_nat_counts_as_nan():
    left = np.array(["2020-01-01", "NaT"], "datetime64[D]")
    right = np.array(["2020-01-03", "2020-01-01"], "datetime64[D]")
    found = compare_arrays(left, right, bound=Tolerance(atol=100.0))
    assert (found.over, found.nan_actual, found.max_ulp) == (2, 1, 2)
    assert compare_arrays(left, left.copy()).is_identical


def test_text_has_no_distance():
    found = compare_arrays(np.array(["a", "bc"]), np.array(["a", "bd"]))
    assert (found.differing, found.max_ulp, found.max_abs, found.first_index) == (1, None, None, (1,))


@pytest.mark.parametrize("shape", [(0,), (3, 0), ()])
def test_empty_and_zero_dimensional_arrays_can_be_compared(shape):
    left = np.zeros(shape)
    assert compare_arrays(left, left.copy()).is_identical
    if not shape:
        assert compare_arrays(left, left + 1).first_index == ()


def test_nothing_is_broadcast_or_converted():
    with pytest.raises(UsageError, match="one shape and one dtype"):
        compare_arrays(np.zeros(3), np.zeros((1, 3)))
    with pytest.raises(UsageError, match="one shape and one dtype"):
        compare_arrays(np.zeros(0), np.zeros((0, 1)))
    with pytest.raises(UsageError, match="one shape and one dtype"):
        compare_arrays(np.zeros(3), np.zeros(3, np.float32))
    with pytest.raises(UsageError, match="2 bytes per element"):
        compare_arrays(np.zeros(3), np.zeros(3), dtype="bfloat16")


def test_arrays_that_cannot_be_compared_by_bits_are_rejected_with_the_reason():
    with pytest.raises(UnsupportedTypeError, match="object"):
        compare_arrays(np.array([None]), np.array([None]))
    with pytest.raises(UnsupportedTypeError, match="fields"):
        compare_arrays(np.zeros(1, [("a", "f4")]), np.zeros(1, [("a", "f4")]))
    with pytest.raises(UnsupportedTypeError, match="mask"):
        compare_arrays(np.ma.masked_array([1.0]), np.ma.masked_array([1.0]))


def test_the_inputs_are_never_written_to():
    left, right = np.linspace(0, 1, 50_000, dtype=np.float32), np.linspace(0, 1, 50_000, dtype=np.float32)
    right[::3] *= np.float32(1.001)
    copies = left.copy(), right.copy()
    left.flags.writeable = right.flags.writeable = False
    for dtype in (None, ">f4"):
        sides = [side if dtype is None else side.astype(dtype) for side in (left, right)]
        for side in sides:
            side.flags.writeable = False
        assert compare_arrays(*sides, bound=Tolerance(rtol=1e-3, norm=1.0)).differing > 10_000
    assert left.tobytes() == copies[0].tobytes()
    assert right.tobytes() == copies[1].tobytes()


@pytest.mark.parametrize("step", [1, -1])
def test_without_memcmp_the_figures_are_the_same(step, monkeypatch):
    expected = np.arange(600_000, dtype=np.float64)
    actual = expected.copy()
    actual[[3, 500_000]] += 1
    pair = actual[::step], expected[::step]
    wanted = compare_arrays(*pair)
    monkeypatch.setattr(blocks, "_memcmp", blocks.compare_copies)
    assert compare_arrays(*pair) == wanted
    assert (wanted.differing, wanted.max_abs) == (2, 1.0)
    assert compare_arrays(expected, expected.copy()).is_identical


def test_the_norm_includes_equal_elements():
    expected = np.full(400_000, 2.0, np.float32)
    actual = expected.copy()
    actual[399_999] = 3.0
    found = compare_arrays(actual, expected)
    assert found.norm_rel == pytest.approx(1 / (2 * np.sqrt(400_000)), rel=1e-6)
    assert found.first_index == (399_999,)


@pytest.mark.parametrize("scale", [1e-300, 1e-180, 1.0, 1e180, 1e300])
def test_the_norm_neither_overflows_nor_underflows(scale):
    expected = np.arange(1.0, 1001.0) * scale
    found = compare_arrays(expected * 1.5, expected)
    assert found.norm_rel == pytest.approx(0.5, rel=1e-12)


def test_the_largest_expected_value_is_found_at_any_position():
    expected = np.ones(300_000)
    expected[7] = -5.0
    actual = expected.copy()
    actual[299_999] = 1.5
    assert compare_arrays(actual, expected, bound=Tolerance(norm=0.1)).max_expected == 5.0
    assert compare_arrays(actual, expected).max_expected is None


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "complex64", "uint8", ">f4", "longdouble"])
def test_a_comparison_allocates_less_than_8_mib(dtype):
    rng = np.random.default_rng(0)
    expected = rng.integers(1, 100, 3_000_000).astype(dtype)
    actual = (expected + rng.integers(0, 2, 3_000_000).astype(dtype)).astype(dtype)
    tracemalloc.start()
    try:
        compare_arrays(actual[::-1], expected[::-1])
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("scale", [2.0**-100, 1.0, 2.0**100])
@pytest.mark.parametrize("count", [1000, 1001])
def test_the_norm_of_bfloat16_is_computed_from_its_values(scale, count):
    values = (np.random.default_rng(4).standard_normal(count) * scale).astype(np.float32)
    expected = (values.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    actual = expected.copy()
    actual[::10] += 1
    words = [side.astype(np.uint32) << np.uint32(16) for side in (actual, expected)]
    numbers = [word.view(np.float32).astype(np.float64) for word in words]
    wanted = np.linalg.norm(numbers[0] - numbers[1]) / np.linalg.norm(numbers[1])
    assert compare_arrays(actual, expected, dtype="bfloat16").norm_rel == pytest.approx(wanted, rel=1e-5)


def test_a_ratio_of_norms_near_the_largest_number_is_still_finite() -> None:
    actual, expected = np.array([0.0, 1.0]), np.array([0.0, 4.450147717014402e-308])
    assert compare_arrays(actual, expected).norm_rel == pytest.approx(2.247116418577895e307)


def test_a_ratio_of_norms_beyond_the_largest_number_is_infinite() -> None:
    assert compare_arrays(np.array([1e200]), np.array([1e-200])).norm_rel == math.inf
