#!/usr/bin/env python3
"""Measure what a run in another environment costs beside a run by a fresh interpreter of this one.

    python benchmarks/environments.py
    python benchmarks/environments.py --repeats 5

Each session runs one small NumPy test twice. The second run is made by a fresh interpreter (`process`), by an
interpreter that is named by its path (`python`), and behind a command (`host`, once where the files are seen and once
where they are sent). CPU seconds include everything that a session starts. The exit status is 1 if a run in another
environment costs more than one start of the interpreter beyond a fresh one.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TEST = """\
import numpy as np
import pytest


@pytest.mark.reproducible
def test_small(repro):
    return repro.rng.standard_normal(100)
"""
TABLE = """\
[tool.pytest_repro.environments]
seen = {{ command = "env A=1", python = "{python}" }}
sent = {{ command = "env A=1", python = "{python}", sync = true }}
"""


def measure(command: list[str], folder: Path) -> float:
    """Return the CPU time of a command and of all that it starts [s]."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # The same environment is inconclusive, which is an error of its own.
    if "Traceback" in done.stdout + done.stderr or done.returncode not in (0, 1):
        raise SystemExit(done.stdout + done.stderr)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Measure, print a table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    axes = {
        "fresh interpreter": "process=2",
        "python=PATH": f"python={sys.executable}",
        "host, files seen": "host=seen",
        "host, files sent": "host=sent",
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_bench.py").write_text(TEST, encoding="utf-8")
        (folder / "pyproject.toml").write_text(TABLE.format(python=sys.executable), encoding="utf-8")
        options = ["-q", "-p", "no:cacheprovider", "-p", "pytest_repro.plugin", "--no-repro-diagnose"]
        pytest = [sys.executable, "-m", "pytest", *options]
        found: dict[str, list[float]] = {each: [] for each in axes}
        starts = []
        # In turn, so that a busy neighbour slows all alike.
        for _ in range(repeats):
            starts.append(measure([sys.executable, "-c", "import numpy, pytest"], folder))
            for each, axis in axes.items():
                found[each].append(measure([*pytest, f"--repro-across={axis}"], folder))
    start, base = statistics.median(starts), statistics.median(found["fresh interpreter"])
    print(f"start of an interpreter with NumPy and pytest: {start:.2f} CPU s")
    for each, seconds in found.items():
        middle = statistics.median(seconds)
        print(f"{each:<20} {middle:6.2f} CPU s   {(middle - base) / start:+5.1f} starts")
    return int(statistics.median(found["python=PATH"]) - base > start)


if __name__ == "__main__":
    sys.exit(main())
