"""Strategies for arrays and tensors of edge values, and for pairs of arrays that are close to each other.

Edge values are subnormals, both zeros, infinities, NaNs of every payload, and the largest and smallest numbers.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from numpy.typing import NDArray

from pytest_repro.axes.integers import check_integer
from pytest_repro.errors import MissingExtraError, UsageError
from pytest_repro.strategies.layouts import layouts

_DTYPES = ("float16", "float32", "float64")
#: Number of bits of the fraction.
_FRACTION = {"bfloat16": 7, "float16": 10, "float32": 23, "float64": 52}


def edge_floats(dtype: Any = "float64", *, allow_nan: bool = True, allow_infinity: bool = True) -> Any:
    """Generate floats, edges first.

    Their bits are drawn as integers, so that every NaN payload is possible.

    Parameters
    ----------
    dtype : float16, float32 or float64
    allow_nan, allow_infinity : bool

    Returns
    -------
    strategy of NumPy scalars of `dtype`
        Shrinks towards +0.

    Raises
    ------
    UsageError
        If `dtype` is another one.
    """
    kind = _check_dtype(dtype)
    codes = _codes(kind, allow_nan, allow_infinity)
    return codes.map(lambda code: np.array([code], _unsigned(kind)).view(kind)[0])


def arrays(
    dtype: Any = "float64",
    shape: Any = None,
    *,
    allow_nan: bool = True,
    allow_infinity: bool = True,
    any_layout: bool = True,
    max_side: int = 6,
) -> Any:
    """Generate arrays of edge values in any memory layout.

    Parameters
    ----------
    dtype : float16, float32 or float64
    shape : int, tuple of int, or strategy, optional
        By default 0 to 3 axes of 0 to `max_side`.
    allow_nan, allow_infinity : bool
    any_layout : bool
        Include strided, reversed, unaligned, read-only and byte-swapped arrays. False: C-contiguous ones only.
    max_side : int

    Returns
    -------
    strategy of ndarray

    Raises
    ------
    UsageError
        If `dtype` is another one.
    """
    kind = _check_dtype(dtype)
    coded = _coded_arrays(kind, shape, allow_nan, allow_infinity, max_side)
    plain = coded.map(lambda codes: codes.view(kind))
    return plain.flatmap(layouts) if any_layout else plain


def tensors(
    dtype: Any = "float32",
    shape: Any = None,
    *,
    allow_nan: bool = True,
    allow_infinity: bool = True,
    any_layout: bool = True,
    max_side: int = 6,
) -> Any:
    """Generate torch tensors of edge values, also transposed, with gaps and at an offset into their storage.

    Parameters as for :func:`arrays`. `dtype` may be bfloat16 too, and a torch dtype.

    Raises
    ------
    UsageError
        If `dtype` is another one.
    MissingExtraError
        If torch is not installed.
    """
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError as error:
        raise MissingExtraError("strategies.tensors needs torch: pip install 'pytest-repro[torch]'") from error
    name = str(dtype).removeprefix("torch.")
    kind = name if name == "bfloat16" else _check_dtype(name if isinstance(dtype, torch.dtype) else dtype)
    coded = _coded_arrays(kind, shape, allow_nan, allow_infinity, max_side)
    # As signed codes: not every torch can view tensors of unsigned dtypes above 8 bits.
    plain = coded.map(
        lambda codes: torch.from_numpy(codes.view(f"i{codes.itemsize}").copy()).view(getattr(torch, kind))
    )
    return plain.flatmap(_tensor_layouts) if any_layout else plain


def _tensor_layouts(tensor: Any) -> Any:
    variants = [tensor, tensor.movedim(0, -1).contiguous().movedim(-1, 0) if tensor.ndim > 1 else tensor]
    if tensor.ndim:
        variants.append(tensor.repeat_interleave(2, dim=-1)[..., ::2])
        variants.append(tensor.repeat(2, *[1] * (tensor.ndim - 1))[tensor.shape[0] :])
    return st.sampled_from(variants)


def _coded_arrays(kind: str, shape: Any, allow_nan: bool, allow_infinity: bool, max_side: int) -> Any:
    """Generate arrays of the codes of edge values."""
    if shape is None:
        shape = numpy_strategies.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=max_side)
    coded = numpy_strategies.arrays(_unsigned(kind), shape, elements=_codes(kind, allow_nan, allow_infinity))
    return coded.map(np.asarray)


def _check_dtype(dtype: Any) -> str:
    try:
        name = str(np.dtype(dtype).name)
    except TypeError:
        name = str(dtype)
    if name not in _DTYPES:
        raise UsageError(f"dtype must be one of {', '.join(_DTYPES)}, got {name}")
    return name


def _unsigned(kind: str) -> np.dtype[Any]:
    return np.dtype("u2" if kind == "bfloat16" else f"u{np.dtype(kind).itemsize}")


def _codes(kind: str, allow_nan: bool, allow_infinity: bool) -> Any:
    """Generate the bits of floats as integers: the edges of each class of values, and any others."""
    width, fraction = 8 * _unsigned(kind).itemsize, _FRACTION[kind]
    one, sign = 1 << fraction, 1 << (width - 1)
    infinity = sign - one
    exponent_of_one = (infinity >> fraction) // 2 << fraction
    # +0, the smallest and largest subnormal, the smallest normal, 1 and its neighbours, the largest finite number
    edges = [0, 1, one - 1, one, exponent_of_one, exponent_of_one - 1, exponent_of_one + 1, infinity - 1]
    if allow_infinity:
        edges.append(infinity)
    if allow_nan:
        # The default quiet NaN, a signalling one, one with a payload, one with all bits set.
        edges += [infinity + (one >> 1), infinity + 1, infinity + (one >> 1) + 42, sign - 1]

    def is_allowed(code: int) -> bool:
        magnitude = code & (sign - 1)
        return (allow_infinity or magnitude != infinity) and (allow_nan or magnitude <= infinity)

    known = st.sampled_from([*edges, *(code | sign for code in edges)])
    return st.one_of(known, st.integers(0, (1 << width) - 1).filter(is_allowed))


def arrays_within_ulps(max_ulp: int, dtype: Any = "float64", shape: Any = None, *, max_side: int = 6) -> Any:
    """Generate pairs of finite arrays, no element of which is more than `max_ulp` representable steps apart.

    Parameters
    ----------
    max_ulp : int, at least 0
    dtype : float16, float32 or float64
    shape : as for :func:`arrays`
    max_side : int

    Returns
    -------
    strategy of (ndarray, ndarray), of one shape and dtype, C-contiguous
        Steps are counted through zero, where +0 and -0 are 0 apart, and stop at the largest finite number.

    Raises
    ------
    UsageError
        If `max_ulp` is not an integer or is negative, or `dtype` is another one.
    """
    check_integer("max_ulp", max_ulp)
    finite = arrays(dtype, shape, allow_nan=False, allow_infinity=False, any_layout=False, max_side=max_side)

    def pair(first: NDArray[Any]) -> Any:
        steps = numpy_strategies.arrays(np.int64, first.shape, elements=st.integers(-max_ulp, max_ulp))
        return steps.map(lambda moved: (first, move_by_ulps(first, moved)))

    return finite.flatmap(pair)


def move_by_ulps(values: NDArray[Any], steps: NDArray[np.int64]) -> NDArray[Any]:
    """Move finite values by numbers of representable steps, through zero and up to the largest finite number."""
    width = values.dtype.itemsize
    codes = values.view(f"i{width}").reshape(-1).tolist()
    lowest = 1 << (8 * width - 1)
    largest = int(np.finfo(values.dtype).max.view(f"i{width}"))
    moved = []
    for code, step in zip(codes, np.asarray(steps).reshape(-1).tolist(), strict=True):
        # Codes of negative numbers run backwards.
        ordered = code if code >= 0 else -(code + lowest)
        target = max(-largest, min(largest, ordered + step))
        if step == 0:
            moved.append(code)  # -0 stays -0
        else:
            moved.append(target if target >= 0 else -lowest - target)
    return np.array(moved, f"i{width}").view(values.dtype).reshape(values.shape)
