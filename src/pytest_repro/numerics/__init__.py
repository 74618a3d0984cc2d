"""Bitwise comparison of arrays, with distances, at the speed of memory. Imports only NumPy."""

from __future__ import annotations

from pytest_repro.numerics.arrays import compare_arrays
from pytest_repro.numerics.statistics import ArrayStatistics

__all__ = ["ArrayStatistics", "compare_arrays"]
