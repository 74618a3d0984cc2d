"""JAX's arrays."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from pytest_repro.frameworks.base_values import Branch, Captured, FreshLeaf, Handler, NotComparableError
from pytest_repro.frameworks.numpy_values import capture_array
from pytest_repro.model import Leaf


def capture_jax_array(array: Any) -> Captured:
    """Capture an array by its elements, or a key by its bits."""
    if isinstance(array, jax.core.Tracer):
        raise NotComparableError("inside a transformation it has no value yet; return it from the jitted function")
    if getattr(array, "is_deleted", bool)():
        raise NotComparableError("its buffer was donated or deleted; return the result that replaced it")
    if not array.is_fully_addressable:
        raise NotComparableError("parts of it are on other hosts; gather it first")
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        return Branch("Key", [("data", jax.random.key_data(array))], (("dtype", str(array.dtype)),))
    traits = (("device", ", ".join(sorted(map(str, array.devices())))), ("weak_type", str(array.weak_type)))
    leaf = capture_array(np.asarray(array))
    if not isinstance(leaf, Leaf):
        raise NotComparableError(f"its dtype {array.dtype} has no simple layout")
    # Fresh although memory may be shared: a JAX array is immutable, and its buffer lives as long as the view.
    return FreshLeaf("array", leaf.data, "Array", leaf.dtype, leaf.shape, traits)


HANDLERS: dict[type, Handler] = {jax.Array: capture_jax_array}


def find_by_protocol(kind: type) -> Handler | None:
    """Find arrays by their virtual base class, because the concrete one is private to JAX."""
    return capture_jax_array if issubclass(kind, (jax.Array, jax.core.Tracer)) else None
