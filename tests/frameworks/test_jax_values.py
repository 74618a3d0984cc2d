"""Capture of JAX's arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.capturing import capture_tree
from pytest_repro.capturing.live import digest_value
from pytest_repro.errors import UnsupportedTypeError
from tests.unit.capturing.helpers import differing

jax = pytest.importorskip("jax")
import jax.numpy as jnp
from jax.experimental import sparse


@pytest.mark.parametrize("name", ["float32", "bfloat16", "int32", "bool_", "complex64", "float8_e4m3fn"])
def test_one_element_is_seen(name: str) -> None:
    one = jnp.zeros(3, getattr(jnp, name))
    other = one.at[1].set(1)
    assert differing(capture_tree(one), capture_tree(jnp.array(one))) == []
    assert differing(capture_tree(one), capture_tree(other)) == ["result"]
    leaf = capture_tree(one).leaves["result"]
    assert (leaf.type_name, leaf.dtype, leaf.shape) == ("Array", name.rstrip("_"), (3,))


def test_a_jax_array_differs_from_a_numpy_array() -> None:
    assert differing(capture_tree(jnp.zeros(2)), capture_tree(np.zeros(2, "f4"))) == ["result"]


def test_a_weak_type_counts() -> None:
    assert differing(capture_tree(jnp.asarray(1.0)), capture_tree(jnp.asarray(1.0, jnp.float32))) == ["result"]


@pytest.mark.parametrize("share", [jnp.from_dlpack, jnp.asarray, jax.device_put], ids=["dlpack", "asarray", "put"])
def test_a_later_change_by_another_owner_of_the_memory_is_not_seen(share: Any) -> None:
    memory = np.zeros(1000 + 16, np.float32)
    start = -memory.ctypes.data % 64 // 4  # JAX shares only memory that begins at a multiple of 64 bytes
    memory = memory[start : start + 1000]
    kept = capture_tree(share(memory))
    memory[:] = 1
    assert differing(kept, capture_tree(jnp.zeros(1000, jnp.float32))) == []


@pytest.mark.parametrize("name", ["BCOO", "BCSR"])
def test_sparse_arrays(name: str) -> None:
    kind = getattr(sparse, name)
    one, other = kind.fromdense(jnp.eye(2)), kind.fromdense(2 * jnp.eye(2))
    assert differing(capture_tree(one), capture_tree(kind.fromdense(jnp.eye(2)))) == []
    assert differing(capture_tree(one), capture_tree(other)) == ["result/data"]
    assert differing(capture_tree(one), capture_tree(kind.fromdense(jnp.eye(2)[::-1]))) == ["result/indices"]


def test_a_key_is_captured_by_its_bits() -> None:
    assert differing(capture_tree(jax.random.key(0)), capture_tree(jax.random.key(0))) == []
    assert differing(capture_tree(jax.random.key(0)), capture_tree(jax.random.key(1))) == ["result/data"]


def test_arrays_without_a_value_are_rejected() -> None:
    def capture(x: Any) -> Any:
        with pytest.raises(UnsupportedTypeError, match="return it from the jitted function"):
            capture_tree({"x": x})
        return x

    jax.jit(capture)(jnp.zeros(2))
    gone = jnp.zeros(2)
    gone.delete()
    with pytest.raises(UnsupportedTypeError, match="donated or deleted"):
        capture_tree(gone)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "bool_"])
def test_an_array_is_digested_by_its_elements(name: str) -> None:
    one, other = jnp.zeros(3, getattr(jnp, name)), jnp.ones(3, getattr(jnp, name))
    assert digest_value(one) == digest_value(jnp.zeros(3, getattr(jnp, name)))
    assert digest_value(one) != digest_value(other)
    assert digest_value([one]) != digest_value([other])


@given(st.lists(st.floats(width=32), min_size=1, max_size=5), st.data())
def test_arrays_are_captured_alike_exactly_if_each_bit_is_equal(values: Any, data: Any) -> None:
    other = list(values)
    other[data.draw(st.integers(0, len(values) - 1))] = data.draw(st.floats(width=32))
    one, near = (np.array(side, np.float32) for side in (values, other))
    alike = differing(capture_tree(jnp.asarray(one)), capture_tree(jnp.asarray(near))) == []
    assert alike is (one.tobytes() == near.tobytes())
