"""Number of cores, in real interpreters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_repro.axes import AxisContext, Machine, find_axis
from pytest_repro.engines.condition import apply_condition
from pytest_repro.errors import UsageError
from pytest_repro.model import Condition
from tests.unit.axes.children import judge, run_child

COUNT = """
import multiprocessing, os, subprocess, sys
seen['reported'] = [os.cpu_count(), multiprocessing.cpu_count(), len(os.sched_getaffinity(0))]
command = [sys.executable, '-c', 'import os; print(len(os.sched_getaffinity(0)))']
seen['child'] = int(subprocess.run(command, capture_output=True).stdout)
"""
needs_two_cores = pytest.mark.skipif(Machine.here().cores < 2, reason="one core")


@needs_two_cores
def test_python_the_kernel_and_child_processes_see_the_same_number_of_cores() -> None:
    two, one = run_child({"cpu_count": 2}, COUNT), run_child({"cpu_count": 1}, COUNT)
    assert two.seen == {"reported": [2, 2, 2], "child": 2}
    assert one.seen == {"reported": [1, 1, 1], "child": 1}
    assert judge(two, one, "cpu_count").status == "varied"


@needs_two_cores
def test_without_taskset_a_running_process_is_restricted_and_its_cores_are_restored(tmp_path: Path) -> None:
    before, function = os.sched_getaffinity(0), os.cpu_count
    with apply_condition(Condition((("cpu_count", 1),)), AxisContext(tmp_path)):
        assert (len(os.sched_getaffinity(0)), os.cpu_count()) == (1, 1)
    assert (os.sched_getaffinity(0), os.cpu_count) == (before, function)


@needs_two_cores
def test_a_library_that_counts_cores_when_it_is_loaded_finds_the_restricted_number() -> None:
    before = "import os; seen['early'] = len(os.sched_getaffinity(0))"
    assert run_child({"cpu_count": 1}, before=before).seen["early"] == 1


def test_a_single_core_and_more_cores_than_there_are_are_unavailable() -> None:
    axis = find_axis("cpu_count")
    assert axis.unavailable(Machine("linux", "x86_64", 1, can_set_affinity=True))
    assert axis.unavailable(Machine("darwin", "arm64", 8))
    assert "only 4 cores" in (axis.unavailable_value(5, Machine("linux", "x86_64", 4, can_set_affinity=True)) or "")


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "2", None])
def test_a_value_that_is_not_a_number_of_cores_is_rejected(bad: object) -> None:
    with pytest.raises(UsageError, match="cpu_count"):
        find_axis("cpu_count").validate(bad)  # type: ignore[arg-type]
