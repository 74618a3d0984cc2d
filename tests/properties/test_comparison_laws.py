"""Laws of the comparison, and agreement with an oracle that uses exact rationals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_repro.model import Tolerance
from pytest_repro.numerics import compare_arrays
from tests.properties import oracle
from tests.unit.numerics.helpers import count_steps

DTYPES = sorted(oracle.FORMATS)


def edges(width: int, exponent: int, fraction: int) -> list[int]:
    """Return codes at which errors are likely, of both signs: zeros, subnormals, borders, infinities, NaNs."""
    infinity = ((1 << exponent) - 1) << fraction
    one = ((1 << (exponent - 1)) - 1) << fraction
    around_subnormals = [0, 1, 2, (1 << fraction) - 1, 1 << fraction]
    around_infinity = [infinity - 1, infinity, infinity + 1, (1 << (width - 1)) - 1]
    positive = [*around_subnormals, one - 1, one, one + 1, *around_infinity]
    return [code | sign for code in positive for sign in (0, 1 << (width - 1))]


@st.composite
def code_pairs(draw: st.DrawFn) -> tuple[str, list[int], list[int]]:
    dtype = draw(st.sampled_from(DTYPES))
    exponent, fraction = oracle.FORMATS[dtype]
    width = 1 + exponent + fraction
    code = st.one_of(st.sampled_from(edges(width, exponent, fraction)), st.integers(0, 2**width - 1))
    expected = draw(st.lists(code, min_size=1, max_size=40))
    actual = []
    for base in expected:
        near = st.integers(-4, 4).map(lambda step, base=base: (base + step) % 2**width)
        actual.append(draw(st.one_of(st.just(base), near, code)))
    return dtype, actual, expected


@settings(max_examples=400, deadline=None)
@given(
    code_pairs(),
    st.sampled_from([0, 1, 3, 2**31, 2**64]),
    st.sampled_from([0.0, 1e-3, 1.0, 2.5]),
    st.sampled_from([0.0, 1e-310, 1e-6, 1e30]),
)
def test_every_figure_matches_exact_rationals(pair, max_ulp, rtol, atol):
    dtype, actual, expected = pair
    found = compare_arrays(
        oracle.as_array(actual, dtype),
        oracle.as_array(expected, dtype),
        dtype=dtype,
        bound=Tolerance(max_ulp=max_ulp, rtol=rtol, atol=atol),
    )
    wanted = oracle.compare(actual, expected, dtype, max_ulp, rtol, atol)
    assert (found.elements, found.differing, found.incomparable) == (
        len(expected),
        wanted.differing,
        wanted.incomparable,
    )
    assert found.max_ulp == wanted.max_ulp
    assert found.ulp_histogram == wanted.histogram
    assert found.first_index == (None if wanted.first is None else (wanted.first,))
    if wanted.max_abs is None:
        assert found.max_abs is None
        return
    assert_same_size(found.max_abs, wanted.max_abs)
    assert_same_size(found.max_rel, wanted.max_rel)
    difference, norm = wanted.norm_squares
    if difference and norm:
        ratio = difference / norm
        shift = ratio.numerator.bit_length() - ratio.denominator.bit_length()
        shift -= shift % 2
        root = math.sqrt(ratio / 2**shift) if shift >= 0 else math.sqrt(ratio * 2**-shift)
        if shift // 2 > 1020:
            assert found.norm_rel == math.inf or found.norm_rel > 1e306
        else:
            assert found.norm_rel == pytest.approx(math.ldexp(root, shift // 2), rel=1e-5)
    if not borders_on_bound(actual, expected, dtype, rtol, atol):
        assert found.over == wanted.over


def assert_same_size(found: float, wanted) -> None:
    try:
        size = float(wanted)
    except OverflowError:
        size = math.inf
    assert found == pytest.approx(size, rel=1e-15, abs=5e-324) or (math.isinf(found) and size > 1.7e308)


def borders_on_bound(actual, expected, dtype, rtol, atol) -> bool:
    """Return whether an element is so close to its bound that the rounding of `atol + rtol * |expected|` decides.

    Exact ties are such cases, and so are differences that overflow float64, which are never admitted.
    """
    for a, e in zip(actual, expected, strict=True):
        left, right = oracle.decode(a, dtype).value, oracle.decode(e, dtype).value
        if left is None or right is None or a == e:
            continue
        allowed = oracle.Fraction(atol) + oracle.Fraction(rtol) * abs(right)
        size = abs(left - right)
        if abs(size - allowed) <= size / 2**50 or size > oracle.Fraction(2) ** 1023:
            return True
        if abs(size - allowed) < oracle.Fraction(2) ** -1070:
            return True
    return False


@settings(max_examples=200, deadline=None)
@given(code_pairs())
def test_distance_is_symmetric(pair):
    dtype, actual, expected = pair
    left, right = oracle.as_array(actual, dtype), oracle.as_array(expected, dtype)
    one, other = compare_arrays(left, right, dtype=dtype), compare_arrays(right, left, dtype=dtype)
    assert (one.differing, one.max_ulp, one.ulp_histogram, one.max_abs) == (
        other.differing,
        other.max_ulp,
        other.ulp_histogram,
        other.max_abs,
    )
    assert (one.nan_actual, one.inf_actual) == (other.nan_expected, other.inf_expected)


@settings(max_examples=200, deadline=None)
@given(code_pairs())
def test_identical_means_the_same_bits(pair):
    dtype, actual, expected = pair
    found = compare_arrays(oracle.as_array(actual, dtype), oracle.as_array(expected, dtype), dtype=dtype)
    assert found.is_identical == (actual == expected)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(DTYPES), st.data())
def test_steps_satisfy_the_triangle_inequality_and_add_up(dtype, data):
    exponent, fraction = oracle.FORMATS[dtype]
    finite = st.integers(0, (((1 << exponent) - 1) << fraction) - 1)
    sign = st.sampled_from([0, 1 << (exponent + fraction)])
    codes = [data.draw(finite) | data.draw(sign) for _ in range(3)]
    a, b, c = (oracle.as_array([code], dtype) for code in codes)
    distances = [count_steps(x, y, dtype)[0] for x, y in ((a, b), (b, c), (a, c))]
    assert max(distances) <= sum(distances) - max(distances)
    ranks = sorted(oracle.decode(code, dtype).rank for code in codes)
    assert max(distances) == ranks[2] - ranks[0]


@settings(max_examples=150, deadline=None)
@example([0], [1 << 63], "int64")
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20),
    st.lists(st.integers(0, 2**64 - 1), min_size=20, max_size=20),
    st.sampled_from(["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]),
)
def test_distances_of_integers_of_every_width_are_exact(left, right, dtype):
    info = np.iinfo(dtype)
    size = int(info.max) - int(info.min) + 1
    actual = [int(info.min) + value % size for value in left]
    expected = [int(info.min) + value % size for value in right[: len(left)]]
    found = compare_arrays(np.array(actual, dtype), np.array(expected, dtype))
    distances = [abs(a - e) for a, e in zip(actual, expected, strict=True) if a != e]
    assert found.differing == len(distances)
    assert found.max_ulp == max(distances, default=None)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 2**40), min_size=1, max_size=3),
    st.integers(1, 3),
)
def test_distances_of_python_integers_are_exact_at_any_size(parts, power):
    from pytest_repro.comparing import compare

    value = math.prod(parts) ** power
    difference = compare(value + 1, value).differences[0]
    assert difference.max_ulp == 1
