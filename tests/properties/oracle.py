"""Figures of a comparison computed with exact rationals, one element at a time, without array arithmetic."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

FORMATS = {  # name: (exponent bits, fraction bits)
    "float16": (5, 10),
    "bfloat16": (8, 7),
    "float32": (8, 23),
    "float64": (11, 52),
}


@dataclass(frozen=True)
class Number:
    """Decoded code: its value, None for NaN and infinities, and its rank among the finite numbers, 0 for both zeros."""

    value: Fraction | None
    rank: int
    is_nan: bool
    is_infinite: bool


def decode(code: int, dtype: str) -> Number:
    """Decode an IEEE code by the definition of its format."""
    exponent_bits, fraction_bits = FORMATS[dtype]
    sign = -1 if code >> (exponent_bits + fraction_bits) else 1
    field = (code >> fraction_bits) & ((1 << exponent_bits) - 1)
    fraction = code & ((1 << fraction_bits) - 1)
    if field == (1 << exponent_bits) - 1:
        return Number(None, 0, fraction != 0, fraction == 0)
    bias = (1 << (exponent_bits - 1)) - 1
    if field:
        value = (1 + Fraction(fraction, 1 << fraction_bits)) * Fraction(2) ** (field - bias)
    else:
        value = Fraction(fraction, 1 << fraction_bits) * Fraction(2) ** (1 - bias)
    return Number(sign * value, sign * ((field << fraction_bits) | fraction), False, False)


@dataclass(frozen=True)
class Expected:
    """The figures of a comparison."""

    differing: int
    over: int
    incomparable: int
    max_ulp: int | None
    max_abs: Fraction | None
    max_rel: Fraction | float | None
    histogram: tuple[int, ...]
    first: int | None
    norm_squares: tuple[Fraction, Fraction]


def compare(
    actual: list[int], expected: list[int], dtype: str, max_ulp: int = 0, rtol: float = 0.0, atol: float = 0.0
) -> Expected:
    """Compare two lists of codes."""
    pairs = [
        (i, decode(a, dtype), decode(e, dtype)) for i, (a, e) in enumerate(zip(actual, expected, strict=True)) if a != e
    ]
    finite = [(a, e) for _, a, e in pairs if a.value is not None and e.value is not None]
    steps = [abs(a.rank - e.rank) for a, e in finite]
    sizes = [abs(a.value - e.value) for a, e in finite]
    admitted = 0
    for (_, e), step, size in zip(finite, steps, sizes, strict=True):
        by_steps = max_ulp > 0 and step <= max_ulp
        by_size = (rtol > 0 or atol > 0) and size <= Fraction(atol) + Fraction(rtol) * abs(e.value)
        admitted += by_steps or by_size
    histogram = [0] * (max(steps, default=0).bit_length() + 1) if steps else []
    for step in steps:
        histogram[step.bit_length()] += 1
    ratios = [
        (size / abs(e.value) if e.value else (float("inf") if size else Fraction(0)))
        for (_, e), size in zip(finite, sizes, strict=True)
    ]
    norms = (
        sum((s * s for s in sizes), Fraction(0)),
        sum((v * v for code in expected if (v := decode(code, dtype).value) is not None), Fraction(0)),
    )
    return Expected(
        len(pairs), len(pairs) - admitted, len(pairs) - len(finite), max(steps, default=None), max(sizes, default=None),
        max(ratios, default=None), tuple(histogram), pairs[0][0] if pairs else None, norms,
    )  # fmt: skip


def count_between(values: list[float], low: float, high: float) -> int:
    """Count the steps from `low` to `high` along a sorted list of all finite numbers."""
    return bisect_left(values, high) - bisect_left(values, low)


def as_array(codes: list[int], dtype: str) -> np.ndarray:
    """Return codes as an array of the dtype, or of its carrier."""
    width = sum(FORMATS[dtype]) + 1
    array = np.array(codes, dtype=f"u{width // 8}")
    return array if dtype == "bfloat16" else array.view(dtype)
