"""Binary floating-point formats, described by their bits, with tables for those of at most 8 bits."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

#: Encoding of NaN and infinity: as in IEEE 754, NaN by all ones without infinity ("fn"), NaN by the code of -0 without
#: infinity ("fnuz"), neither NaN nor infinity.
Specials = Literal["ieee", "all_ones", "negative_zero", "none"]


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """A binary floating-point format.

    Attributes
    ----------
    width, exponent, mantissa : int
        Bits in total, of the exponent, of the fraction. The remaining bit is the sign (`float8_e8m0fnu` has none).
    bias : int
        The exponent field of 1.0.
    """

    name: str
    exponent: int
    mantissa: int
    bias: int
    specials: Specials = "ieee"
    signed: bool = True

    @property
    def width(self) -> int:
        return self.exponent + self.mantissa + int(self.signed)

    @property
    def unit_roundoff(self) -> float:
        """Half the distance from 1 to the next number."""
        return float(2.0 ** -(self.mantissa + 1))


#: Formats of 16 bits and more, measured by arithmetic on their bits.
WIDE_FORMATS = {
    f.name: f
    for f in (
        FloatFormat("float16", 5, 10, 15),
        FloatFormat("bfloat16", 8, 7, 127),
        FloatFormat("float32", 8, 23, 127),
        FloatFormat("float64", 11, 52, 1023),
    )
}

#: Formats of at most 8 bits (in an 8-bit carrier), measured by tables. Names as in ml_dtypes and torch, definitions as
#: in the OCP 8-bit and Microscaling specifications.
NARROW_FORMATS = {
    f.name: f
    for f in (
        FloatFormat("float8_e3m4", 3, 4, 3),
        FloatFormat("float8_e4m3", 4, 3, 7),
        FloatFormat("float8_e4m3fn", 4, 3, 7, "all_ones"),
        FloatFormat("float8_e4m3fnuz", 4, 3, 8, "negative_zero"),
        FloatFormat("float8_e4m3b11fnuz", 4, 3, 11, "negative_zero"),
        FloatFormat("float8_e5m2", 5, 2, 15),
        FloatFormat("float8_e5m2fnuz", 5, 2, 16, "negative_zero"),
        FloatFormat("float8_e8m0fnu", 8, 0, 127, "all_ones", signed=False),
        FloatFormat("float6_e2m3fn", 2, 3, 1, "none"),
        FloatFormat("float6_e3m2fn", 3, 2, 3, "none"),
        FloatFormat("float4_e2m1fn", 2, 1, 1, "none"),
    )
}


@dataclass(frozen=True, slots=True)
class CodeTable:
    """Value and rank of each code of a narrow format.

    Attributes
    ----------
    values : ndarray of float64, shape (256,)
        NaN and infinities included. Codes beyond the width are NaN.
    ranks : ndarray of uint16, shape (256,)
        Position among the format's finite numbers in ascending order. Both zeros have the same rank.
    """

    values: NDArray[np.float64]
    ranks: NDArray[np.uint16]


@functools.cache
def code_table(name: str) -> CodeTable:
    """Decode all codes of a narrow format."""
    fmt = NARROW_FORMATS[name]
    values = np.array([decode(fmt, code) for code in range(2**fmt.width)] + [np.nan] * (256 - 2**fmt.width))
    finite = np.unique(values[np.isfinite(values)])  # treats -0.0 and 0.0 as one
    ranks = np.searchsorted(finite, np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)).astype(np.uint16)
    return CodeTable(values, ranks)


def decode(fmt: FloatFormat, code: int) -> float:
    """Return the exact value of a code."""
    magnitude = code & ((1 << (fmt.exponent + fmt.mantissa)) - 1)
    sign = -1.0 if fmt.signed and code >> (fmt.width - 1) else 1.0
    field, fraction = magnitude >> fmt.mantissa, magnitude & ((1 << fmt.mantissa) - 1)
    top_field, top_fraction = (1 << fmt.exponent) - 1, (1 << fmt.mantissa) - 1
    if fmt.specials == "ieee" and field == top_field:
        return float("nan") if fraction else sign * float("inf")
    if fmt.specials == "all_ones" and (field, fraction) == (top_field, top_fraction):
        return float("nan")
    if fmt.specials == "negative_zero" and sign < 0 and not magnitude:
        return float("nan")
    if field == 0 and fmt.signed:  # subnormal; e8m0 has none: its field 0 is 2**-127
        return float(sign * fraction * 2.0 ** (1 - fmt.bias - fmt.mantissa))
    return float(sign * (1 + fraction / 2**fmt.mantissa) * 2.0 ** (field - fmt.bias))


def format_of(dtype: str) -> FloatFormat | None:
    """Return the format of a logical dtype, or None if this module does not define one."""
    return WIDE_FORMATS.get(dtype) or NARROW_FORMATS.get(dtype)


def carrier_of(width: int) -> np.dtype[Any]:
    """Return the unsigned dtype that holds a format's codes."""
    return np.dtype(f"u{max(1, width // 8)}")
