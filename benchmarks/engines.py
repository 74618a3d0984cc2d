"""Measure the cost of a run in a separate process, as ratios that are meaningful on a busy machine too.

    python benchmarks/engines.py [--runs N]

Prints JSON with these figures, for a torch test that trains for 20 ms:

- ``fork_ms_after_first``: CPU and wall time [ms] that an additional forked run takes, including the test itself
- ``fork_ms_after_first_wall_two_cores``: the same with two runs at once
- ``fork_over_in_process``: the first figure, divided by the time of an additional run in the session's own process
- ``spawn_over_plain``: CPU time of one spawned run, divided by that of a plain ``python -m pytest`` of the test

Targets: 50 ms (2.5 times) and 1.3. Only one core is used unless noted, so that runs are executed one after the other.
CPU time is comparable on a loaded machine too; wall time is given in addition.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAINING = """
import pytest
import torch


def train():
    torch.manual_seed(0)
    model = torch.nn.Linear(20, 20)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(STEPS):
        optimizer.zero_grad()
        model(torch.randn(64, 20)).pow(2).mean().backward()
        optimizer.step()
    return {"weights": model}
"""
TEST = (
    TRAINING
    + """

@pytest.mark.reproducible
def test_training():
    return train()
"""
)
PLAIN = (
    TRAINING
    + """

def test_training():
    assert train()
"""
)
#: Duration of the test [ms], for which the target is defined, and the training steps of the trial that calibrates it.
TEST_MS, TRIAL_STEPS = 20.0, 60
#: One thread, because two compete with other load on the machine and wait for each other at every operation.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def measure(folder: Path, *options: str, file: str = "test_training.py") -> tuple[float, float]:
    """Return the wall and CPU time [s] of one pytest session of a file, including its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", "-ppytest_repro.plugin", file, *options]
    subprocess.run(command, cwd=folder, env=os.environ | ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure each engine against a plain session."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=120, help="additional runs over which the cost is averaged")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of which the median is printed")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    use_cores(cores[:1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tests(folder, TRIAL_STEPS)
        measure(folder, "--repro-runs=2")  # compiles the Python files
        steps = round(TRIAL_STEPS * TEST_MS / time_training(folder))
        write_tests(folder, steps)
        rows = [_measure_all(folder, arguments.runs, cores) for _ in range(arguments.repeats)]
    medians = {key: round(statistics.median(row[key] for row in rows), 3) for key in rows[0]}
    print(json.dumps({"runs": arguments.runs, "repeats": arguments.repeats, "steps": steps, **medians}, indent=1))


def write_tests(folder: Path, steps: int) -> None:
    """Write the tests that train for a number of steps."""
    for name, source in (("test_training.py", TEST), ("test_plain.py", PLAIN)):
        (folder / name).write_text(f"STEPS = {steps}\n{source}")


def time_training(folder: Path) -> float:
    """Return the median CPU time [ms] of the training in a process that has trained before."""
    script = """
import statistics, time
from test_training import train
def once():
    started = time.process_time()
    train()
    return 1e3 * (time.process_time() - started)
once()
print(statistics.median(once() for _ in range(100)))
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, env=os.environ | ENVIRONMENT, check=True, capture_output=True, text=True)
    return float(done.stdout)


def use_cores(cores: list[int]) -> None:
    """Restrict this process and its future children to these cores."""
    if cores:
        os.sched_setaffinity(0, cores)


def measure_twice(folder: Path, runs: int, *options: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the result of :func:`measure` for two runs, and for `runs` additional runs."""
    return measure(folder, *options, "--repro-runs=2"), measure(folder, *options, f"--repro-runs={2 + runs}")


def per_run(few: tuple[float, float], many: tuple[float, float], runs: int) -> tuple[float, float]:
    """Return the wall and CPU time [ms] of one additional run."""
    return 1e3 * (many[0] - few[0]) / runs, 1e3 * (many[1] - few[1]) / runs


def _measure_all(folder: Path, runs: int, cores: list[int]) -> dict[str, float]:
    inside = per_run(*measure_twice(folder, runs), runs)
    fork = per_run(*measure_twice(folder, runs, "--repro-isolate"), runs)
    use_cores(cores[:2])
    parallel = per_run(*measure_twice(folder, runs, "--repro-isolate"), runs)
    use_cores(cores[:1])
    plain = measure(folder, file="test_plain.py")
    # Each additional value of the axis is one more spawned run.
    spawns = [measure(folder, f"--repro-across=process={':'.join(map(str, range(count)))}") for count in (2, 5)]
    spawn = per_run(*spawns, 3)
    return {
        "test_ms_cpu": inside[1],
        "fork_ms_after_first_cpu": fork[1],
        "fork_ms_after_first_wall": fork[0],
        "fork_ms_after_first_wall_two_cores": parallel[0],
        "fork_over_in_process_cpu": fork[1] / inside[1],
        "plain_s_cpu": plain[1],
        "spawn_s_cpu": spawn[1] / 1e3,
        "spawn_over_plain_cpu": spawn[1] / 1e3 / plain[1],
        "spawn_over_plain_wall": spawn[0] / 1e3 / plain[0],
    }


if __name__ == "__main__":
    main()
