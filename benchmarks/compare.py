#!/usr/bin/env python3
"""Measure the time of comparisons, in multiples of one memcmp pass over the same bytes, and their extra memory.

    python benchmarks/compare.py                # all cases at full size: 2 GB of memory, some minutes
    python benchmarks/compare.py --scale 0.1    # smaller, for a quick check
    python benchmarks/compare.py --only dense
    PYTEST_REPRO_PURE=1 python benchmarks/compare.py    # without the compiled kernel

Each case is interleaved with memcmp in one process, and both are timed in CPU seconds, so that other load matters less.
The best of several rounds counts. The exit status is 1 if a figure exceeds its limit. With the compiled kernel the
limit of a ratio is its target. Without it, and for milliseconds, the limit is 1.5 times the figure measured on a busy
two-core machine, which detects a regression.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_repro.comparing import compare_for_bench
from pytest_repro.numerics.fused import is_compiled

MEMORY_LIMIT_MIB = 8.0
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Case:
    """One workload, with its target and the limit that applies without the kernel."""

    name: str
    make: Callable[[float], tuple[Any, Any]]
    target: float
    limit: float
    unit: str = "x memcmp"

    @property
    def failing(self) -> float:
        """The limit for the package as it is installed here."""
        return self.target if is_compiled() and self.unit != "ms" else self.limit


def make_floats(dtype: str, count: int) -> np.ndarray:
    values = np.empty(count, dtype)
    rng = np.random.default_rng(1)
    for start in range(0, count, 5_000_000):
        part = values[start : start + 5_000_000]
        part[...] = rng.standard_normal(part.size, dtype=dtype)
    values[np.abs(values) < 1e-12] = 1  # so that a step of a few ulps does not change the sign
    return values


def move(values: np.ndarray, how: str) -> np.ndarray:
    moved = values.copy()
    codes = moved.view(f"i{values.itemsize}")
    rng = np.random.default_rng(2)
    if how == "one in a million":
        codes[rng.integers(0, values.size, max(1, values.size // 1_000_000))] += 1
    elif how == "all":
        for start in range(0, values.size, 5_000_000):
            part = codes[start : start + 5_000_000]
            part += rng.integers(1, 5, part.size, dtype=part.dtype) * rng.choice(
                np.array([-1, 1], part.dtype), part.size
            )
    return moved


def floats(dtype: str, millions: int, how: str) -> Callable[[float], tuple[Any, Any]]:
    def make(scale: float) -> tuple[Any, Any]:
        values = make_floats(dtype, int(millions * 1e6 * scale))
        return move(values, how), values

    return make


def bfloat16(scale: float) -> tuple[Any, Any]:
    import torch

    values = torch.from_numpy(make_floats("float32", int(100e6 * scale))).to(torch.bfloat16)
    moved = move(values.view(torch.int16).numpy(), "one in a million")
    return torch.from_numpy(moved).view(torch.bfloat16), values


def small_arrays(scale: float) -> tuple[Any, Any]:
    values = make_floats("float32", 640_000).reshape(10_000, 64)
    trees = [{f"layer{i // 10}.p{i % 10}": row.copy() for i, row in enumerate(values)} for _ in range(2)]
    trees[0]["layer500.p3"].view(np.int32)[17] += 1
    return trees[0], trees[1]


CASES = [
    Case("identical float32", floats("float32", 100, ""), 1.1, 1.65),
    Case("identical float64", floats("float64", 50, ""), 1.1, 1.65),
    Case("sparse float32, one in a million", floats("float32", 100, "one in a million"), 1.3, 4.0),
    Case("dense float32, all within 4 ulp", floats("float32", 100, "all"), 3.0, 10.0),
    Case("bfloat16 tensors, one in a million", bfloat16, 2.5, 6.0),
    Case("10,000 arrays of 64", small_arrays, 8.0, 20.0, "ms"),
]


def load_memcmp() -> Any:
    memcmp = ctypes.CDLL(None).memcmp
    memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    return memcmp


def pass_of_memcmp(memcmp: Any, values: np.ndarray, copy: np.ndarray) -> None:
    left, right, size = values.ctypes.data, copy.ctypes.data, values.nbytes
    for offset in range(0, size, _BLOCK):
        memcmp(left + offset, right + offset, min(_BLOCK, size - offset))


def bytes_of(value: Any) -> np.ndarray:
    """Return the bytes of a baseline as one array."""
    if isinstance(value, dict):
        return np.concatenate([leaf.view(np.uint8).reshape(-1) for leaf in value.values()])
    if not isinstance(value, np.ndarray):
        import torch

        value = value.view(torch.int16).numpy()
    return value.view(np.uint8)


def time_of(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def measure(case: Case, scale: float, rounds: int) -> tuple[float, float]:
    """Return the ratio (or milliseconds) of a case and its extra memory [MiB]."""
    actual, expected = case.make(scale)
    values = bytes_of(expected)
    copy, memcmp = values.copy(), load_memcmp()
    compare_for_bench(actual, expected, 4)
    reference = ours = float("inf")
    for _ in range(rounds):
        reference = min(reference, time_of(lambda: pass_of_memcmp(memcmp, values, copy)))
        ours = min(ours, time_of(lambda: compare_for_bench(actual, expected, 4)))
    tracemalloc.start()
    compare_for_bench(actual, expected, 4)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return (ours * 1e3 if case.unit == "ms" else ours / reference), peak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    options = parser.parse_args()
    cases = [case for case in CASES if options.only in case.name]
    if not cases:
        parser.error(
            f"no case has {options.only!r} in its name; the cases are {', '.join(case.name for case in CASES)}"
        )
    failed = 0
    print("with the compiled kernel" if is_compiled() else "without the compiled kernel")
    print(f"{'case':38} {'measured':>14} {'target':>8} {'limit':>8} {'added MiB':>10}")
    for case in cases:
        figure, added = measure(case, options.scale, options.rounds)
        beyond = figure > case.failing or added > MEMORY_LIMIT_MIB
        failed += beyond
        measured = f"{figure:.2f} {'ms' if case.unit == 'ms' else 'x'}"
        print(
            f"{case.name:38} {measured:>14} {case.target:>8} {case.failing:>8} {added:>10.1f}{'  FAILED' * beyond}",
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
