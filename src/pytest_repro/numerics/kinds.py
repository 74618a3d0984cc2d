"""Comparison and distances of elements, one class for each family of dtypes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.errors import UnsupportedTypeError, UsageError
from pytest_repro.model import Tolerance
from pytest_repro.numerics.formats import FloatFormat, carrier_of, code_table, format_of
from pytest_repro.numerics.norms import FLOAT32_TRUSTED, dot
from pytest_repro.numerics.ulps import Scratch, code_distance, extended_distance, integer_distance

Array = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(slots=True)
class Distances:
    """Distances of n differing elements.

    Attributes
    ----------
    comparable : ndarray of bool, shape (n,)
        True where a distance exists: neither side is NaN, NaT or infinite.
    ulp, ulp_high : ndarray of unsigned int, shape (n,)
        Distance [steps]. `ulp_high` holds the bits beyond 64, for formats that need them.
    absolute, magnitude : ndarray of float, shape (n,)
        ``|actual - expected|`` and ``|expected|``.
    nan_actual, nan_expected, inf_actual, inf_expected : int
        Number of NaN (NaT) and infinities on each side.
    """

    comparable: Mask
    ulp: Array
    absolute: Array
    magnitude: Array
    ulp_high: Array | None = None
    nan_actual: int = 0
    nan_expected: int = 0
    inf_actual: int = 0
    inf_expected: int = 0

    def take(self, keep: Mask) -> Distances:
        """Return the distances of the elements selected by a mask."""
        high = None if self.ulp_high is None else self.ulp_high[keep]
        return Distances(self.comparable[keep], self.ulp[keep], self.absolute[keep], self.magnitude[keep], high)

    def count_categories(self, actual: Array, expected: Array) -> None:
        """Count NaN and infinities on each side."""
        self.nan_actual, self.nan_expected = int(np.isnan(actual).sum()), int(np.isnan(expected).sum())
        self.inf_actual, self.inf_expected = int(np.isinf(actual).sum()), int(np.isinf(expected).sum())


class Kind:
    """One family of dtypes. Blocks are one-dimensional, contiguous, native.

    Attributes
    ----------
    storage : dtype
        Dtype by which the elements are read: integers of their bits where possible.
    rounds : bool
        Whether a distance may be due to rounding, so that `max_ulp` can admit it.
    scales : bool
        Whether `rtol`, `atol` and `norm` can admit a distance.
    """

    rounds = False
    scales = False

    def __init__(self, storage: np.dtype[Any]) -> None:
        self.storage = storage

    def differs(self, actual: Array, expected: Array) -> Mask:
        """Return which elements differ in any bit of their value."""
        unequal: Mask = actual != expected
        return unequal

    def measure(self, actual: Array, expected: Array) -> Distances | None:
        """Measure elements that differ, or return None if the dtype has no distances."""
        return None

    def values(self, block: Array) -> Array | None:
        """Return the elements as floats for a norm, or None if the dtype has no norm."""
        return None

    def sum_squares_fast(self, block: Array) -> float | None:
        """Return the sum of squares up to a relative 1e-5, or None if it must be computed from `values`."""
        return None

    def admits(self, distances: Distances, bound: Tolerance) -> Mask:
        """Return which elements are within at least one of the bounds given (0 means not given)."""
        admitted = np.zeros(distances.comparable.shape, dtype=np.bool_)
        if bound.max_ulp and self.rounds:
            steps = distances.ulp
            admitted = steps <= steps.dtype.type(min(bound.max_ulp, int(np.iinfo(steps.dtype).max)))
            if distances.ulp_high is not None:
                admitted &= distances.ulp_high == 0
        if (bound.rtol or bound.atol) and self.scales:
            # A difference that overflows is not admitted: infinity <= infinity would admit anything.
            allowed = bound.atol + bound.rtol * distances.magnitude
            admitted |= (distances.absolute <= allowed) & np.isfinite(distances.absolute)
        return admitted & distances.comparable


class Opaque(Kind):
    """Text, bytes and raw memory, compared by their bytes without distances."""

    def differs(self, actual: Array, expected: Array) -> Mask:
        width = self.storage.itemsize
        if not width:
            return np.zeros(actual.shape, dtype=np.bool_)
        unequal: Mask = (actual.view(np.uint8) != expected.view(np.uint8)).reshape(-1, width).any(axis=1)
        return unequal


class Integer(Kind):
    """Integers, bool and quantized integers."""

    def __init__(self, storage: np.dtype[Any], *, rounds: bool = False, scales: bool = True) -> None:
        super().__init__(storage)
        self.rounds: bool = rounds
        self.scales: bool = scales

    def measure(self, actual: Array, expected: Array) -> Distances:
        steps = integer_distance(actual, expected)
        everywhere = np.ones(actual.shape, dtype=np.bool_)
        return Distances(everywhere, steps, steps.astype(np.float64), np.abs(expected.astype(np.float64)))

    def values(self, block: Array) -> Array | None:
        return block.astype(np.float64) if self.scales else None

    def admits(self, distances: Distances, bound: Tolerance) -> Mask:
        admitted = super().admits(distances, bound)
        # From 2**53 on a distance is rounded to float64, perhaps down to the bound, so the integers decide.
        blurred = admitted & (distances.absolute >= 2.0**53)
        if blurred.any() and not (bound.max_ulp and self.rounds):
            allowed = np.minimum(bound.atol + bound.rtol * distances.magnitude[blurred], np.nextafter(2.0**64, 0))
            admitted[blurred] = distances.ulp[blurred] <= allowed.astype(np.uint64)
        return admitted


class Boolean(Integer):
    """bool, whose bytes may hold more than 0 and 1, with a distance of at most one step."""

    def __init__(self) -> None:
        super().__init__(np.dtype(np.uint8), scales=False)

    def measure(self, actual: Array, expected: Array) -> Distances:
        return super().measure((actual != 0).view(np.uint8), (expected != 0).view(np.uint8))


class Moment(Integer):
    """datetime64 and timedelta64 in their unit, with NaT treated like NaN."""

    def __init__(self) -> None:
        super().__init__(np.dtype(np.int64), scales=False)

    def measure(self, actual: Array, expected: Array) -> Distances:
        distances = super().measure(actual, expected)
        nat = np.iinfo(np.int64).min
        left, right = actual == nat, expected == nat
        distances.comparable = ~(left | right)
        distances.nan_actual, distances.nan_expected = int(left.sum()), int(right.sum())
        return distances


class Float(Kind):
    """Binary floating point of at most 64 bits, read as codes."""

    rounds = True
    scales = True

    def __init__(self, fmt: FloatFormat) -> None:
        super().__init__(carrier_of(fmt.width))
        self.fmt = fmt
        self._scratch = Scratch()

    def values(self, block: Array) -> Array:
        return self._decode(block, "values")

    def sum_squares_fast(self, block: Array) -> float | None:
        if self.fmt.name == "float16":
            floats = self.widen(block, self._scratch.take("half", np.dtype(np.float32), block.size))
            return _trusted(dot(floats))
        if self.fmt.name != "bfloat16" or block.size % 2 or block.ctypes.data % 4:
            return None
        # Two elements per word: each half is a float32 once the other half is cleared.
        words = block.view(np.uint32)
        half = self._scratch.take("half", words.dtype, words.size)
        total = dot(np.bitwise_and(words, np.uint32(0xFFFF0000), out=half).view(np.float32))
        total += dot(np.left_shift(words, np.uint32(16), out=half).view(np.float32))
        return _trusted(total)

    def widen(self, block: Array, floats: Array) -> Array:
        """Write the numbers of a 16-bit format to float32, which represents each exactly."""
        if self.fmt.name == "bfloat16":  # the upper half of a float32
            words = floats.view(np.uint32)
            np.copyto(words, block)
            np.left_shift(words, np.uint32(16), out=words)
        else:  # NumPy's own conversion takes twice as long as a table that fits the cache
            np.take(_float16_values(), block, out=floats, mode="clip")  # mode="raise" would buffer the output
        return floats

    def _decode(self, block: Array, purpose: str) -> Array:
        values = self._scratch.take(purpose, np.dtype(np.float64), block.size)
        if self.fmt.width <= 8:
            return np.take(code_table(self.fmt.name).values, block, out=values, mode="clip")
        if self.fmt.name == "bfloat16":
            block = self.widen(block, self._scratch.take("wide", np.dtype(np.float32), block.size))
        np.copyto(values, block if block.dtype == np.float32 else block.view(self.fmt.name))
        return values

    def measure(self, actual: Array, expected: Array) -> Distances:
        left, right = self._decode(actual, "actual"), self._decode(expected, "expected")
        comparable: Mask = np.isfinite(left) & np.isfinite(right)
        distances = Distances(comparable, code_distance(self.fmt, actual, expected, self._scratch), left, right)
        if not comparable.all():
            distances.count_categories(left, right)
        np.subtract(left, right, out=left)
        np.absolute(left, out=left)
        np.absolute(right, out=right)
        return distances


@functools.cache
def _float16_values() -> Array:
    """Return the float32 value of each float16 code."""
    values: Array = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    return values


def _trusted(total: float) -> float | None:
    """Return a sum of float32 squares, or None if underflow or overflow may have made it inexact."""
    return total if FLOAT32_TRUSTED[0] < total < FLOAT32_TRUSTED[1] else None


class LongDouble(Kind):
    """The platform's long double where it is wider than float64: x87's 80 bits in 16 bytes, or IEEE's 128."""

    rounds = True
    scales = True

    def __init__(self) -> None:
        super().__init__(np.dtype(np.longdouble))
        self._digits = int(np.finfo(np.longdouble).nmant)
        if self._digits not in (63, 112):
            raise UnsupportedTypeError(f"long double with {self._digits} bits of fraction cannot be compared")

    def _limbs(self, block: Array) -> tuple[Array, Array, Array]:
        """Return (sign, high, low), with the magnitude's code as a 128-bit integer without padding."""
        words = block.view(np.uint64).reshape(-1, 2)
        low, high = (words[:, 0], words[:, 1]) if np.little_endian else (words[:, 1], words[:, 0])
        if self._digits == 112:
            return high >> np.uint64(63), high & np.uint64((1 << 63) - 1), low
        # x87: 16 bits of sign and exponent, 6 bytes of padding, 64 bits of significand whose top bit is explicit.
        field = high & np.uint64(0x7FFF)
        return (high >> np.uint64(15)) & np.uint64(1), field, low

    def differs(self, actual: Array, expected: Array) -> Mask:
        sides = zip(self._limbs(actual), self._limbs(expected), strict=True)
        unequal: Mask = np.logical_or.reduce([left != right for left, right in sides])
        return unequal

    def _code(self, high: Array, low: Array) -> tuple[Array, Array]:
        """Join exponent and fraction into one ordered code, without x87's explicit integer bit."""
        if self._digits == 112:
            return high, low
        one, fraction = np.uint64(1), low & np.uint64((1 << 63) - 1)
        return high >> one, ((high & one) << np.uint64(63)) | fraction

    def measure(self, actual: Array, expected: Array) -> Distances:
        (sign_a, *code_a), (sign_e, *code_e) = self._limbs(actual), self._limbs(expected)
        high, low = extended_distance(self._code(*code_a), self._code(*code_e), sign_a != sign_e)
        comparable: Mask = np.isfinite(actual) & np.isfinite(expected)
        distances = Distances(comparable, low, np.abs(actual - expected), np.abs(expected), high)
        distances.count_categories(actual, expected)
        return distances

    def values(self, block: Array) -> Array:
        return block


class Complex(Kind):
    """Complex numbers, with steps and categories for each part and distances by the modulus."""

    rounds = True
    scales = True

    def __init__(self, storage: np.dtype[Any], part: Kind) -> None:
        super().__init__(storage)
        self.part = part

    def _parts(self, block: Array) -> Array:
        return block.view(self.part.storage)

    def differs(self, actual: Array, expected: Array) -> Mask:
        parts = self.part.differs(self._parts(actual), self._parts(expected)).reshape(-1, 2)
        return parts[:, 0] | parts[:, 1]

    def values(self, block: Array) -> Array:
        parts = self.part.values(self._parts(block))
        assert parts is not None
        modulus: Array = np.hypot(*parts.reshape(-1, 2).T)
        return modulus

    def measure(self, actual: Array, expected: Array) -> Distances:
        left, right = self._parts(actual), self._parts(expected)
        parts = self.part.measure(left, right)
        assert parts is not None
        # A part that is the same NaN or infinity on both sides has distance 0, so the other part can be measured.
        alike: Mask = ~self.part.differs(left, right) & ~parts.comparable
        for figure in (parts.absolute, parts.magnitude):
            figure[alike] = 0
        parts.ulp[alike] = 0
        if parts.ulp_high is not None:
            parts.ulp_high[alike] = 0
        ulp, high = _worst_part(parts)
        both = (parts.comparable | alike).reshape(-1, 2)
        return Distances(
            both[:, 0] & both[:, 1],
            ulp,
            np.hypot(*parts.absolute.reshape(-1, 2).T),
            np.hypot(*parts.magnitude.reshape(-1, 2).T),
            high,
            *(self._count(test, side) for test in (np.isnan, np.isinf) for side in (left, right)),
        )

    def _count(self, test: Callable[[Array], Any], parts: Array) -> int:
        values = self.part.values(parts)
        assert values is not None
        return int(test(values).reshape(-1, 2).any(axis=1).sum())


def _worst_part(parts: Distances) -> tuple[Array, Array | None]:
    """Return the larger number of steps of each pair, as (low, high)."""
    low = parts.ulp.reshape(-1, 2)
    if parts.ulp_high is None:
        return low.max(axis=1), None
    high = parts.ulp_high.reshape(-1, 2)
    second = (high[:, 1] > high[:, 0]) | ((high[:, 1] == high[:, 0]) & (low[:, 1] > low[:, 0]))
    return np.where(second, low[:, 1], low[:, 0]), np.where(second, high[:, 1], high[:, 0])


#: Quantized dtypes of torch and the integers that carry them, one step of which may be rounding.
QUANTIZED = {"quint8": "u1", "qint8": "i1", "qint32": "i4"}


def kind_of(dtype: str, storage: np.dtype[Any]) -> Kind:
    """Return the kind of a logical dtype whose elements are stored as `storage`.

    Raises
    ------
    UnsupportedTypeError
        If elements are object references or records, which cannot be compared by their bytes.
    UsageError
        If the storage and the dtype differ in width.
    """
    if storage.hasobject or storage.names or storage.subdtype:
        raise UnsupportedTypeError(
            f"an array of dtype {storage} cannot be compared bit by bit; pass its fields one by one"
        )
    kind = find_kind(dtype, storage)
    if kind.storage.itemsize != storage.itemsize:
        raise UsageError(f"dtype {dtype} has {kind.storage.itemsize} bytes per element, but the array holds {storage}")
    return kind


def find_kind(dtype: str, storage: np.dtype[Any]) -> Kind:
    """Return the kind of a logical dtype by its name. `storage` is used only for dtypes compared by their bytes."""
    if fmt := format_of(dtype):
        return Float(fmt)
    if dtype in QUANTIZED:
        return Integer(np.dtype(QUANTIZED[dtype]), rounds=True)
    try:
        logical = np.dtype(dtype).newbyteorder("=")
    except TypeError:  # a name that NumPy does not know (a packed or experimental dtype): compare its bytes
        return Opaque(np.dtype(f"V{storage.itemsize}"))
    if logical.kind == "b":
        return Boolean()
    if logical.kind in "iu":
        return Integer(logical)
    if logical.kind in "mM":
        return Moment()
    if logical.kind == "f":
        fmt = format_of("float64" if logical.itemsize == 8 else logical.name)
        return Float(fmt) if fmt else LongDouble()
    if logical.kind == "c":
        return Complex(logical, find_kind(np.empty(0, logical).real.dtype.name, logical))
    if logical.kind in "SUV":
        return Opaque(logical if logical.itemsize == storage.itemsize else np.dtype(f"V{storage.itemsize}"))
    raise UnsupportedTypeError(f"dtype {dtype} cannot be compared bit by bit")
