"""Have a run of one test made by a child process: its job, its engine, its folder, and what its end means."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_repro.axes import Engine, environment_of, prefix_of
from pytest_repro.capturing.store import read_artifacts
from pytest_repro.engines.fork_client import ONE_THREAD, ForkServerClient, ForkServerError, why_no_fork
from pytest_repro.engines.fork_server import ForkServerSettings
from pytest_repro.engines.fresh_fork import read_thread_counts
from pytest_repro.engines.job import JOB_VARIABLE, ChildAnswer, ChildJob, address_of, identify, read_answer
from pytest_repro.engines.measured import hand_over_coverage, read_coverage_settings
from pytest_repro.engines.spawn import KEPT_OUTPUT_BYTES, ChildExit, ChildProcesses, Echo
from pytest_repro.engines.workplace import Workplace, command_of_pytest, environment_of_pytest, workplace_of
from pytest_repro.errors import ChildError, ReproError
from pytest_repro.model import JSON, Artifacts, Condition
from pytest_repro.tracing.watch_job import Watch

if TYPE_CHECKING:
    from pytest_repro.sources.probing import ProbeRequest

#: Options that other plugins draw once a session.
SETTLED_OPTIONS = ("randomly_seed",)
#: Lines of a failed child's output that are shown.
SHOWN_LINES = 30
SHOWN_COLUMNS = 500
#: Where a child's pytest writes what else would stand on the terminal.
TERMINAL_NAME = "terminal.txt"
#: Made by a child when it comes to its test.
BEGUN_NAME = "begun"
#: Where it captures what the test prints.
CAPTURED_NAMES = ("stdout.txt", "stderr.txt")
#: After so many tests that could not be run by forks, the session tries no more.
MAX_REFUSALS = 2


class ChildSessions:
    """Runs one test in processes of their own; owns a folder that holds what they leave.

    Parameters
    ----------
    item : pytest.Function
    axes : list of str
        Axes whose effect every run reads back.
    keeps_locals : bool
    timeout_s : float or None
        For one run.
    engine : "fork" or "spawn"
    find_paths : callable
        Returns the files whose tests the session may run by forks.
    echo : callable, optional
        Takes what the runs print, as it comes.
    memory_limit_bytes : int
        Of what one run captures.
    """

    def __init__(
        self,
        item: pytest.Function,
        axes: list[str],
        *,
        keeps_locals: bool,
        timeout_s: float | None,
        engine: Engine,
        find_paths: Callable[[], list[str]],
        echo: Echo | None = None,
        memory_limit_bytes: int = 2**30,
    ) -> None:
        self.item = item
        self.axes = axes
        self.keeps_locals = keeps_locals
        self.timeout_s = timeout_s
        self.engine = engine
        self.echo = echo
        self.memory_limit_bytes = memory_limit_bytes
        self.identity = identify(item)
        self._find_paths = find_paths
        self._place: Workplace = workplace_of(item.config)
        self._processes = ChildProcesses()
        self._to_learn: Path | None = None
        self.folder = self._place.make_directory("test")

    def stop(self) -> None:
        """End what still runs, and start nothing any more."""
        self._processes.stop()
        if self.engine == "fork" and self._place.fork_server is not None:
            self._place.fork_server.end_runs()

    def close(self) -> None:
        """End what still runs, and remove everything that the runs left."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._to_learn is not None and self._place.fork_server is not None:
            self._place.fork_server.preload(self._to_learn)

    def run(
        self,
        index: int,
        seed: int,
        condition: Condition,
        *,
        watch: Watch | None = None,
        probe: ProbeRequest | None = None,
    ) -> tuple[ChildAnswer, Artifacts]:
        """Make one run, and do beyond it what a diagnosis asks for.

        Parameters
        ----------
        watch : Watch, optional
            Have the user's code watched during the call phase, and its trace written.
        probe : ProbeRequest, optional
            Have sources noted, the run repeated, state put back.

        Raises
        ------
        ForkServerError
            If it could not be made by a fork; a fresh interpreter may do.
        ChildError
            If the child left no answer that can be trusted; the message says how it ended and what it printed last.
        """
        job = self._make_job(index, seed, condition, watch, probe)
        directory = Path(job.directory)
        try:
            ended = self._fork(job) if self.engine == "fork" else self._spawn(job)
            answer = None if ended.timed_out else read_answer(directory, job.nonce)
        except ForkServerError:
            raise
        except (OSError, ChildError) as error:
            raise ChildError(f"run {index} in a process of its own: {error}") from None
        if answer is None or ended.returncode < 0:
            raise ChildError(_describe_end(index, ended, directory))
        if job.coverage is not None:
            hand_over_coverage(self.item.config, directory)
        return answer, self._read_artifacts(answer, directory, index)

    def learn(self, answer: ChildAnswer, *, at_once: bool, sources_alone: bool = False) -> None:
        """Have the server of forks import and read what a run had to by itself: now, or when the test is over."""
        if self.engine != "fork" or self._place.fork_server is None:
            return
        content = {"modules": [] if sources_alone else answer.imported, "sources": answer.sources}
        path = self._place.make_directory("modules") / "modules.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        if at_once:
            self._place.fork_server.preload(path)
        else:
            self._to_learn = path

    def _make_job(
        self, index: int, seed: int, condition: Condition, watch: Watch | None, probe: ProbeRequest | None
    ) -> ChildJob:
        directory = self.folder / f"{index}-{secrets.token_hex(4)}"
        directory.mkdir()
        path, name = address_of(self.item)
        return ChildJob(
            path=path,
            name=name,
            identity=self.identity,
            index=index,
            seed=seed,
            condition=condition.as_dict(),
            axes=self.axes,
            keeps_locals=self.keeps_locals,
            options=_settled_options(self.item.config),
            memory_limit_bytes=self.memory_limit_bytes,
            coverage=read_coverage_settings(self.item.config),
            directory=str(directory),
            nonce=secrets.token_hex(16),
            watch=watch.to_json() if watch is not None else None,
            probe=None if probe is None else probe.to_json(),
        )

    def _spawn(self, job: ChildJob) -> ChildExit:
        condition = job.as_condition()
        changes = environment_of(condition)
        if process := job.condition.get("process"):
            changes.setdefault("PYTHONHASHSEED", str(process))
        environment = environment_of_pytest(changes, self._mark(job))
        return self._processes.run(
            [*prefix_of(condition), *command_of_pytest(self.item.config)],
            environment={**environment, JOB_VARIABLE: str(job.write())},
            directory=self.item.config.invocation_params.dir,
            timeout_s=self.timeout_s,
            has_begun=(Path(job.directory) / BEGUN_NAME).exists,
            echo=self.echo,
        )

    def _mark(self, job: ChildJob) -> str:
        return f"{self._place.mark}.{job.nonce}"

    def _fork(self, job: ChildJob) -> ChildExit:
        if self._place.fork_server is None:
            self._place.fork_server = make_fork_server(self.item.config, self._place, self._find_paths())
        return self._place.fork_server.run(job.write(), timeout_s=self.timeout_s, echo=self.echo)

    def _read_artifacts(self, answer: ChildAnswer, directory: Path, index: int) -> Artifacts:
        if not answer.has_artifacts:
            return Artifacts()
        try:
            return read_artifacts(directory / "artifacts")
        except (OSError, ReproError) as error:
            raise ChildError(f"run {index} in a process of its own: what it gave cannot be read: {error}") from None


def make_fork_server(config: pytest.Config, place: Workplace, paths: list[str]) -> ForkServerClient:
    """Lay out a server of forks; it starts with its first run."""
    environment = environment_of_pytest({}, f"{place.mark}.fork_server")
    directory = place.make_directory("fork_server")

    def settings(control: int) -> ForkServerSettings:
        return ForkServerSettings(
            control=control,
            paths=paths,
            options=_settled_options(config),
            environment={name: environment.get(name) for name in ONE_THREAD},
            threads=read_thread_counts(),
            directory=str(directory),
        )

    return ForkServerClient(command_of_pytest(config), environment, config.invocation_params.dir, settings)


def refuses_fork(config: pytest.Config) -> str:
    """Say why this session makes no forks (any more); empty where it does."""
    if reason := why_no_fork():
        return reason
    if workplace_of(config).fork_refusals >= MAX_REFUSALS:
        return f"it failed for {MAX_REFUSALS} tests before"
    return ""


def give_up_forks(config: pytest.Config) -> None:
    """Note that a test could not be run by forks, and end a server that may be of no use for the next one."""
    place = workplace_of(config)
    place.fork_refusals += 1
    if place.fork_server is not None:
        fork_server, place.fork_server = place.fork_server, None
        fork_server.close()


def _settled_options(config: pytest.Config) -> dict[str, JSON]:
    return {name: v for name in SETTLED_OPTIONS if isinstance(v := getattr(config.option, name, None), int)}


def _describe_end(index: int, ended: ChildExit, directory: Path) -> str:
    # What pytest itself had to say there, as of a module that could not be imported, then what the test printed.
    lines = [line for name in (TERMINAL_NAME, *CAPTURED_NAMES) for line in _last_lines(_read_end(directory / name))]
    shown = "\n".join(lines + _last_lines(ended.output)) or "    (it printed nothing)"
    return f"run {index} in a process of its own {ended.describe()} and left no result; the last it printed:\n{shown}"


def _read_end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - KEPT_OUTPUT_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _last_lines(text: str) -> list[str]:
    return [f"    {line[:SHOWN_COLUMNS]}" for line in text.rstrip().splitlines()[-SHOWN_LINES:]]
