"""Views of any strides give the figures of their contiguous copies."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_repro.model import Tolerance
from pytest_repro.numerics import compare_arrays

DTYPES = [
    *("float16", "float32", "float64", "complex64", "longdouble", "int32", "uint8", "bool"),
    *("S3", "U2", "datetime64[s]", ">f4", ">i8", ">c16", ">U2"),
]


def make(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    values = rng.integers(-3, 4, size=shape)
    return values.astype("i8").view(dtype).reshape(shape) if dtype.startswith("datetime") else values.astype(dtype)


def slices(length: int) -> st.SearchStrategy[slice]:
    return st.builds(
        slice,
        st.none() | st.integers(-length, length),
        st.none() | st.integers(-length, length),
        st.sampled_from([-3, -2, -1, 1, 2, 3]),
    )


@settings(max_examples=250, deadline=None)
@given(st.data(), st.sampled_from(DTYPES), st.integers(0, 2**32 - 1))
def test_a_view_gives_the_figures_of_its_copy(data, dtype, seed):
    rng = np.random.default_rng(seed)
    shape = tuple(data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=4)))
    order = data.draw(st.sampled_from("CF"))
    views = []
    index = tuple(data.draw(slices(n)) for n in shape)
    axes = data.draw(st.permutations(range(len(shape))))
    for _ in range(2):
        views.append(np.array(make(rng, shape, dtype), order=order)[index].transpose(axes))
    copies = [np.array(view, order="C") for view in views]
    bound = Tolerance(rtol=0.4, norm=0.5)
    assert compare_arrays(*views, bound=bound) == compare_arrays(*copies, bound=bound)
    assert compare_arrays(views[0], copies[1], bound=bound) == compare_arrays(*copies, bound=bound)


@pytest.mark.parametrize("dtype", ["float32", "int64", "complex128", ">f8"])
def test_a_broadcast_view_can_be_compared(dtype):
    row, other = np.arange(4).astype(dtype), np.array([0, 1, 9, 3]).astype(dtype)
    left, right = (np.broadcast_to(side, (1_000, 4)) for side in (row, other))
    found = compare_arrays(left, right)
    assert (found.elements, found.differing, found.first_index) == (4_000, 1_000, (0, 2))
    assert compare_arrays(left, left.copy()).is_identical


def test_large_views_of_several_blocks_give_the_figures_of_their_copies():
    rng = np.random.default_rng(3)
    base = rng.standard_normal((700, 900)).astype(np.float32)
    other = base.copy()
    other.view(np.int32)[::7, ::5] += rng.integers(1, 9, size=other[::7, ::5].shape, dtype=np.int32)
    for view in (np.s_[::-1, ::2], np.s_[1::3, ::-1], np.s_[:, 5:800]):
        for turn in (lambda array: array, np.transpose):
            left, right = turn(other[view]), turn(base[view])
            found = compare_arrays(left, right, bound=Tolerance(max_ulp=4))
            wanted = compare_arrays(left.copy(order="C"), right.copy(order="C"), bound=Tolerance(max_ulp=4))
            # The blocks of a copy have other borders, so float32 sums of squares are rounded differently.
            assert found.norm_rel == pytest.approx(wanted.norm_rel, rel=1e-6)
            assert dataclasses.replace(found, norm_rel=None) == dataclasses.replace(wanted, norm_rel=None)
            assert found.differing > 1000


def test_a_memory_map_is_compared_like_an_array(tmp_path):
    values = np.arange(100_000, dtype=np.float64)
    path = tmp_path / "values.bin"
    values.tofile(path)
    mapped = np.memmap(path, dtype=np.float64, mode="r")
    assert compare_arrays(mapped, values).is_identical
    values[99_999] = -1
    assert compare_arrays(mapped, values).first_index == (99_999,)
