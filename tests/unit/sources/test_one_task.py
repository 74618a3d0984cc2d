"""Tasks at the same time: which processes are noted."""

from __future__ import annotations

import multiprocessing.process
import platform
import subprocess
import sys

from pytest_repro.sources.pins import patched_sources
from pytest_repro.sources.probing import make_audit_hook
from tests.unit.sources.helpers import recorded


def test_processes_that_only_describe_the_machine_are_no_workers(monkeypatch):
    hook = make_audit_hook()

    def start(*args, **kwargs):
        hook("subprocess.Popen", ("uname", ["uname"], None, None))
        return ""

    monkeypatch.setattr(subprocess, "check_output", start)
    with recorded() as seen:
        platform._Processor.from_subprocess()
        assert seen.to_json() == []
        start()
    assert [entry["kind"] for entry in seen.to_json()] == ["process"]


def test_an_interpreter_that_is_started_is_noted_as_such():
    hook = make_audit_hook()
    with recorded() as seen:
        hook("subprocess.Popen", (sys.executable, [sys.executable, "-c", "1"], None, None))
    assert [entry["kind"] for entry in seen.to_json()] == ["process", "interpreter"]


def test_a_process_is_noted_however_it_is_started() -> None:
    class Started:
        sentinel, returncode = 0, 0

        def __init__(self, process: object) -> None: ...

        def poll(self) -> int:
            return 0

    class Process(multiprocessing.process.BaseProcess):
        _Popen = Started

    with recorded() as seen, patched_sources():
        Process().start()
    found = [entry["detail"] for entry in seen.to_json() if entry["kind"] == "process"]
    assert found == ["Process.start"]
