"""JAX's arrays."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from pytest_repro.frameworks.base_values import Branch, Captured, Handler, NotComparableError, Reader
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
    # Not fresh: an array made by dlpack, `device_put` or `asarray` may share the memory of another owner, which writes
    # to it although JAX calls the array immutable.
    return Leaf("array", leaf.data, "Array", leaf.dtype, leaf.shape, traits)


def capture_sparse(array: Any) -> Branch:
    """Capture a sparse array as stored, by its arrays and its flags."""
    return Branch(type(array).__name__, list(vars(array).items()))


#: The concrete type of arrays, under its present name and the one before jaxlib 0.5.
_ARRAYS = {"jaxlib._jax.ArrayImpl", "jaxlib.xla_extension.ArrayImpl"}

HANDLERS: dict[type, Handler] = {jax.Array: capture_jax_array}


def find_by_protocol(kind: type) -> Handler | None:
    """Find arrays by their virtual base class, because the concrete one is private to JAX, and sparse ones by name."""
    if kind.__module__.startswith("jax.experimental.sparse.") and hasattr(kind, "todense"):
        return capture_sparse
    return capture_jax_array if issubclass(kind, (jax.Array, jax.core.Tracer)) else None


def _read_array(array: Any) -> np.ndarray[Any, Any]:
    return np.asarray(array)


def find_reader(name: str) -> Reader | None:
    """Find the reader of arrays by the qualified name of their type."""
    return Reader(_read_array, is_data=True) if name in _ARRAYS else None
