from __future__ import annotations

import numpy as np
import pytest

from pytest_repro.numerics.ulps import bit_length_counts, extended_distance
from tests.unit.numerics.helpers import count_steps


def test_the_distance_from_1_counts_by_binade():
    assert count_steps(np.array([1.0, 2.0, 0.5]), np.array([1.0, 1.0, 1.0])) == [0, 2**52, 2**52]


def test_the_distance_across_zero_is_the_sum():
    tiny = np.array([5e-324])
    assert count_steps(tiny, -tiny) == [2]
    assert count_steps(np.array([0.0]), np.array([-0.0])) == [0]


def test_a_carrier_is_read_in_the_given_format():
    one, next_one = np.array([0x3F80], np.uint16), np.array([0x3F81], np.uint16)
    assert count_steps(next_one, one, "bfloat16") == [1]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_bit_lengths_are_exact_at_every_power_of_two(dtype):
    width = np.dtype(dtype).itemsize * 8
    values = sorted({v for k in range(width) for v in (2**k - 1, 2**k, 2**k + 1) if v < 2**width} | {2**width - 1})
    wanted = [sum(v.bit_length() == k for v in values) for k in range(65)]
    assert bit_length_counts(np.array(values, dtype)).tolist() == wanted


def test_distances_of_128_bits_borrow_and_carry():
    def limbs(value: int) -> tuple[np.ndarray, np.ndarray]:
        return np.array([value >> 64], np.uint64), np.array([value & (2**64 - 1)], np.uint64)

    for left, right in [(1 << 64, 1), (1, 1 << 64), (3 << 64, (1 << 64) + 5), (7, 7), ((1 << 64) - 1, (1 << 64) - 1)]:
        for crossing in (False, True):
            high, low = extended_distance(limbs(left), limbs(right), np.array([crossing]))
            assert (int(high[0]) << 64) | int(low[0]) == (left + right if crossing else abs(left - right))
