"""One run of a test by a child process, forked or started, which leaves its answer in a folder."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_repro.axes import EngineName
from pytest_repro.capturing.store import read_artifacts
from pytest_repro.engines.base import (
    EngineUnusableError,
    RunSettings,
)
from pytest_repro.engines.condition import (
    changes_of_child,
    describe_interpreter,
    interpreter_of,
    needs_interpreter,
    prefix_of,
)
from pytest_repro.engines.fork_client import ForkServerClient, ForkServerError, why_no_fork
from pytest_repro.engines.job import (
    BEGUN_NAME,
    CAPTURED_NAMES,
    TERMINAL_NAME,
    ChildAnswer,
    ChildJob,
    address_of,
    identify,
    identify_source,
    read_answer,
    take_traces,
    translate,
)
from pytest_repro.engines.measured import hand_over_coverage, read_coverage_settings
from pytest_repro.engines.parameters import digest_parameters
from pytest_repro.engines.starting import plan_start
from pytest_repro.engines.workplace import (
    COLLECTION_SEED_KEY,
    Workplace,
    arguments_of_pytest,
    environment_of_run,
    settled_options,
    workplace_of,
)
from pytest_repro.environments.environment import EnvironmentRunError, StartedRun
from pytest_repro.environments.places import Place
from pytest_repro.environments.processes import KEPT_OUTPUT_BYTES, ChildExit, ChildProcesses, Echo
from pytest_repro.errors import ChildError, ReproError
from pytest_repro.model import Artifacts, Condition
from pytest_repro.model.redaction import redact_assignments

if TYPE_CHECKING:
    from pytest_repro.sources.probing import ProbeRequest
    from pytest_repro.tracing.watch_job import Watch

#: Lines of a failed child's output that are shown.
SHOWN_LINES = 30
SHOWN_COLUMNS = 500
#: The session stops using forks after so many tests that could not be run by them.
MAX_REFUSALS = 2

Answer = tuple[ChildAnswer, Artifacts]


class ChildSessions:
    """Runs one test in child processes, and owns the folder that holds what they leave.

    Parameters
    ----------
    item : pytest.Function
    settings : RunSettings
    engine : {"fork", "spawn"}
    find_paths : callable
        Returns the files whose tests the session may run by forks.
    checks_parameters : bool
        Whether each process must collect the test with the parameters that it has here.
    nextitem : pytest.Item, optional
        The session's next test. Forks that run a series keep the fixtures for it that outlive this test.

    Attributes
    ----------
    echo : callable or None
        Takes the output of the runs as it comes.
    shares_interpreters : bool
        Whether runs are forks of interpreters that were started for their conditions, of which a plan without forks
        would start one for each run.

    Notes
    -----
    The fork engine makes each run by a fork of an interpreter that was started for the run's condition (PYTHONHASHSEED,
    LC_ALL and the like). For another process, which only a fresh interpreter is, it starts one.
    """

    def __init__(
        self,
        item: pytest.Function,
        settings: RunSettings,
        engine: EngineName,
        find_paths: Callable[[], list[str]],
        *,
        checks_parameters: bool = False,
        nextitem: pytest.Item | None = None,
    ) -> None:
        self._parameters = (
            digest_parameters(item) if checks_parameters and COLLECTION_SEED_KEY in item.config.stash else {}
        )
        self.item = item
        self.settings = settings
        self.engine = engine
        self.echo: Echo | None = None
        self.identity: str = identify(item)
        self._source = identify_source(item)
        self._place: Workplace = workplace_of(item.config)
        self._servers = self._place.servers_of(item.config, find_paths)
        self._servers.begin_test()
        self.shares_interpreters: bool = engine == "fork" and needs_interpreter(settings.axes)
        self._following = None if nextitem is None else address_of(nextitem)
        self._processes = ChildProcesses()
        self._to_learn: Path | None = None
        self.folder: Path = self._place.make_directory("test")

    def stop(self) -> None:
        """End what still runs, and start no more."""
        self._processes.stop()
        if self.engine == "fork":
            self._servers.end_runs()

    def close(self) -> None:
        """End what still runs, and remove everything that the runs left."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._to_learn is not None:
            self._servers.learn(self._to_learn)

    def run(
        self,
        index: int,
        seed: int,
        condition: Condition,
        *,
        watch: Watch | None = None,
        probe: ProbeRequest | None = None,
        is_fresh: bool = False,
        in_series: bool = False,
        recurs: bool = True,
    ) -> Answer:
        """Make one run, watched and probed as a diagnosis requests.

        Parameters
        ----------
        in_series : bool
            Whether a fork may make it that has made runs of earlier tests in the same condition.
        is_fresh : bool
            Whether a fresh interpreter must make it, also if the engine is fork.
        recurs : bool
            Whether other runs have the same condition, so that it is worth while to start a server for it.

        Raises
        ------
        ForkServerError
            If it could not be made by a fork.
        ChildError
            If the child left no answer that can be trusted. The message says how it ended and what it printed last.
        """
        job = self._make_job(index, seed, condition, watch, probe)
        directory = Path(job.directory)
        needed = None if self.engine == "spawn" or is_fresh else interpreter_of(condition, self.settings.axes)
        server = None if needed is None else self._servers.find(needed, recurs=recurs)
        if in_series and needed == condition:
            # What is varied inside the process ends with the run, and must not reach a fixture that outlives it.
            job = replace(job, following=self._following)
        place = self._place.place_of(self.item.config, condition)
        name = environment_of_run(condition)
        where, error_type = (f"with {name}", EnvironmentRunError) if name else ("in a child process", ChildError)
        try:
            if server is None:
                ended = self._spawn(job, place)
            else:
                ended = self._fork(job, server, needed or Condition(), in_series)
            answer = None if ended.timed_out else read_answer(directory, job.nonce)
        except EngineUnusableError:
            raise
        except (OSError, ChildError) as error:
            raise error_type(f"run {index} {where}: {error}") from None
        if answer is None or ended.returncode < 0:
            raise error_type(place.translate(f"run {index} {where} {_describe_end(ended, directory)}"))
        if not place.is_local:
            translate(answer, place.translate)
            if watch is not None:
                take_traces(directory, Path(watch.path))
        if job.coverage is not None:
            hand_over_coverage(self.item.config, directory)
        if server is not None and needed is not None:
            answer.engine, answer.interpreter = "fork", describe_interpreter(needed)
        return answer, self._read_artifacts(answer, directory, index)

    @property
    def has_series(self) -> bool:
        """Whether there are forks that have run other tests, and can run this one."""
        return self._servers.has_series

    def end_series(self) -> None:
        """End the forks that run series: the next run has the state of its server again."""
        self._servers.end_series()

    def learn(self, answer: ChildAnswer, *, at_once: bool, sources_alone: bool = False) -> None:
        """Have the fork servers import and read what a run imported and read: now, or when the test is over."""
        if self.engine != "fork" or not (answer.imported or answer.sources):
            return
        content = {"modules": [] if sources_alone else answer.imported, "sources": answer.sources}
        path = self._place.make_directory("modules") / "modules.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        if at_once:
            self._servers.learn(path)
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
            base_seed=self.settings.base_seed,
            condition=condition.as_dict(),
            axes=self.settings.axes,
            keeps_locals=self.settings.keeps_locals,
            parameters=self._parameters,
            options=settled_options(self.item.config),
            memory_limit_bytes=self.settings.memory_limit_bytes,
            coverage=read_coverage_settings(self.item.config),
            directory=str(directory),
            nonce=secrets.token_hex(16),
            watch=watch.to_json() if watch is not None else None,
            probe=None if probe is None else probe.to_json(),
            hints=self.settings.hints,
        )

    def _spawn(self, job: ChildJob, place: Place) -> ChildExit:
        condition, config, folder = job.as_condition(), self.item.config, Path(job.directory)
        with place.held():
            if place.plugin_path:
                there = place.folder_of(folder)
                job = replace(job, identity=self._source, path=place.path_of(job.path), directory=there)
            if not place.is_local:
                job = job.elsewhere()
            start = plan_start(
                config,
                "child",
                job.write(folder),
                arguments=arguments_of_pytest(config),
                condition=condition,
                place=place,
            )
            run = StartedRun(
                folder,
                start.arguments_of(folder, place),
                prefix_of(condition),
                changes_of_child(condition, None if place.is_local else {}),
                f"{self._place.mark}.{job.nonce}",
                self.settings.timeout_s,
                BEGUN_NAME,
            )
            return place.run(run, self._processes, directory=config.invocation_params.dir, echo=self.echo)

    def _fork(self, job: ChildJob, server: ForkServerClient, needed: Condition, in_series: bool) -> ChildExit:
        timeout_s = self.settings.timeout_s
        try:
            return server.run(job.write(), timeout_s=timeout_s, echo=self.echo, in_series=in_series)
        except ForkServerError as error:
            error.is_general = not needed.values
            self._servers.note_failure(needed, error)
            raise

    def _read_artifacts(self, answer: ChildAnswer, directory: Path, index: int) -> Artifacts:
        if not answer.has_artifacts:
            return Artifacts()
        try:
            return read_artifacts(directory / "artifacts")
        except (OSError, ReproError) as error:
            raise ChildError(f"run {index} in a child process: its results cannot be read: {error}") from None


def refuses_fork(config: pytest.Config) -> str:
    """Return the reason why this session makes no forks, or no more of them. Empty if it makes them."""
    if reason := why_no_fork():
        return reason
    if workplace_of(config).fork_refusals >= MAX_REFUSALS:
        return f"it failed for {MAX_REFUSALS} tests before"
    return ""


def give_up_forks(config: pytest.Config) -> None:
    """Count a test that could not be run by forks, and end the servers, which may be broken for the next test too."""
    place = workplace_of(config)
    place.fork_refusals += 1
    if place.servers is not None:
        place.servers.close()


def _describe_end(ended: ChildExit, directory: Path) -> str:
    # First pytest's own messages, as of a module that could not be imported, then the test's output.
    lines = [line for name in (TERMINAL_NAME, *CAPTURED_NAMES) for line in _last_lines(_read_end(directory / name))]
    shown = "\n".join(lines + _last_lines(ended.output)) or "    (it printed nothing)"
    return f"{ended.describe()} and left no result. Its last output:\n{shown}"


def _read_end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - KEPT_OUTPUT_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _last_lines(text: str) -> list[str]:
    lines = redact_assignments(text).rstrip().splitlines()  # before they are cut
    return [f"    {line[:SHOWN_COLUMNS]}" for line in lines[-SHOWN_LINES:]]
