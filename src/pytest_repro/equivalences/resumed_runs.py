"""Trainings of one resume assertion, as tasks: without a stop, with checkpoints, resumed, and with parts restored."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree, merge
from pytest_repro.capturing.digesting import digest_leaves
from pytest_repro.equivalences.draws import with_generators
from pytest_repro.equivalences.losses import find_losses
from pytest_repro.equivalences.lost_parts import (
    Findings,
    Judge,
    decode_policy,
    find_lost_parts,
    group_of,
)
from pytest_repro.equivalences.processes import TaskReport
from pytest_repro.equivalences.restoring import Twins
from pytest_repro.equivalences.training import (
    GENERATORS,
    Captured,
    Training,
    capture_background,
    capture_training,
    restore_part,
    split_parts,
)
from pytest_repro.errors import OutOfTimeError, UnsupportedTypeError
from pytest_repro.model import Artifacts, NotCompared

#: Processor time of the further runs for one checkpoint [s]. Parts that were not tried by then are only suspected.
EXPERIMENT_S = 20.0


def run_straight(report: TaskReport, *, steps: int, seed: int, **functions: Any) -> None:
    """Train all steps without saving."""
    training = Training(**functions)
    with seeding.seeds_on_import(seed):
        state = _start(training, seed)
        log = StepLog(training)
        for i in range(steps):
            state = log.run(state, i)
        log.finish(report)


def run_to_checkpoints(report: TaskReport, *, steps: int, seed: int, stops: list[int], **functions: Any) -> None:
    """Train to the last stop, save at each stop, and store the states before and after saving."""
    training = Training(**functions)
    with seeding.seeds_on_import(seed):
        state = _start(training, seed)
        log = StepLog(training)
        for i in range(stops[-1]):
            state = log.run(state, i)
            if i + 1 in stops:
                report.write(f"at-{i + 1}/state", log.captured.artifacts)
                background = capture_background(state)
                report.write(f"at-{i + 1}/background", background.artifacts)
                report.facts["background roles"] = dict(background.roles)
                folder = report.directory / f"at-{i + 1}" / "checkpoint"
                folder.mkdir(parents=True)
                training.write(state, folder / "checkpoint")
                report.write(f"at-{i + 1}/after", capture_training(state, training.state).artifacts)
                report.write(f"at-{i + 1}/background after", capture_background(state).artifacts)
        log.finish(report)


def run_resumed(report: TaskReport, *, steps: int, seed: int, stop: int, checkpoint: str, **functions: Any) -> None:
    """Start as a new process does, load, store the loaded state, and train the remaining steps."""
    training = Training(**functions)
    with seeding.seeds_on_import(seed):
        state = training.read(_start(training, seed), Path(checkpoint) / "checkpoint")
        report.write("loaded", capture_training(state, training.state).artifacts)
        report.write("background", capture_background(state).artifacts)
        log = StepLog(training)
        for i in range(stop, steps):
            state = log.run(state, i)
        log.finish(report)


def run_experiments(
    report: TaskReport,
    *,
    steps: int,
    seed: int,
    stop: int,
    checkpoint: str,
    straight: str,
    resumed: str,
    policy: str,
    **functions: Any,
) -> None:
    """Find the lost parts of one checkpoint that matter, and store the state that should have been loaded, and was."""
    with seeding.seeds_on_import(seed):
        bench = _Bench(Training(**functions), steps, seed, stop, Path(checkpoint) / "checkpoint")
        whole, loaded, references = bench.capture_both()
        report.write("whole", whole.artifacts)
        report.write("loaded", loaded.artifacts)
        roles = {**whole.roles, **loaded.roles}
        # A part inside another one is a part by itself.
        references |= {name: name for name in roles if "/" in name}
        losses = find_losses(loaded.artifacts, whole.artifacts, roles, references=references)
        lost = {loss.name: loss.role for loss in losses}
        for value in (*whole.artifacts.not_compared, *loaded.artifacts.not_compared):
            name = group_of(value.name, references)
            lost.setdefault(name, roles.get(name, name))
        compared = lost if bench.training.state is None else {n: role for n, role in lost.items() if GENERATORS in n}
        expected, actual = (TaskReport(Path(each)).read("final") for each in (straight, resumed))
        judge = Judge(expected, actual, decode_policy(policy), compared, references)
        found = find_lost_parts(lost, bench.train, judge)
        found.runs = bench.runs
        report.facts |= {"findings": found.to_json(), "lost": lost, "roles": roles, "references": references}


def read_findings(report: TaskReport) -> Findings:
    """Return the findings of :func:`run_experiments`."""
    return Findings(**report.facts["findings"])


class _Bench:
    """Resumes with some parts restored from a training that was not stopped."""

    def __init__(self, training: Training, steps: int, seed: int, stop: int, checkpoint: Path) -> None:
        self.training = training
        self.runs = 0
        self._steps, self._seed, self._stop, self._checkpoint = steps, seed, stop, checkpoint
        self._began = time.process_time()

    def capture_both(self) -> tuple[Captured, Captured, dict[str, str]]:
        """Capture the state at the stop and the state after loading, with the places where parts refer to others."""
        state = self._train_to_stop()[0]
        whole = capture_background(state)
        loaded_state = self._load()[0]
        references = Twins(split_parts(state), split_parts(loaded_state)).find_references()
        return whole, capture_background(loaded_state), references

    def train(self, restored: Collection[str]) -> Artifacts:
        """Resume with some parts restored, and return what the training ends with.

        Raises
        ------
        OutOfTimeError
            If the runs before it have used the processor time.
        """
        if time.process_time() - self._began > EXPERIMENT_S:
            raise OutOfTimeError
        self.runs += 1
        # Trained anew for each run, because what cannot be copied is taken from it.
        whole, generators = self._train_to_stop()
        state, loaded = self._load()
        twins = Twins(split_parts(whole), split_parts(state))
        for part in restored:
            if not part.startswith(f"{GENERATORS}/"):
                state = restore_part(state, part, twins, whole)
        names = {part.partition("/")[2] for part in restored if part.startswith(f"{GENERATORS}/")}
        seeding.restore_state(with_generators(loaded, generators, names), flags=False)
        log = StepLog(self.training)
        for i in range(self._stop, self._steps):
            state = log.run(state, i)
        return log.captured.artifacts

    def _train_to_stop(self) -> tuple[Any, seeding.State]:
        state = _start(self.training, self._seed)
        for i in range(self._stop):
            state, _ = self.training.run_step(state, i)
        return state, seeding.save_state()

    def _load(self) -> tuple[Any, seeding.State]:
        state = self.training.read(_start(self.training, self._seed), self._checkpoint)
        return state, seeding.save_state()


def _start(training: Training, seed: int) -> Any:
    seeding.seed_everything(seed)
    return training.make()


class StepLog:
    """Trains steps, and keeps digests of all values after each step, to find the first step that differs."""

    captured: Captured

    def __init__(self, training: Training) -> None:
        self._training = training
        self._digests: list[dict[str, str]] = []

    def run(self, state: Any, i: int) -> Any:
        """Train one step and return the new state."""
        state, returned = self._training.run_step(state, i)
        self.captured = capture_training(state, self._training.state)
        if returned is not None:
            try:
                given = capture_tree(returned, root="returned", top_level=False)
            except UnsupportedTypeError as problem:  # a trainer's step may return any object
                given = Artifacts(not_compared=[NotCompared("returned", type(returned).__name__, problem.reason)])
            merge(self.captured.artifacts, given, where=f"the value that step({i}) returned")
        self._digests.append({p: digest_leaves({p: leaf})[:16] for p, leaf in self.captured.artifacts.leaves.items()})
        return state

    def finish(self, report: TaskReport) -> None:
        """Store the state at the end, with the value that the last step returned, and all digests."""
        report.write("final", self.captured.artifacts)
        report.facts["digests"] = self._digests
        report.facts["roles"] = dict(self.captured.roles)
        report.facts["not_compared"] = list(self.captured.not_compared)
