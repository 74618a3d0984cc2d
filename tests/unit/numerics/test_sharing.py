"""Arrays whose elements share memory: copies, comparisons and digests by what they hold."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.capturing import capture_tree, digest, read_artifacts, write_artifacts
from pytest_repro.comparing import compare
from pytest_repro.model import Artifacts, Leaf, Tolerance, Verdict
from pytest_repro.numerics import sharing
from pytest_repro.numerics.arrays import compare_arrays
from pytest_repro.numerics.sharing import copy_array, count_held_bytes, drop_constant_axes, memory_of

HUGE = (10**6, 10**5)


def broadcast(value: float, shape: tuple[int, ...] = HUGE) -> Any:
    return np.broadcast_to(np.array([value]), shape)


def windows(base: Any, width: int) -> Any:
    return np.lib.stride_tricks.sliding_window_view(base, width)


def test_a_broadcast_array_is_captured_compared_and_digested_by_what_it_holds() -> None:
    one, other = capture_tree({"a": broadcast(1.0)}), capture_tree({"a": broadcast(1.0)})
    assert digest(one) == digest(other)
    assert digest(one) != digest(capture_tree({"a": broadcast(2.0)}))
    assert compare({"a": broadcast(1.0)}, {"a": broadcast(1.0)}).verdict is Verdict.IDENTICAL
    found = compare({"a": broadcast(1.0)}, {"a": broadcast(2.0)})
    assert found.verdict is Verdict.DIVERGED
    assert found.differences[0].differing == found.differences[0].elements == 10**11


def test_a_broadcast_array_is_stored_by_what_it_holds(tmp_path: Path) -> None:
    artifacts = capture_tree({"a": broadcast(1.0), "b": np.arange(3)})
    write_artifacts(artifacts, tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 10_000
    found = read_artifacts(tmp_path)
    assert digest(found) == digest(artifacts)
    assert found.leaves["a"].data.shape == HUGE


@pytest.mark.parametrize(
    "shape, held",
    [((2000, 3000), (1, 3000)), ((2000, 3000), (2000, 1)), ((3, 2000, 500), (1, 2000, 1))],
)
def test_the_figures_of_broadcast_arrays_are_those_of_full_ones(shape: Any, held: Any) -> None:
    rng = np.random.default_rng(0)
    left, right = rng.random(held), rng.random(held)
    right.flat[0] = left.flat[0]
    right.flat[1] = np.nan
    one, other = np.broadcast_to(left, shape), np.broadcast_to(right, shape)
    for bound in (Tolerance(), Tolerance(rtol=0.5), Tolerance(max_ulp=10)):
        found = compare_arrays(one, other, bound=bound)
        full = compare_arrays(one.copy(), other.copy(), bound=bound)
        assert found.norm_rel == pytest.approx(full.norm_rel)
        for name in ("elements", "differing", "over", "incomparable", "max_ulp", "max_abs", "max_rel"):
            assert getattr(found, name) == getattr(full, name), name
        for name in ("ulp_histogram", "first_index", "worst_index", "nan_expected", "nan_actual"):
            assert getattr(found, name) == getattr(full, name), name


def test_a_broadcast_array_and_a_full_one_of_the_same_elements_are_identical() -> None:
    shown = broadcast(1.5, (3000, 3000))  # beyond the size from which digests look for constant axes
    full = np.full((3000, 3000), 1.5)
    assert shown.nbytes > sharing.LARGE_BYTES
    assert compare({"a": shown}, {"a": full}).verdict is Verdict.IDENTICAL
    assert digest(capture_tree({"a": shown})) == digest(capture_tree({"a": full}))
    full[-1, -1] = np.nextafter(1.5, 2)
    assert digest(capture_tree({"a": shown})) != digest(capture_tree({"a": full}))


@given(st.data())
def test_dropping_axes_depends_on_the_elements_alone(data: Any) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    held = tuple(n if data.draw(st.booleans()) else 1 for n in shape)
    part = np.random.default_rng(data.draw(st.integers(0, 3))).integers(0, 2, held).astype("f4")
    shown = np.broadcast_to(part, shape)
    full = np.array(shown, order=data.draw(st.sampled_from("CF")))
    before, sharing.LARGE_BYTES = sharing.LARGE_BYTES, 0
    try:
        one, other = drop_constant_axes(shown), drop_constant_axes(full)
        leaves = [Artifacts({"a": Leaf("array", a, "ndarray", "float32", shape)}) for a in (shown, full)]
        assert digest(leaves[0]) == digest(leaves[1])
    finally:
        sharing.LARGE_BYTES = before
    assert one.shape == other.shape
    assert np.array_equal(np.broadcast_to(one, shape), full)
    assert np.array_equal(np.broadcast_to(other, shape), full)


@given(st.integers(2, 2000), st.integers(1, 60), st.booleans(), st.sampled_from(["f4", "c16", "u1"]), st.integers(1, 3))
def test_a_copy_of_windows_has_their_elements_and_no_more_memory(
    size: int, width: int, reverses: bool, dtype: str, step: int
) -> None:
    base = np.arange(1, size + 1).astype(dtype)
    shown = windows(base, min(width, size))[::step]
    if reverses:
        shown = shown[::-1, ::-1]
    copied = copy_array(shown)
    before = shown.tolist()
    assert count_held_bytes(shown) <= max(shown.nbytes, base.nbytes)
    base[:] = 0
    assert copied.tolist() == before


def test_windows_are_copied_and_compared_by_what_they_hold() -> None:
    base = np.random.default_rng(0).random(10**6)
    shown = windows(base, 10**5)  # 720 GB as shown
    began = time.process_time()
    memory = memory_of(shown)
    assert memory is not None
    assert memory.shape == base.shape
    one, other = capture_tree({"a": shown}), capture_tree({"a": windows(base.copy(), 10**5)})
    found = compare_arrays(one.leaves["a"].data, other.leaves["a"].data)
    assert found.is_identical
    assert time.process_time() - began < 60  # bounded: what is shown would take hours


def test_windows_that_differ_are_compared_by_element() -> None:
    base = np.arange(5000.0)
    changed = base.copy()
    changed[2500] += 1
    found = compare_arrays(windows(base, 100), windows(changed, 100))
    assert found.differing == 100
    assert found.first_index == (2401, 99)
