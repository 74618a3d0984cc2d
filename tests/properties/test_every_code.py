"""Exhaustive tests of the formats with few codes."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from pytest_repro.numerics import compare_arrays
from pytest_repro.numerics.formats import NARROW_FORMATS, code_table
from tests.properties import oracle
from tests.unit.numerics.helpers import count_steps


def test_every_neighbour_pair_of_float16_is_one_step_apart():
    codes = np.arange(0x7C00, dtype=np.uint16)  # all finite magnitudes
    for sign in (0, 0x8000):
        row = codes | np.uint16(sign)
        steps = count_steps(row[1:].view(np.float16), row[:-1].view(np.float16))
        assert steps == [1] * (len(codes) - 1)


def test_every_neighbour_pair_of_bfloat16_is_one_step_apart():
    codes = np.arange(0x7F80, dtype=np.uint16)
    for sign in (0, 0x8000):
        row = codes | np.uint16(sign)
        assert set(count_steps(row[1:], row[:-1], "bfloat16")) == {1}


def test_the_distance_of_every_float16_from_zero_is_its_rank():
    codes = np.arange(0x7C00, dtype=np.uint16).view(np.float16)
    zero = np.zeros_like(codes)
    assert count_steps(codes, zero) == list(range(0x7C00))
    assert count_steps(-codes, zero) == list(range(0x7C00))
    assert count_steps(codes, -codes) == list(range(0, 2 * 0x7C00, 2))


@pytest.mark.parametrize("name", sorted(NARROW_FORMATS))
def test_every_code_of_a_narrow_format_has_the_value_in_ml_dtypes(name):
    width = NARROW_FORMATS[name].width
    codes = np.arange(2**width, dtype=np.uint8)
    theirs = codes.view(getattr(ml_dtypes, name)).astype(np.float64)
    ours = code_table(name).values[: 2**width]
    np.testing.assert_array_equal(ours, theirs)
    # The check above considers -0.0 and 0.0 equal.
    np.testing.assert_array_equal(np.signbit(ours)[~np.isnan(ours)], np.signbit(theirs)[~np.isnan(ours)])


@pytest.mark.parametrize("name", sorted(NARROW_FORMATS))
def test_every_pair_of_a_narrow_format_has_the_right_distance(name):
    width = NARROW_FORMATS[name].width
    codes = np.arange(2**width, dtype=np.uint8)
    values = codes.view(getattr(ml_dtypes, name)).astype(np.float64)
    finite = sorted(set(values[np.isfinite(values)].tolist()))
    rank = {value: i for i, value in enumerate(finite)}
    left, right = (side.reshape(-1) for side in np.meshgrid(codes, codes, indexing="ij"))
    for a, row in zip(codes.tolist(), left.reshape(2**width, -1), strict=True):
        others = right[: 2**width]
        if not np.isfinite(values[a]):
            found = compare_arrays(row.copy(), others, dtype=name)
            assert found.incomparable == 2**width - 1
            continue
        keep = np.isfinite(values[others])
        steps = count_steps(row[keep], others[keep], name)
        wanted = [abs(rank[values[a]] - rank[value]) for value in values[others[keep]].tolist()]
        assert steps == wanted


def test_the_oracle_decodes_float16_like_numpy():
    codes = np.arange(2**16, dtype=np.uint16)
    values = codes.view(np.float16).astype(np.float64)
    for code in range(0, 2**16, 7):
        number = oracle.decode(code, "float16")
        assert number.is_nan == np.isnan(values[code])
        if number.value is not None:
            assert float(number.value) == values[code]
