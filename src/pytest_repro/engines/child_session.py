"""The fork and spawn engines: each run is made by a child process, which leaves its answer in a folder."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_repro.axes import Effect, EngineName
from pytest_repro.capturing.store import read_artifacts
from pytest_repro.engines.base import (
    EngineUnusableError,
    FreshInterpretersNeededError,
    PlannedExecution,
    RunOutcome,
    RunSettings,
    Take,
)
from pytest_repro.engines.concurrency import RunsAhead
from pytest_repro.engines.condition import (
    describe_interpreter,
    environment_of_child,
    interpreter_of,
    needs_interpreter,
    prefix_of,
)
from pytest_repro.engines.fork_client import ForkServerClient, ForkServerError, why_no_fork
from pytest_repro.engines.item_run import has_xfail_mark
from pytest_repro.engines.job import (
    BEGUN_NAME,
    CAPTURED_NAMES,
    TERMINAL_NAME,
    ChildAnswer,
    ChildJob,
    address_of,
    identify,
    read_answer,
)
from pytest_repro.engines.measured import hand_over_coverage, read_coverage_settings
from pytest_repro.engines.parameters import digest_parameters
from pytest_repro.engines.relay import WarningRelay, publish_subtests, show_live_logs
from pytest_repro.engines.spawn import KEPT_OUTPUT_BYTES, ChildExit, ChildProcesses, Echo
from pytest_repro.engines.starting import plan_start
from pytest_repro.engines.workplace import (
    COLLECTION_SEED_KEY,
    Workplace,
    arguments_of_pytest,
    settled_options,
    workplace_of,
)
from pytest_repro.errors import ChildError, ReproError
from pytest_repro.model import Artifacts, Condition, EquivalenceFinding, NotCompared, Reached
from pytest_repro.model.codec import decode

if TYPE_CHECKING:
    from pytest_repro.sources.probing import ProbeRequest
    from pytest_repro.tracing.watch_job import Watch

#: Lines of a failed child's output that are shown.
SHOWN_LINES = 30
SHOWN_COLUMNS = 500
#: The session stops using forks after so many tests that could not be run by them.
MAX_REFUSALS = 2
#: A first run shorter than this is made again once the fork server has imported its modules, so that all runs find the
#: same ones. After a longer run the imports weigh nothing, and the server learns them when the test is over.
SHORT_S = 20.0

Answer = tuple[ChildAnswer, Artifacts]


class ChildEngine:
    """Makes the runs of a plan by child processes, several at the same time.

    The first run is made alone: a test that fails by itself is not started again, and the number of the others at the
    same time depends on the memory that it took.

    Parameters
    ----------
    shows_output : bool
        Whether the children's output goes to the terminal as it comes.
    clear_line : callable
        Clears the terminal's live line before something is written.

    Attributes
    ----------
    sections : list of (name, text)
        Captured output of the latest run of the plan, as a report holds it.
    has_published : bool
        Whether the subtests of a first run were published, by this engine or by another one before it.
    """

    can_probe = True
    adds_control = False

    def __init__(
        self,
        children: ChildSessions,
        runs: Sequence[PlannedExecution],
        *,
        shows_output: bool,
        clear_line: Callable[[], None],
        warnings: WarningRelay,
        has_published: bool = False,
    ) -> None:
        self.name: EngineName = children.engine
        self.sections: list[list[str]] = []
        self._children = children
        self._first, *self._others = runs
        self._total = len(runs)
        self._shows_output = shows_output
        self._clear_line = clear_line
        self._warnings = warnings
        self.has_published = has_published
        self._peak_kib = 0
        self._first_outcome: RunOutcome | None = None
        #: False after a first run that skipped, which only one other follows.
        self._may_run_ahead = True
        self._ahead: RunsAhead[Answer] | None = None
        if shows_output:
            children.echo = self._echo

    def run(self, planned: PlannedExecution, take: Take | None = None) -> RunOutcome:
        """Return a run's outcome as soon as its child has ended."""
        if take is None:
            return self._read_outcome(*self._ask(planned, recurs=False))
        answer, artifacts = self._ask_first() if planned is self._first else self._ask_ahead(planned)
        outcome = self._read_outcome(answer, artifacts)
        self._check_ending(planned, outcome)
        self.sections = answer.sections
        if not self._shows_output:
            self._clear_line()
            show_live_logs(self._children.item.config, answer.sections, planned.index, self._total)
        self._warnings.publish(answer.warnings)
        is_first = planned is self._first and not self.has_published
        publish_subtests(self._children.item, answer.subtests, is_first=is_first)
        self.has_published = True
        self._may_run_ahead &= outcome.outcome == "passed"
        if outcome.outcome == "passed":
            take(outcome)
        return outcome

    def finish(self, *, is_last: bool) -> bool:
        """Return True: the child has torn down its own run."""
        return True

    def close(self) -> None:
        """End what still runs, and remove everything that the runs left."""
        self._children.stop()
        if self._ahead is not None:
            self._ahead.close()
        self._children.close()

    def _read_outcome(self, answer: ChildAnswer, artifacts: Artifacts) -> RunOutcome:
        outcome = _read_outcome(answer, artifacts)
        outcome.ends_by_mark = outcome.is_xfail and has_xfail_mark(self._children.item)
        return outcome

    def _check_ending(self, planned: PlannedExecution, outcome: RunOutcome) -> None:
        """Reject an ending that might be due to the fork, where the plan itself needs an interpreter for each run.

        FreshInterpretersNeededError means that fresh ones have to show it.
        """
        first = self._first_outcome = self._first_outcome or outcome
        if not self._children.shares_interpreters or "fork" not in (outcome.engine, first.engine):
            return
        has_failed = outcome.outcome in ("failed", "error") and not outcome.ends_by_mark
        if has_failed or outcome.outcome != first.outcome:
            raise FreshInterpretersNeededError(f"run {planned.index} ended as {outcome.outcome} in a fork")

    def _ask(self, planned: PlannedExecution, *, recurs: bool = True) -> Answer:
        try:
            return self._children.run(
                planned.index, planned.seed, planned.complete, is_fresh=planned.is_fresh, recurs=recurs
            )
        except EngineUnusableError:
            raise
        except ChildError as error:
            if self._children.shares_interpreters:
                raise FreshInterpretersNeededError(str(error)) from None
            raise

    def _ask_ahead(self, planned: PlannedExecution) -> Answer:
        if not self._may_run_ahead:
            return self._ask(planned)
        if self._ahead is None:
            limit = 1 if self._shows_output else None
            self._ahead = RunsAhead(self._ask, self._others, peak_kib=self._peak_kib, limit=limit)
        return self._ahead.result(planned)

    def _ask_first(self) -> Answer:
        answer, artifacts = self._ask(self._first)
        self._peak_kib = answer.peak_kib
        if not answer.imported and not answer.sources:
            return answer, artifacts
        is_short = answer.seconds < SHORT_S
        self._children.learn(answer, at_once=is_short)
        # Modules of our own make no difference to a test, nor do the lines of sources.
        changes_others = any(not name.startswith("pytest_repro.") for name in answer.imported)
        if is_short and changes_others and answer.outcome == "passed" and self._others:
            answer, artifacts = self._ask(self._first)
            if answer.sources:
                # Modules are learnt once: the other runs must all find the same ones.
                self._children.learn(answer, at_once=True, sources_alone=True)
        return answer, artifacts

    def _echo(self, output: bytes) -> None:
        self._clear_line()
        sys.stdout.flush()
        with suppress(OSError):
            os.write(1, output)


def _read_outcome(answer: ChildAnswer, artifacts: Artifacts) -> RunOutcome:
    return RunOutcome(
        outcome=answer.outcome,
        reason=answer.reason,
        artifacts=artifacts,
        took_locals=answer.took_locals,
        has_results=bool(artifacts.leaves) or answer.took_locals,
        effects=tuple(Effect.from_json(effect) for effect in answer.effects),
        settings=answer.settings,
        inputs=answer.inputs,
        equivalences=decode(list[EquivalenceFinding], answer.equivalences, "equivalences"),
        seconds=answer.seconds,
        cpu_s=answer.cpu_s,
        longrepr=answer.longrepr,
        is_xfail=answer.wasxfail,
        where=answer.where,
        engine=answer.engine,
        interpreter=answer.interpreter,
        refused=[NotCompared(name, kind, reason, is_state=True) for name, kind, reason in answer.refused],
        reached=dict.fromkeys(Reached(kind, place) for kind, place in answer.reached),
    )


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
    ) -> None:
        self._parameters = (
            digest_parameters(item) if checks_parameters and COLLECTION_SEED_KEY in item.config.stash else {}
        )
        self.item = item
        self.settings = settings
        self.engine = engine
        self.echo: Echo | None = None
        self.identity = identify(item)
        self._place: Workplace = workplace_of(item.config)
        self._servers = self._place.servers_of(item.config, find_paths)
        self._servers.begin_test()
        self.shares_interpreters = engine == "fork" and needs_interpreter(settings.axes)
        self._processes = ChildProcesses()
        self._to_learn: Path | None = None
        self.folder = self._place.make_directory("test")

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
        recurs: bool = True,
    ) -> Answer:
        """Make one run, watched and probed as a diagnosis requests.

        Parameters
        ----------
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
        try:
            ended = self._spawn(job) if server is None else self._fork(job, server, needed or Condition())
            answer = None if ended.timed_out else read_answer(directory, job.nonce)
        except EngineUnusableError:
            raise
        except (OSError, ChildError) as error:
            raise ChildError(f"run {index} in a child process: {error}") from None
        if answer is None or ended.returncode < 0:
            raise ChildError(_describe_end(index, ended, directory))
        if job.coverage is not None:
            hand_over_coverage(self.item.config, directory)
        if server is not None and needed is not None:
            answer.engine, answer.interpreter = "fork", describe_interpreter(needed)
        return answer, self._read_artifacts(answer, directory, index)

    def learn(self, answer: ChildAnswer, *, at_once: bool, sources_alone: bool = False) -> None:
        """Have the fork servers import and read what a run imported and read: now, or when the test is over."""
        if self.engine != "fork":
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

    def _spawn(self, job: ChildJob) -> ChildExit:
        condition, config = job.as_condition(), self.item.config
        start = plan_start(config, "child", job.write(), arguments=arguments_of_pytest(config), condition=condition)
        return self._processes.run(
            [*prefix_of(condition), *start.command(Path(job.directory))],
            environment=environment_of_child(condition, f"{self._place.mark}.{job.nonce}"),
            directory=config.invocation_params.dir,
            timeout_s=self.settings.timeout_s,
            has_begun=(Path(job.directory) / BEGUN_NAME).exists,
            echo=self.echo,
        )

    def _fork(self, job: ChildJob, server: ForkServerClient, needed: Condition) -> ChildExit:
        try:
            return server.run(job.write(), timeout_s=self.settings.timeout_s, echo=self.echo)
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


def _describe_end(index: int, ended: ChildExit, directory: Path) -> str:
    # First pytest's own messages, as of a module that could not be imported, then the test's output.
    lines = [line for name in (TERMINAL_NAME, *CAPTURED_NAMES) for line in _last_lines(_read_end(directory / name))]
    shown = "\n".join(lines + _last_lines(ended.output)) or "    (it printed nothing)"
    return f"run {index} in a child process {ended.describe()} and left no result. Its last output:\n{shown}"


def _read_end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - KEPT_OUTPUT_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _last_lines(text: str) -> list[str]:
    return [f"    {line[:SHOWN_COLUMNS]}" for line in text.rstrip().splitlines()[-SHOWN_LINES:]]
