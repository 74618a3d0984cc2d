"""Hypothesis strategies for inputs that break numerical code.

They generate edge values, memory layouts, near arrays, batch splits, orders and conditions.
"""

from __future__ import annotations

from pytest_repro.errors import MissingExtraError

try:
    import hypothesis.extra.numpy  # noqa: F401
except ImportError as _error:
    raise MissingExtraError("strategies need hypothesis: pip install 'pytest-repro[hypothesis]'") from _error

from pytest_repro.strategies.arrays import arrays, arrays_within_ulps, edge_floats, tensors
from pytest_repro.strategies.choices import batch_splits, conditions, permutations
from pytest_repro.strategies.layouts import layouts

__all__ = [
    "arrays",
    "arrays_within_ulps",
    "batch_splits",
    "conditions",
    "edge_floats",
    "layouts",
    "permutations",
    "tensors",
]
