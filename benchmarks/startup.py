"""Measure the cost of the plugin for a session that does not use it, and for one additional run of a test that does.

Three figures, each the median over interleaved pairs of child processes, in CPU time (user and system) of the child:

1. start-up time added to a session of one unmarked test, compared with ``-p no:repro``: budget 10 ms
2. ratio of a session of 10,000 unmarked trivial tests: budget 1.02
3. one additional run of a test that returns a small array, from 102 runs and 2 runs: budget 0.5 ms

usage: python benchmarks/startup.py [--quick] [--allow FACTOR]

CPU time is used because wall time depends on other load, and pairs because the clock rate drifts. The exit status is 1
if a figure exceeds its budget times FACTOR. Needs os.wait4, which Windows lacks.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BLOCKED, LOADED = ("-p", "no:repro"), ()

TRIVIAL = "def test_{i}():\n    pass\n\n"
MARKED = """\
import numpy as np
import pytest


@pytest.mark.reproducible(runs={runs})
def test_small_array():
    return np.arange(16.0)
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured cost with its quartiles, its budget and a remark."""

    name: str
    median: float
    low: float
    high: float
    unit: str
    budget: float
    remark: str

    @classmethod
    def of(cls, name: str, samples: Sequence[float], unit: str, budget: float, remark: str) -> Figure:
        """Compute the median and the quartiles of the samples."""
        low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(name, median, low, high, unit, budget, remark)

    def is_within(self, factor: float) -> bool:
        """Return whether the median is at most the budget times `factor`."""
        return self.median <= self.budget * factor


def cpu_seconds(folder: Path, *arguments: str) -> float:
    """Run pytest, which must pass, in a child process, and return the CPU time [s] of it and its children."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)  # Popen does not know that wait4 has reaped it
        if child.returncode:
            output.seek(0)
            text = output.read().decode(errors="replace")
            raise SystemExit(f"{' '.join(command)} exited with status {child.returncode}\n{text}")
    return usage.ru_utime + usage.ru_stime


def measure_pairs(folder: Path, first: Sequence[str], second: Sequence[str], pairs: int) -> list[tuple[float, float]]:
    """Measure pairs of both commands, in alternating order, after one run of each to fill the caches."""
    cpu_seconds(folder, *first)
    cpu_seconds(folder, *second)
    measured = []
    for index in range(pairs):
        if index % 2:
            b = cpu_seconds(folder, *second)
            measured.append((cpu_seconds(folder, *first), b))
        else:
            a = cpu_seconds(folder, *first)
            measured.append((a, cpu_seconds(folder, *second)))
    return measured


def measure_startup(folder: Path, pairs: int) -> Figure:
    """Measure the start-up time added to a session of one unmarked test."""
    (folder / "test_one.py").write_text(TRIVIAL.format(i=0), encoding="utf-8")
    measured = measure_pairs(folder, [*BLOCKED, "test_one.py"], [*LOADED, "test_one.py"], pairs)
    base = statistics.median(a for a, _ in measured)
    ratio = statistics.median(b / a for a, b in measured)
    remark = f"x {ratio:.3f} of {1e3 * base:.0f} ms"
    return Figure.of("start-up of a one-test session", [1e3 * (b - a) for a, b in measured], "ms", 10.0, remark)


def measure_unmarked(folder: Path, tests: int, pairs: int) -> Figure:
    """Measure the ratio of the times of a session of many unmarked tests."""
    (folder / "test_many.py").write_text("".join(TRIVIAL.format(i=i) for i in range(tests)), encoding="utf-8")
    measured = measure_pairs(folder, [*BLOCKED, "test_many.py"], [*LOADED, "test_many.py"], pairs)
    base = statistics.median(a for a, _ in measured)
    return Figure.of(f"{tests:,} unmarked tests", [b / a for a, b in measured], "ratio", 1.02, f"of {base:.2f} s")


def measure_run(folder: Path, pairs: int) -> Figure:
    """Measure the time of one additional run in the same process."""
    for runs in (2, 102):
        (folder / f"test_runs_{runs}.py").write_text(MARKED.format(runs=runs), encoding="utf-8")
    measured = measure_pairs(folder, ["test_runs_2.py"], ["test_runs_102.py"], pairs)
    base = statistics.median(a for a, _ in measured)
    remark = f"2 runs: {1e3 * base:.0f} ms in total"
    return Figure.of("one more in-process run", [1e3 * (b - a) / 100 for a, b in measured], "ms", 0.5, remark)


def render(figures: Sequence[Figure], factor: float) -> str:
    """Format the figures as a table."""
    lines = [f"{'':32} {'median':>9} {'quartiles':>17} {'budget':>8}"]
    for f in figures:
        span = f"{f.low:.3f} - {f.high:.3f}"
        verdict = "ok" if f.is_within(factor) else "OVER"
        lines.append(f"{f.name:32} {f.median:9.3f} {span:>17} {f.budget:8.2f} {f.unit:5} {verdict:4} ({f.remark})")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the figures, and return 0 if all are within their budgets, otherwise 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer pairs and 1,000 unmarked tests")
    parser.add_argument("--allow", type=float, default=1.0, metavar="FACTOR", help="times the budget (default 1)")
    args = parser.parse_args(argv)
    many, few, tests = (7, 3, 1_000) if args.quick else (21, 7, 10_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        figures = [measure_startup(folder, many), measure_unmarked(folder, tests, few), measure_run(folder, many)]
    print(render(figures, args.allow))
    return 0 if all(f.is_within(args.allow) for f in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
