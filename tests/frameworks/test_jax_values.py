"""Capture of JAX's arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree
from pytest_repro.errors import UnsupportedTypeError
from tests.unit.capturing.helpers import differing

jax = pytest.importorskip("jax")
import jax.numpy as jnp


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
