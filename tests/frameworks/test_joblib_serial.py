"""joblib's tasks during a diagnosis: recorded, run one at a time, or run in this process."""

from __future__ import annotations

import os

import pytest

from pytest_repro.sources.pins import patched_sources

joblib = pytest.importorskip("joblib")


def pids(**options: object) -> list[int]:
    return joblib.Parallel(**options)(joblib.delayed(os.getpid)() for _ in range(2))


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({"n_jobs": 2}, ["process"]),
        ({"n_jobs": 2, "prefer": "threads"}, ["thread"]),
        ({"n_jobs": 2, "require": "sharedmem"}, ["thread"]),
        ({"n_jobs": 1}, []),
    ],
)
def test_tasks_are_recorded_by_the_kind_of_worker(seen, options: dict[str, object], kinds: list[str]) -> None:
    with patched_sources():
        joblib.Parallel(**options)
    assert [kind for kind, detail in seen() if detail == "joblib.Parallel"] == kinds


def test_only_the_pin_inline_runs_the_tasks_of_processes_in_this_process() -> None:
    with patched_sources(["inline"]):
        assert set(pids(n_jobs=2)) == {os.getpid()}
    with patched_sources(["serial"]):
        assert joblib.Parallel(n_jobs=2).n_jobs == 2
    assert joblib.Parallel(n_jobs=2).n_jobs == 2
