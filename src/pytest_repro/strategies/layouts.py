"""Strategy for one array in different memory layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_repro.errors import UsageError

#: Memory layouts, all of which keep the values of an array.
LAYOUTS = ("C", "F", "reversed", "every_second", "offset", "inner_axis", "read_only", "byte_swapped")


def layouts(array: NDArray[Any], *, byte_swapped: bool = True) -> Any:
    """Generate the same array in other memory layouts.

    Parameters
    ----------
    array : ndarray, shape (*s)
    byte_swapped : bool
        Include the other byte order, whose dtype differs (``>f4``).

    Returns
    -------
    strategy of ndarray, shape (*s)
        C and Fortran order, negative strides, gaps, an address that is not aligned to the element, a column of a
        larger array, read-only, and byte-swapped. Each element keeps its bits.

    Raises
    ------
    UsageError
        If `array` is not an ndarray.
    """
    if not isinstance(array, np.ndarray):
        raise UsageError(f"layouts() needs an ndarray, got {type(array).__name__}")
    names = [name for name in LAYOUTS if byte_swapped or name != "byte_swapped"]
    return st.sampled_from(names).map(lambda name: lay_out(array, name))


def lay_out(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return a copy of an array in one of :data:`LAYOUTS`."""
    if name == "F":
        return np.array(array, order="F", copy=True)
    if name == "byte_swapped":
        # Not astype(): converting a float may change a signalling NaN into a quiet one.
        swapped = array.copy().byteswap()
        return swapped.view(array.dtype.newbyteorder())
    if name == "offset":
        return _at_odd_address(array)
    if name == "inner_axis":
        larger = np.zeros((*array.shape, 3), array.dtype)
        larger[..., 1] = array
        return larger[..., 1]
    if name == "reversed" and array.ndim:
        turned = tuple(slice(None, None, -1) for _ in range(array.ndim))
        return array[turned].copy()[turned]
    if name == "every_second" and array.ndim:
        spread = np.zeros(tuple(2 * n for n in array.shape), array.dtype)
        view = spread[tuple(slice(None, None, 2) for _ in range(array.ndim))]
        view[...] = array
        return view
    copy = np.array(array, order="C", copy=True)
    if name == "read_only":
        copy.flags.writeable = False
    return copy


def _at_odd_address(array: NDArray[Any]) -> NDArray[Any]:
    memory = np.zeros(array.nbytes + 1, np.uint8)
    view: NDArray[Any] = np.ndarray(array.shape, array.dtype, memory, offset=1)
    view[...] = array
    return view
