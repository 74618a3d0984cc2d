"""Digest of all artifacts of a run, and the bytes of arrays."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pytest_repro.capturing import capture_tree, digest
from pytest_repro.capturing.digesting import BLOCK_BYTES, iterate_blocks
from pytest_repro.model import Artifacts, Leaf

BASE = np.arange(24, dtype=np.float64).reshape(4, 6)


def of(value: Any) -> str:
    return digest(capture_tree(value))


def joined(array: np.ndarray[Any, Any], **options: Any) -> bytes:
    return b"".join(bytes(block) for block in iterate_blocks(array, **options))


@pytest.mark.parametrize(
    "view",
    [
        np.asfortranarray(BASE),
        BASE[::-1][::-1],
        np.repeat(BASE, 2, axis=1)[:, ::2],
        np.ascontiguousarray(BASE.T).T,
        BASE[::-1, ::-1].copy()[::-1, ::-1],
    ],
)
def test_memory_layout_makes_no_difference(view: np.ndarray[Any, Any]) -> None:
    assert of(view) == of(BASE)


@pytest.mark.parametrize("view", [BASE[::-1], BASE[:, ::-1], BASE.T, BASE.reshape(6, 4), BASE[:-1]])
def test_another_logical_content_changes_the_digest(view: np.ndarray[Any, Any]) -> None:
    assert of(view) != of(BASE)


@pytest.mark.parametrize("bits", [0x7FF8000000000000, 0x7FF8000000000001, 0x7FF0000000000001, 0x8000000000000000])
@pytest.mark.parametrize("step", [1, 2])
def test_the_payload_of_a_nan_and_the_sign_of_zero_count(bits: int, step: int) -> None:
    plain, other = np.zeros(4, np.uint64), np.zeros(4, np.uint64)
    plain[2] = 0x7FF8000000000002
    other[2] = bits
    assert of(plain.view(np.float64)[::step]) != of(other.view(np.float64)[::step])
    assert of(float(plain.view(np.float64)[2])) != of(float(other.view(np.float64)[2]))


def test_a_known_digest_never_changes() -> None:
    value = {"w": np.arange(3, dtype=np.float32), "n": [1, -2.5, True, None, "\u00e9", b"x", 1 - 2j]}
    assert of(value) == "sha256:04d17960092fef5095f97cbc4077e52013a7eec9e0a1241b83c42aae3c340ed9"


def test_it_does_not_depend_on_the_hash_seed() -> None:
    value = "{'a': {'x', 'y', ('z', 1)}, 'b': {3: 1, 'c': 2}}"
    program = f"from pytest_repro.capturing import *; print(digest(capture_tree({value})))"
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(found) == 1
    assert found.pop().startswith("sha256:")


@pytest.mark.parametrize(
    "change",
    [
        {"form": "node", "data": None},
        {"type_name": "b"},
        {"dtype": "b"},
        {"shape": (2, 1)},
        {"shape": (12,)},
        {"traits": (("b", "c"),)},
        {"traits": (("bc", ""),)},
    ],
)
def test_every_field_of_a_leaf_counts(change: dict[str, Any]) -> None:
    common: dict[str, Any] = {
        "form": "array",
        "data": np.zeros(2),
        "type_name": "a",
        "dtype": "a",
        "shape": (1, 2),
        "traits": (),
    }
    one, other = Artifacts({"x": Leaf(**common)}), Artifacts({"x": Leaf(**{**common, **change})})
    assert digest(one) != digest(other)


def test_bytes_of_adjacent_parts_are_kept_apart() -> None:
    def leaf(path: str, text: str) -> Artifacts:
        return Artifacts({path: Leaf("value", text, "str", "str")})

    assert digest(leaf("a", "bc")) != digest(leaf("ab", "c"))
    assert digest(Artifacts({})) != digest(leaf("", ""))


def test_padding_of_a_long_double_does_not_count() -> None:
    one, other = np.ones(5, np.longdouble), np.ones(5, np.longdouble)
    if np.finfo(np.longdouble).nmant != 63:
        pytest.skip("long doubles have no padding here")
    other.view(np.uint8).reshape(5, 16)[:, 12] = 7
    assert of(one) == of(other) == of(np.repeat(other, 2)[::2])
    other.view(np.uint8).reshape(5, 16)[1, 0] = 1
    assert of(one) != of(other)
    assert of(one.astype(np.clongdouble)) != of(other.astype(np.clongdouble))


def test_the_hosts_byte_order_makes_no_difference() -> None:
    one, other = (
        Artifacts({"x": Leaf("array", np.arange(5, dtype=dtype), "ndarray", "int32", (5,))}) for dtype in ("<i4", ">i4")
    )
    assert digest(one) == digest(other)


def test_byte_order_is_named_and_its_bytes_are_those_of_the_host() -> None:
    big = np.arange(5, dtype=">i4")
    assert joined(big, little_endian=True) == np.arange(5, dtype="<i4").tobytes()
    assert joined(big) == big.tobytes()
    assert of(big) != of(big.astype("<i4"))


@given(
    hnp.arrays(st.sampled_from(["f4", ">f8", "i2", "U3", "S2", "c8", "?", "M8[s]"]), hnp.array_shapes(min_side=0)),
    st.data(),
)
def test_blocks_are_the_bytes_in_logical_order(array: Any, data: Any) -> None:
    axes = data.draw(st.permutations(range(array.ndim)))
    view = array.transpose(axes)[tuple(slice(None, None, data.draw(st.sampled_from([1, 2, -1]))) for _ in axes)]
    assert joined(view) == view.tobytes()
    assert joined(view, little_endian=True) == view.astype(view.dtype.newbyteorder("<")).tobytes()


def test_a_large_strided_array_is_read_in_blocks() -> None:
    array = np.zeros(40 * BLOCK_BYTES // 8).reshape(-1, 2)[:, 1]
    tracemalloc.start()
    sizes = [len(block) for block in iterate_blocks(array)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(sizes) == array.nbytes
    assert max(sizes) <= BLOCK_BYTES
    assert peak < 4 * BLOCK_BYTES
