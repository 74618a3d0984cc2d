#!/usr/bin/env python3
"""Measure the CPU time of diagnoses: of the README's example in all, and of each test that diverges.

    python benchmarks/diagnosis.py                       # the README's example
    python benchmarks/diagnosis.py --report result.json  # the tests of a report that --repro-json wrote
    python benchmarks/diagnosis.py -- tests/ --repro-all # the tests that these arguments of pytest select

For each test it prints the verdict, the code of the first cause, its place, and the CPU time of all that was done
beyond the planned runs. The exit status is 1 if a figure exceeds its limit. CPU seconds do not depend on what else the
machine does, apart from the caches that are shared.

Interpreters find compiled modules, as in every session of a user but the first: with PYTHONDONTWRITEBYTECODE=1 each of
them compiles the plugin and the test's module anew, which takes 1 s. Unset it for a report's session, too, and set
PYTHONPYCACHEPREFIX to a folder if the source must stay clean.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: CPU time [s]: the median and the 90th percentile over tests, and README's example in all.
MEDIAN_S, HIGH_S, README_S = 3.0, 6.0, 4.0


def run_pytest(arguments: list[str], folder: Path) -> tuple[str, float]:
    """Run pytest in a folder, and return its output and the CPU time of all processes [s]."""
    # Without the plugins of this environment, which a user's may lack: they are imported by every interpreter.
    compiled = str(folder / "compiled")
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_repro.plugin", *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return result.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure_readme() -> float:
    """Return the CPU time of a session with README's example [s]."""
    found = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "test_train.py").write_text(found[1], encoding="utf-8")
        for _ in range(2):  # the first one compiles
            output, cpu_s = run_pytest(["-p", "no:cacheprovider", "test_train.py"], Path(name))
    cause = re.search(r"cause +([\w.]+)", output)
    print(
        f"README's example: {cpu_s:.2f} s of CPU time in all (limit {README_S:g}), {cause[1] if cause else 'no cause'}"
    )
    return cpu_s


def print_table(tests: list[dict[str, Any]]) -> list[float]:
    """Print a line for each test that was diagnosed, and return their CPU times [s]."""
    times = []
    for test in tests:
        diagnosis = test.get("diagnosis")
        if not diagnosis or not diagnosis.get("cpu_s"):
            continue
        cause = (diagnosis["causes"] or [{}])[0]
        place = cause.get("location") or {}
        where = f"{Path(place['file']).name}:{place['line']}" if place else "-"
        times.append(diagnosis["cpu_s"])
        name = test["nodeid"].rpartition("::")[2]
        whole = "" if diagnosis["complete"] else "  (incomplete)"
        print(
            f"{diagnosis['cpu_s']:8.2f} s  {test['verdict']:<9} {cause.get('code', '-'):<28} {where:<28} {name}{whole}"
        )
    return times


def main() -> int:
    """Measure, print, and return 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path)
    parser.add_argument("arguments", nargs="*")
    given = parser.parse_args()
    if given.report is None and not given.arguments:
        return int(measure_readme() > README_S)
    if given.report is not None:
        tests = json.loads(given.report.read_text(encoding="utf-8"))["tests"]
    else:
        with tempfile.TemporaryDirectory() as name:
            arguments = [str(Path(a).resolve()) if Path(a).exists() else a for a in given.arguments]
            report = Path(name) / "report.json"
            run_pytest([f"--repro-json={report}", *arguments], Path(name))
            tests = json.loads(report.read_text(encoding="utf-8"))["tests"]
    times = sorted(print_table(tests))
    if not times:
        print("no test was diagnosed")
        return 1
    median, high = statistics.median(times), times[min(len(times) - 1, round(0.9 * len(times)))]
    print(
        f"{len(times)} diagnosed: median {median:.2f} s (limit {MEDIAN_S:g}), 90th percentile {high:.2f} s ({HIGH_S:g})"
    )
    return int(median > MEDIAN_S or high > HIGH_S)


if __name__ == "__main__":
    sys.exit(main())
