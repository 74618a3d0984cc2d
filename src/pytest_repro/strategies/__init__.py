"""Hypothesis strategies for what numerical code gets wrong: edges, layouts, near twins, splits, orders, conditions."""

from __future__ import annotations

from pytest_repro.strategies.arrays import arrays, edge_floats, tensors
from pytest_repro.strategies.conditions import conditions
from pytest_repro.strategies.layouts import layouts
from pytest_repro.strategies.splits import batch_splits, permutations
from pytest_repro.strategies.twins import arrays_within_ulps

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
