#!/usr/bin/env python3
"""Print a Markdown table of the answers of several array comparators for pairs that differ.

    python benchmarks/peers_table.py            # prints the table of docs/explanation/comparing.md

Every cell is the answer of the installed version, not a quotation. The column of a package that is not installed says
"not installed".
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

import pytest_repro.comparing as ours

WRONG = "**same**"


@dataclass(frozen=True)
class Behaviour:
    """A pair of arrays, and the bound under which they must be reported as different."""

    name: str
    make: Callable[[], tuple[Any, Any]]
    max_ulp: int = 0
    flushing: bool = False


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def codes(*values: int) -> np.ndarray:
    return np.array(values, np.uint32).view(np.float32)


def bf16(*values: int) -> np.ndarray:
    return np.array(values, np.uint16).view(ml_dtypes.bfloat16)


def tensor(array: np.ndarray) -> Any:
    torch = importlib.import_module("torch")
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


TOP = float(np.finfo(np.float32).max)
BEHAVIOURS = [
    Behaviour("1e-40 and 2e-40 with flush-to-zero on", lambda: (codes(71362), codes(142724)), flushing=True),
    Behaviour("NaNs of other bits", lambda: (codes(0x7FC00001), codes(0x7FC00002))),
    Behaviour("-0 and +0", lambda: (f32(-0.0), f32(0.0))),
    Behaviour("the largest float32 and infinity, 4 ulp allowed", lambda: (f32(TOP), f32(np.inf)), max_ulp=4),
    Behaviour("the largest float32 and its negative, 2**25 ulp allowed", lambda: (f32(TOP), f32(-TOP)), max_ulp=2**25),
    Behaviour("NaN and infinity in bfloat16, 4 ulp allowed", lambda: (bf16(0x7F81), bf16(0x7F80)), max_ulp=4),
    Behaviour("NaN and infinity, 4 ulp allowed", lambda: (codes(0x7F800001), f32(np.inf)), max_ulp=4),
    Behaviour(
        "shapes (3, 1) and (1, 3) of one value", lambda: (np.ones((3, 1), np.float32), np.ones((1, 3), np.float32))
    ),
    Behaviour("empty arrays of shapes (0, 2) and (0, 3)", lambda: (np.zeros((0, 2)), np.zeros((0, 3)))),
    Behaviour("float32 and float64 of one value", lambda: (np.ones(3, np.float32), np.ones(3))),
    Behaviour("2**53 and 2**53 + 1 as int64", lambda: (np.array([2**53]), np.array([2**53 + 1]))),
]


def import_or_none(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def peers() -> dict[str, Callable[[Any, Any, int], Any] | None]:
    """Return callables that raise or return False for a difference, by the name of the package's function."""
    torch, chex = import_or_none("torch"), import_or_none("chex")

    def numpy_equal(a: Any, e: Any, max_ulp: int) -> Any:
        if max_ulp:
            return np.testing.assert_array_max_ulp(a, e, max_ulp)
        return np.testing.assert_array_equal(a, e)

    def numpy_close(a: Any, e: Any, max_ulp: int) -> Any:
        return np.testing.assert_allclose(a, e, rtol=max_ulp * 2.0**-23)

    def torch_close(a: Any, e: Any, max_ulp: int) -> Any:
        return torch.testing.assert_close(tensor(a), tensor(e), rtol=max_ulp * 2.0**-23, atol=0, equal_nan=True)

    def torch_equal(a: Any, e: Any, max_ulp: int) -> Any:
        return torch.equal(tensor(a), tensor(e))

    def chex_close(a: Any, e: Any, max_ulp: int) -> Any:
        if max_ulp:
            return chex.assert_trees_all_close_ulp(a, e, maxulp=max_ulp)
        return chex.assert_trees_all_equal(a, e)

    def repro(a: Any, e: Any, max_ulp: int) -> Any:
        return ours.assert_close(a, e, max_ulp=max_ulp)

    for without_ulps in (numpy_close, torch_close, torch_equal):
        without_ulps.counts_ulps = False  # type: ignore[attr-defined]
    return {
        f"numpy {np.__version__} assert_array_equal, max_ulp": numpy_equal,
        "numpy assert_allclose": numpy_close,
        f"torch {getattr(torch, '__version__', '')} assert_close": torch_close if torch else None,
        "torch.equal": torch_equal if torch else None,
        f"chex {getattr(chex, '__version__', '')} equal, ulp": chex_close if chex else None,
        "pytest-repro": repro,
    }


@contextmanager
def flush_to_zero(wanted: bool) -> Iterator[None]:
    torch = import_or_none("torch") if wanted else None
    if torch is not None:
        torch.set_flush_denormal(True)
    try:
        yield
    finally:
        if torch is not None:
            torch.set_flush_denormal(False)


def ask(peer: Callable[[Any, Any, int], Any], behaviour: Behaviour) -> str:
    """Return a peer's answer for a pair that differs."""
    if behaviour.max_ulp and not getattr(peer, "counts_ulps", True):
        return "-"  # it has no such bound
    actual, expected = behaviour.make()
    try:
        with flush_to_zero(behaviour.flushing), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = peer(actual, expected, behaviour.max_ulp)
    except AssertionError:
        return "differs"
    except Exception as error:  # a peer may reject a pair by any exception, which is its answer
        return f"{type(error).__name__}"
    return "differs" if answer is False else WRONG


def render() -> str:
    table = peers()
    lines = ["| pair | " + " | ".join(table) + " |", "|---" * (len(table) + 1) + "|"]
    for behaviour in BEHAVIOURS:
        cells = ["not installed" if peer is None else ask(peer, behaviour) for peer in table.values()]
        lines.append(f"| {behaviour.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(render())
