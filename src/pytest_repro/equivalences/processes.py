"""One task in a new interpreter, in a fork, or here; whichever it was is told.

A task is a function of this package, given by its address; what it computes travels as files, never as a pickle.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pytest_repro import seeding
from pytest_repro.axes import AxisContext, find_axis
from pytest_repro.capturing import read_artifacts, write_artifacts
from pytest_repro.engines.spawn import ChildProcesses
from pytest_repro.equivalences import callables
from pytest_repro.errors import ChildError, UsageError
from pytest_repro.model import JSON, Artifacts

Mode = Literal["fresh", "fork", "same"]
MODES: tuple[Mode, ...] = ("fresh", "fork", "same")
ANSWER = "answer.json"
#: A forked child that used no processor for so long [s] waits for threads that did not survive the fork.
IDLE_S = 15.0
#: Frameworks whose own threads hold locks at any time: a fork of theirs hangs sooner or later.
_UNFORKABLE = ("jax", "tensorflow")


@dataclass(slots=True)
class TaskReport:
    """What a task leaves: named artifacts and plain facts, in a directory of its own."""

    directory: Path
    facts: dict[str, JSON] = field(default_factory=dict)

    def write(self, name: str, artifacts: Artifacts) -> None:
        """Keep artifacts under a name."""
        write_artifacts(artifacts, self.directory / name)

    def read(self, name: str) -> Artifacts:
        """Return artifacts that the task kept."""
        return read_artifacts(self.directory / name)

    def finish(self, error: str = "") -> None:
        """Write the answer whole or not at all."""
        part = self.directory / f"{ANSWER}.part"
        part.write_text(json.dumps({"facts": self.facts, "error": error}), encoding="utf-8")
        part.replace(self.directory / ANSWER)


Task = Callable[..., None]
#: Task, its arguments, the directory that it is given, and what it is for messages.
Job = tuple[Task, Mapping[str, Any], Path, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where tasks run, and the sentence that a report says about it; empty for a new interpreter."""

    mode: Mode
    note: str = ""


def choose_place(name: str, functions: Mapping[str, Callable[..., Any] | None], wanted: str | None) -> Place:
    """Choose the strongest way to make a new process that the user's functions admit.

    Raises
    ------
    UsageError
        If the way that is asked for cannot be gone.
    """
    if wanted is not None and wanted not in MODES:
        raise UsageError(f"{name}: process must be one of {', '.join(map(repr, MODES))}, got {wanted!r}")
    reasons = [
        f"`{role}` {reason}"
        for role, function in functions.items()
        if function is not None and (reason := callables.why_not_importable(function))
    ]
    if wanted == "fresh" and reasons:
        raise UsageError(f"{name}: a new interpreter cannot import it: {reasons[0]}; move it to module level")
    if wanted in ("fresh", "same") or (wanted is None and not reasons):
        return Place("fresh") if wanted != "same" else Place("same", "ran in this process, as asked")
    obstacle = _why_not_forkable()
    if wanted == "fork":
        if obstacle:
            raise UsageError(f"{name}: process='fork' cannot be used: {obstacle}")
        return Place("fork", "ran in forks of this process, as asked; hash seed and imports are not new there")
    if obstacle:
        why = f"{reasons[0]}, and {obstacle}"
        return Place("same", f"a fresh object in this same process stood for a new process: {why}")
    why = f"{reasons[0]}; hash seed and imports are not new there"
    return Place("fork", f"a fork stood for a new interpreter: {why}")


def _why_not_forkable() -> str:
    if not hasattr(os, "fork") or sys.platform == "darwin":
        return "this system cannot fork safely"
    loaded = [framework for framework in _UNFORKABLE if framework in sys.modules]
    if loaded:
        return f"{loaded[0]} does not survive a fork"
    if "torch" in sys.modules:
        from pytest_repro.frameworks import torch_functions

        if torch_functions.has_initialised_accelerator():
            return "an accelerator is initialised, which does not survive a fork"
        torch_functions.import_late_parts()
    return ""


def run_task(
    task: Task,
    arguments: Mapping[str, Any],
    place: Place,
    directory: Path,
    *,
    timeout_s: float,
    environment: Mapping[str, str | None] | None = None,
    what: str,
) -> TaskReport:
    """Run ``task(report, **arguments)`` and return the report that it filled.

    Raises
    ------
    ChildError
        If another process fails, hangs, or leaves no answer; with the user's traceback where there is one.
    Exception
        What the user's function raises, where it runs in this process.
    """
    directory.mkdir(parents=True)
    report = TaskReport(directory)
    if place.mode == "same":
        _run_here(task, report, arguments)
        return report
    if place.mode == "fork":
        _run_forked(task, report, arguments, timeout_s, what)
    else:
        _run_fresh(task, report, arguments, timeout_s, environment or {}, what)
    return _read_answer(report, what)


def _run_here(task: Task, report: TaskReport, arguments: Mapping[str, Any]) -> None:
    state = seeding.save_state()
    try:
        task(report, **arguments)
    finally:
        seeding.restore_state(state)


def _run_fresh(
    task: Task,
    report: TaskReport,
    arguments: Mapping[str, Any],
    timeout_s: float,
    environment: Mapping[str, str | None],
    what: str,
) -> None:
    job = write_job(task, arguments, report.directory)
    command = [sys.executable, "-m", "pytest_repro.equivalences.child", str(job)]
    done = ChildProcesses().run(
        command, environment=child_environment(environment), directory=Path.cwd(), timeout_s=timeout_s
    )
    if not (report.directory / ANSWER).exists():
        raise ChildError(f"{what}: a new process {done.describe()}\n{done.output}")


def write_job(task: Task, arguments: Mapping[str, Any], directory: Path) -> Path:
    """Write what a new interpreter is to do, and with which search path."""
    job = {
        "task": callables.encode(task),
        "arguments": callables.encode(dict(arguments)),
        "path": sys.path,
        "directory": str(directory),
    }
    path = directory / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path


def child_environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return this process' environment with some variables set, or unset by None."""
    merged = {**os.environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _read_answer(report: TaskReport, what: str) -> TaskReport:
    try:
        answer = json.loads((report.directory / ANSWER).read_text(encoding="utf-8"))
        report.facts, error = answer["facts"], answer["error"]
    except (OSError, ValueError, KeyError) as problem:
        raise ChildError(f"{what}: another process left no answer that can be read: {problem}") from None
    if error:
        raise ChildError(f"{what} failed in another process:\n{error}")
    return report


class HungForkError(ChildError):
    """A forked child waits for threads that are not there any more."""


def _run_forked(task: Task, report: TaskReport, arguments: Mapping[str, Any], timeout_s: float, what: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: a fork beside threads; hence the watch below
        pid = os.fork()
    if pid == 0:
        _be_forked(task, report, arguments)
    try:
        _await_fork(pid, timeout_s, what)
    except BaseException:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        raise
    if not (report.directory / ANSWER).exists():
        raise ChildError(f"{what}: a forked process ended without an answer")


def _be_forked(task: Task, report: TaskReport, arguments: Mapping[str, Any]) -> None:
    """Run in the child, and leave it without touching anything that the parent will clean up."""
    code = 1
    try:
        # One thread: a pool that the parent has started is gone here, and whoever asks it for work waits for ever.
        with find_axis("threads").apply(1, AxisContext(report.directory)):
            run_and_report(task, report, arguments)
        code = 0
    finally:
        os._exit(code)


def run_and_report(task: Task, report: TaskReport, arguments: Mapping[str, Any]) -> None:
    """Run a task in a process of its own, with the user's error in the answer."""
    try:
        task(report, **arguments)
        error = ""
    except BaseException:
        error = traceback.format_exc()[-8000:]
    report.finish(error)


def _await_fork(pid: int, timeout_s: float, what: str) -> None:
    deadline, used, since = time.monotonic() + timeout_s, -1, time.monotonic()
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        now = time.monotonic()
        ticks = _read_ticks(pid)
        if ticks != used:
            used, since = ticks, now
        if now - since > IDLE_S:
            raise HungForkError(f"{what}: a forked process hangs: a thread pool does not survive a fork")
        if now > deadline:
            raise ChildError(f"{what}: a forked process was stopped after {timeout_s:g} s, its timeout")
        time.sleep(0.01)


def _read_ticks(pid: int) -> int:
    """Return the processor time that a process has used [clock ticks]; a moving number where it is not told."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return time.monotonic_ns()


def run_tasks(jobs: Sequence[Job], place: Place, *, timeout_s: float) -> tuple[list[TaskReport], Place]:
    """Run tasks one after another (a pair at a time where each has an interpreter of its own); tell where they ran.

    Where a fork hangs that the user did not ask for, all of them run here instead.
    """
    if place.mode == "fresh":
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(2) as pool:
            started = [
                pool.submit(run_task, task, arguments, place, folder, timeout_s=timeout_s, what=what)
                for task, arguments, folder, what in jobs
            ]
            return [future.result() for future in started], place
    try:
        return [run_task(t, a, place, folder, timeout_s=timeout_s, what=w) for t, a, folder, w in jobs], place
    except HungForkError:
        here = Place("same", "a fresh object in this same process stood for a new process: a fork of it hung")
        folders = [folder.with_name(f"{folder.name}-here") for _, _, folder, _ in jobs]
        reports = [
            run_task(t, a, here, folder, timeout_s=timeout_s, what=w)
            for (t, a, _, w), folder in zip(jobs, folders, strict=True)
        ]
        return reports, here
