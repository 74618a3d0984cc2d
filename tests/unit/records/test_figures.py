"""Figures and sampled bit patterns of arrays."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_repro.model import Leaf
from pytest_repro.records.figures import describe_array, sample_bits, sample_places


def leaf(data, dtype=None):
    array = np.asarray(data)
    return Leaf("array", array, "ndarray", dtype or str(array.dtype), array.shape)


def decoded(figures):
    return {name: float.fromhex(v) if isinstance(v, str) else v for name, v in figures.items()}


def test_figures_are_of_the_finite_elements_and_the_others_are_counted():
    found = decoded(describe_array(leaf([1.0, 3.0, np.nan, np.inf, -np.inf])))
    assert found == {"count": 5, "nan": 1, "inf": 2, "min": 1.0, "max": 3.0, "mean": 2.0, "std": 1.0}


def test_a_small_spread_around_a_large_mean_does_not_cancel():
    data = 1e9 + np.tile([0.0, 1.0], 100_000)
    found = decoded(describe_array(leaf(data)))
    assert found["std"] == pytest.approx(0.5, rel=1e-6)
    assert found["mean"] == pytest.approx(1e9 + 0.5, rel=1e-12)


def test_the_figures_of_a_carrier_are_of_the_numbers_that_it_carries():
    one_and_two = np.array([0x3F80, 0x4000], np.uint16)
    assert decoded(describe_array(leaf(one_and_two, "bfloat16")))["max"] == 2.0
    assert decoded(describe_array(leaf(one_and_two)))["max"] == 0x4000


@pytest.mark.parametrize("data", [np.array(["a"]), np.array([1j]), np.array([0], "M8[ns]"), np.zeros((0, 3))], ids=str)
def test_an_array_without_order_or_elements_has_only_a_count(data):
    assert describe_array(leaf(data)) == {"count": data.size}


def test_strides_and_byte_order_do_not_matter():
    data = np.arange(200_000, dtype=np.float32).reshape(400, 500)
    assert describe_array(leaf(data.T)) | {"std": 0, "mean": 0} == describe_array(leaf(data)) | {"std": 0, "mean": 0}
    assert sample_bits(leaf(data.astype(">f4"))) == sample_bits(leaf(data))
    assert sample_bits(leaf(np.asfortranarray(data))) == sample_bits(leaf(data))


def test_samples_are_at_most_64_from_the_first_to_the_last():
    assert sample_places(5) == [0, 1, 2, 3, 4]
    places = sample_places(10**6)
    assert len(places) == len(set(places)) == 64
    assert (places[0], places[-1]) == (0, 10**6 - 1)


def test_bit_patterns_have_the_most_significant_byte_first():
    assert sample_bits(leaf(np.array([1.0, -0.0], np.float32))) == ["3f800000", "80000000"]
    assert sample_bits(leaf(np.array([1 + 2j], np.complex64))) == ["3f80000040000000"]
    assert sample_bits(leaf(np.array([b"ab"]))) == ["6162"]
    assert sample_bits(leaf(np.array(1, np.int16))) == ["0001"]


def test_the_padding_of_a_long_double_is_not_sampled():
    data = np.empty(4, np.longdouble)
    for fill in (0, 255):
        data.view(np.uint8)[:] = fill
        data[:] = 1
        first = sample_bits(leaf(data)) if fill == 0 else first  # noqa: F821
    assert sample_bits(leaf(data)) == first
