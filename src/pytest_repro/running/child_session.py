"""Start a pytest child for one run: its command, its environment, its folder, and what its end means."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.capturing.store import read_artifacts
from pytest_repro.errors import ChildError, ReproError
from pytest_repro.model import Artifacts, Condition
from pytest_repro.running.axes import environment_of, prefix_of
from pytest_repro.running.job import JOB_VARIABLE, ChildAnswer, ChildJob, identify, read_answer
from pytest_repro.running.spawn import ChildExit, ChildProcesses

#: Options that other plugins draw once a session.
SETTLED_OPTIONS = ("randomly_seed",)
#: Lines of a failed child's output that are shown.
SHOWN_LINES = 30


class ChildSessions:
    """Runs one test in fresh interpreters; owns a folder that holds what they leave.

    Parameters
    ----------
    item : pytest.Function
    axes : list of str
        Axes whose effect every run reads back.
    keeps_locals : bool
    timeout_s : float or None
        For one run.
    """

    def __init__(self, item: pytest.Function, axes: list[str], *, keeps_locals: bool, timeout_s: float | None) -> None:
        self.item = item
        self.axes = axes
        self.keeps_locals = keeps_locals
        self.timeout_s = timeout_s
        self.identity = identify(item)
        self._processes = ChildProcesses()
        self.folder = Path(tempfile.mkdtemp(prefix="pytest-repro-"))

    def stop(self) -> None:
        """End what still runs, and start nothing any more."""
        self._processes.stop()

    def close(self) -> None:
        """End what still runs, and remove everything that the runs left."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, index: int, seed: int, condition: Condition) -> tuple[ChildAnswer, Artifacts]:
        """Make one run.

        Raises
        ------
        ChildError
            If the child left no answer that can be trusted; the message says how it ended and what it printed last.
        """
        directory = self.folder / f"{index}-{secrets.token_hex(4)}"
        directory.mkdir()
        option = self.item.config.option
        job = ChildJob(
            nodeid=_absolute_nodeid(self.item),
            identity=self.identity,
            index=index,
            seed=seed,
            condition=condition.as_dict(),
            axes=self.axes,
            keeps_locals=self.keeps_locals,
            options={name: value for name in SETTLED_OPTIONS if isinstance(value := getattr(option, name, None), int)},
            directory=str(directory),
            nonce=secrets.token_hex(16),
        )
        try:
            ended = self._processes.run(
                [
                    *prefix_of(condition),
                    sys.executable,
                    *_interpreter_flags(),
                    "-m",
                    "pytest",
                    *_arguments(self.item.config),
                ],
                environment=_environment(condition, job.write()),
                directory=self.item.config.invocation_params.dir,
                timeout_s=self.timeout_s,
            )
            answer = None if ended.timed_out else read_answer(directory, job.nonce)
        except (OSError, ChildError) as error:
            raise ChildError(f"run {index} in a process of its own: {error}") from None
        if answer is None or ended.returncode < 0:
            raise ChildError(_describe_end(index, ended))
        return answer, self._read_artifacts(answer, directory, index)

    def _read_artifacts(self, answer: ChildAnswer, directory: Path, index: int) -> Artifacts:
        if not answer.has_artifacts:
            return Artifacts()
        try:
            return read_artifacts(directory / "artifacts")
        except (OSError, ReproError) as error:
            raise ChildError(f"run {index} in a process of its own: what it gave cannot be read: {error}") from None


def _describe_end(index: int, ended: ChildExit) -> str:
    lines = ended.output.rstrip().splitlines()[-SHOWN_LINES:]
    shown = "\n".join(f"    {line}" for line in lines) or "    (it printed nothing)"
    return f"run {index} in a process of its own {ended.describe()} and left no result; the last it printed:\n{shown}"


def _absolute_nodeid(item: pytest.Function) -> str:
    """Node ids are relative to the root; a child is started where the user started pytest."""
    path, separator, rest = item.nodeid.partition("::")
    return f"{item.config.rootpath / path}{separator}{rest}"


def _arguments(config: pytest.Config) -> list[str]:
    """Return the arguments that the user gave, so that the child sees the same options, plugins and ini file."""
    arguments = [os.fspath(argument) for argument in config.invocation_params.args]
    if config.pluginmanager.hasplugin("_cov"):
        arguments.append("--no-cov")
    return arguments


def _interpreter_flags() -> list[str]:
    """Return the interpreter's own options (-X, -W, -O ...) as this process has them."""
    import subprocess

    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return flags


def _environment(condition: Condition, job: Path) -> dict[str, str]:
    environment: dict[str, Any] = dict(os.environ)
    for name in [name for name in environment if name.startswith(("PYTEST_XDIST_", "PYTEST_CURRENT_TEST"))]:
        del environment[name]
    values = condition.as_dict()
    # Nothing may vary that is not named; a fresh process, though, has another hash seed unless the user pins it.
    environment.setdefault("PYTHONHASHSEED", str(values.get("process") or 0))
    for name, value in environment_of(condition).items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    environment[JOB_VARIABLE] = str(job)
    return environment
