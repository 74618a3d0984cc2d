"""Tasks run in a new interpreter, in a fork, or in this process.

A task is a function of this package, named by its module. Its results travel as files, and never as a pickle.
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pytest_repro.axes import AxisContext, find_axis
from pytest_repro.capturing import read_artifacts, write_artifacts
from pytest_repro.engines.job import MAX_ANSWER_BYTES
from pytest_repro.environments.processes import ChildExit, ChildProcesses
from pytest_repro.equivalences import callables
from pytest_repro.equivalences.arguments import check_choice
from pytest_repro.equivalences.experiment import restored_generators
from pytest_repro.errors import ChildError, StoreError, UsageError
from pytest_repro.model import JSON, Artifacts
from pytest_repro.model.reading import read_file

Mode = Literal["fresh", "fork", "same"]
_MODES: tuple[Mode, ...] = ("fresh", "fork", "same")
_ANSWER = "answer.json"
#: Code with which a new interpreter runs the job file in its first argument.
RUN_JOB = "from pytest_repro.equivalences.processes import run_job; run_job()"
#: A forked child that used no processor for this long [s] waits for threads that did not survive the fork.
IDLE_S = 15.0
_IN_THIS_PROCESS = "ran with fresh objects in this process instead of in new ones"
#: Frameworks whose own threads hold locks at any time, so that a fork of them hangs sooner or later.
_UNFORKABLE = ("jax", "tensorflow")


@dataclass(slots=True)
class TaskReport:
    """Results of a task: named artifacts and plain facts, in a directory of its own."""

    directory: Path
    facts: dict[str, Any] = field(default_factory=dict)

    def write(self, name: str, artifacts: Artifacts) -> None:
        """Store artifacts under a name."""
        write_artifacts(artifacts, self.directory / name)

    def read(self, name: str) -> Artifacts:
        """Return artifacts that the task has stored."""
        return read_artifacts(self.directory / name)

    def finish(self, error: str = "") -> None:
        """Write the facts and the error, completely or not at all."""
        part = self.directory / f"{_ANSWER}.part"
        answer: dict[str, JSON] = {"facts": self.facts, "error": error}
        part.write_text(json.dumps(answer), encoding="utf-8")
        part.replace(self.directory / _ANSWER)

    def read_answer(self, what: str, ending: str) -> None:
        """Read the facts of another process, or raise ChildError if it wrote an error or no answer.

        Without an answer, the message says how the process ended.
        """
        try:
            answer = json.loads(read_file(self.directory / _ANSWER, max_bytes=MAX_ANSWER_BYTES).decode("utf-8"))
            self.facts, error = answer["facts"], answer["error"]
        except FileNotFoundError:
            raise ChildError(f"{what}: {ending}") from None
        except (OSError, ValueError, KeyError, TypeError, RecursionError, StoreError) as problem:
            raise ChildError(f"{what}: the answer of another process cannot be read: {problem}") from None
        if error:
            raise ChildError(f"{what} failed in another process:\n{error}")


Task = Callable[..., None]
#: Task, its arguments, its directory, and its description for messages.
Job = tuple[Task, Mapping[str, Any], Path, str]


@dataclass(frozen=True, slots=True)
class Place:
    """The kind of process that tasks run in, with a note for the report, which is empty for a new interpreter."""

    mode: Mode
    note: str = ""


def choose_place(name: str, functions: Mapping[str, Callable[..., Any] | None], wanted: str | None) -> Place:
    """Choose the kind of process: the one that is requested, or a new interpreter if it can import the functions.

    The next best kinds are a fork and this process.

    Raises
    ------
    UsageError
        If the requested kind is impossible.
    """
    if wanted is not None:
        check_choice(name, "process", wanted, _MODES)
    reasons = [
        f"`{role}` {reason}"
        for role, function in functions.items()
        if function is not None and (reason := callables.why_not_importable(function))
    ]
    if wanted == "same":
        return Place("same", "ran in this process, as requested")
    if wanted == "fresh" and reasons:
        raise UsageError(f"{name}: a new interpreter cannot import it: {reasons[0]}; move it to module level")
    if wanted == "fresh" or (wanted is None and not reasons):
        return Place("fresh")
    obstacle = _why_not_forkable()
    if wanted == "fork":
        if obstacle:
            raise UsageError(f"{name}: process='fork' cannot be used: {obstacle}")
        return Place("fork", "ran in forks of this process, as requested, which share its hash seed and imports")
    if obstacle:
        return Place("same", f"{_IN_THIS_PROCESS}: {reasons[0]}, and {obstacle}")
    return Place("fork", f"ran in forks instead of new interpreters, with the same hash seed and imports: {reasons[0]}")


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


def run_tasks(jobs: Sequence[Job], place: Place, *, timeout_s: float) -> tuple[list[TaskReport], Place]:
    """Run tasks, two at a time if each has a new interpreter, and return where they ran.

    If a fork hangs, all tasks run in this process instead.
    """
    if place.mode == "fresh":
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda job: run_task(job, place, timeout_s=timeout_s), jobs)), place
    try:
        return [run_task(job, place, timeout_s=timeout_s) for job in jobs], place
    except HungForkError:
        here = Place("same", f"{_IN_THIS_PROCESS}: a fork of it hung")
        moved = [(task, given, folder.with_name(f"{folder.name}-here"), what) for task, given, folder, what in jobs]
        return [run_task(job, here, timeout_s=timeout_s) for job in moved], here


def run_task(
    job: Job, place: Place, *, timeout_s: float, environment: Mapping[str, str | None] | None = None
) -> TaskReport:
    """Run one task and return its report. `environment` has variables to set, or unset by None, in a new interpreter.

    Raises
    ------
    ChildError
        If another process fails, hangs or leaves no answer. It contains the traceback of an error in the user's code.
    Exception
        An error in the user's code, if the task runs in this process.
    """
    task, arguments, directory, what = job
    directory.mkdir(parents=True)
    report = TaskReport(directory)
    if place.mode == "same":
        with restored_generators():
            task(report, **arguments)
    elif place.mode == "fork":
        _run_forked(task, report, arguments, timeout_s, what)
        report.read_answer(what, "a forked process ended without an answer")
    else:
        path = write_job(task, arguments, directory)
        exit_ = run_command([sys.executable, "-c", RUN_JOB, str(path)], environment or {}, timeout_s)
        report.read_answer(what, f"a new process {exit_.describe()}\n{exit_.output}")
    return report


def write_job(task: Task, arguments: Mapping[str, Any], directory: Path) -> Path:
    """Write the job file of a new interpreter: task, arguments and search path."""
    job = {
        "task": callables.encode(task),
        "arguments": callables.encode(dict(arguments)),
        "path": sys.path,
        "directory": str(directory),
    }
    path = directory / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path


def run_command(command: Sequence[str], changes: Mapping[str, str | None], timeout_s: float) -> ChildExit:
    """Run a command with this process' environment, of which some variables are set, or unset by None."""
    merged = {**os.environ, **changes}
    environment = {name: value for name, value in merged.items() if value is not None}
    return ChildProcesses().run(command, environment=environment, directory=Path.cwd(), timeout_s=timeout_s)


def run_job() -> None:
    """Run the task of a job file in a new interpreter, and write its answer.

    Arguments of the command are the job file, and ``ranked`` if torchrun has started several ranks.
    """
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.path[:] = job["path"]
    # torchrun starts every rank with the same arguments, and sets the rank in the environment.
    rank = f"rank-{os.environ['RANK']}" if sys.argv[2:] == ["ranked"] else ""
    report = TaskReport(Path(job["directory"]) / rank)
    report.directory.mkdir(exist_ok=True)

    def run(report: TaskReport) -> None:
        task = callables.decode(job["task"])
        task(report, **callables.decode(job["arguments"]))

    _run_and_finish(run, report, {})


def _run_and_finish(task: Task, report: TaskReport, arguments: Mapping[str, Any]) -> None:
    """Run a task in a process of its own, and write its answer, with the traceback of an error."""
    try:
        task(report, **arguments)
        error = ""
    except BaseException:
        error = traceback.format_exc()[-8000:]
    report.finish(error)


class HungForkError(ChildError):
    """A forked child waits for threads that do not exist in it."""


def _run_forked(task: Task, report: TaskReport, arguments: Mapping[str, Any], timeout_s: float, what: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: a fork in a process with threads, watched below
        pid = os.fork()
    if pid == 0:
        _run_in_fork(task, report, arguments)
    try:
        _await_fork(pid, timeout_s, what)
    except BaseException:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        raise


def _run_in_fork(task: Task, report: TaskReport, arguments: Mapping[str, Any]) -> None:
    """Run in the child, and exit without touching anything that the parent cleans up."""
    code = 1
    try:
        # One thread: the parent's thread pools do not exist here, and a task submitted to one would wait forever.
        with find_axis("threads").apply(1, AxisContext(report.directory)):
            _run_and_finish(task, report, arguments)
        code = 0
    finally:
        os._exit(code)


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
    """Return the processor time that a process has used [clock ticks], or a changing number if it cannot be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return time.monotonic_ns()
