"""assert_resume_equivalent: a training that was stopped and resumed ends where one that went straight through does."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree, merge
from pytest_repro.capturing.digesting import digest_leaves
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.callables import name_of
from pytest_repro.equivalences.findings import (
    Deviation,
    Equivalence,
    Explanation,
    Inquiry,
    Trial,
    check_callable,
    check_count,
    check_counts,
)
from pytest_repro.equivalences.losses import explain_resume
from pytest_repro.equivalences.processes import Job, TaskReport, choose_place, run_tasks
from pytest_repro.equivalences.training import Captured, Training, capture_background, capture_training
from pytest_repro.errors import UnstableError, UnsupportedTypeError, UsageError

_NAME = "assert_resume_equivalent"


def assert_resume_equivalent(
    make: Callable[[], Any],
    *,
    steps: int,
    step: Callable[[Any, int], Any] | None = None,
    save: Callable[[Any, Path], Any] | None = None,
    load: Callable[[Any, Path], Any] | None = None,
    state: Callable[[Any], Any] | None = None,
    resume_at: int | Sequence[int] | None = None,
    process: str | None = None,
    seed: int = 0,
    timeout_s: float = 600.0,
    tolerance: AnyTolerance = None,
    **bounds: Any,
) -> Equivalence:
    """Assert that training k steps, saving, and resuming in a new process gives what training straight through gives.

    Parameters
    ----------
    make : callable () -> trainer or state
        Starts a training as a new process does. All generators are seeded with `seed` before it.
    steps : int
        Steps of the whole training, at least 2.
    step, save, load : callable, optional
        ``step(state, i)``, ``save(state, path)``, ``load(state, path)``, where `make` returns a plain state (a dict,
        an estimator, a pytree); `step` and `load` return the new state, or None if it was changed in place. Without
        them the trainer's own ``step(i)``, ``save(path)``, ``load(path)`` are called. `path` is a
        :class:`~pathlib.Path` in an empty folder, to be written as a file or made a folder.
    state : callable (state) -> tree, optional
        What to compare; by default every attribute that can be, and the global generators always.
    resume_at : int or sequence of int, optional
        Steps after which to stop; by default two neighbours in the middle, since a lost scheduler does not
        show where the step is a multiple of its period, and no period above 1 divides both.
    process : {"fresh", "fork", "same"}, optional
        What stands for a new process; by default a new interpreter, where it can import the functions, else a
        fork, else a fresh object in this process. Which one it was is told.
    seed : int
    timeout_s : float
        For each process [s].
    tolerance, max_ulp, rtol, atol, norm
        What may differ at the end; nothing by default.

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message names what was lost between saving and loading, and the first step that differs.
    InconclusiveError
        If the training differs from one process to the next with nothing resumed.
    ChildError
        If a process fails or hangs; the user's own error where there is one.
    UsageError
    """
    __tracebackhide__ = True
    inquiry = Inquiry.begin(_NAME, tolerance, bounds)
    training = Training(make, step, save, load, state)
    for role, function in training.functions().items():
        if role == "make" or function is not None:
            check_callable(_NAME, role, function)
    stops = _choose_stops(check_count(_NAME, "steps", steps, least=2), resume_at)
    seeding.check_seed(seed)
    place = choose_place(_NAME, training.functions(), process)
    folder = Path(tempfile.mkdtemp(prefix="pytest-repro-resume-"))
    try:
        shared = {**training.functions(), "steps": steps, "seed": seed}
        jobs: list[Job] = [
            (run_straight, shared, folder / "straight", f"training straight through ({name_of(make)})"),
            (run_to_checkpoints, {**shared, "stops": list(stops)}, folder / "saving", "training and saving"),
        ]
        (straight, saving), place = run_tasks(jobs, place, timeout_s=timeout_s)
        _require_repeatable(straight, saving, stops[0])
        resumed_jobs: list[Job] = [
            (
                run_resumed,
                {**shared, "stop": stop, "checkpoint": str(saving.directory / f"at-{stop}" / "checkpoint")},
                folder / f"resumed-{stop}",
                f"resuming at step {stop}",
            )
            for stop in stops
        ]
        resumed, place = run_tasks(resumed_jobs, place, timeout_s=timeout_s)
        return _judge(inquiry, straight, saving, dict(zip(stops, resumed, strict=True)), place.note)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _choose_stops(steps: int, resume_at: int | Sequence[int] | None) -> tuple[int, ...]:
    if resume_at is None:
        first = max(1, (steps - 1) // 2)
        return tuple(stop for stop in (first, first + 1) if stop < steps)
    stops = tuple(sorted(check_counts(_NAME, "resume_at", resume_at)))
    if stops[-1] >= steps:
        raise UsageError(f"{_NAME}: resume_at={stops[-1]} leaves nothing to train of {steps} steps; stop before")
    return stops


def _judge(
    inquiry: Inquiry,
    straight: TaskReport,
    saving: TaskReport,
    resumed: dict[int, TaskReport],
    note: str,
) -> Equivalence:
    __tracebackhide__ = True
    inquiry.notes += [note] if note else []
    left_out: Any = straight.facts["left_out"]
    inquiry.notes += [f"not compared: {'; '.join(left_out)}"] if left_out else []
    stops = {f"resumed at step {stop}": stop for stop in resumed}
    trials = [Trial(varied, resumed[stop].read("final")) for varied, stop in stops.items()]

    def explain(deviations: Sequence[Deviation]) -> Explanation:
        stop = stops[deviations[0].varied]
        earlier = [other for other in resumed if other < stop]
        return explain_resume(stop, earlier, straight, saving, resumed[stop])

    return inquiry.conclude(Trial("training straight through", straight.read("final")), trials, explain)


def _require_repeatable(straight: TaskReport, saving: TaskReport, first_stop: int) -> None:
    """Raise if two processes that did the same so far differ: then resuming is not to blame."""
    __tracebackhide__ = True
    one: Any = straight.facts["digests"]
    other: Any = saving.facts["digests"]
    for i in range(first_stop):
        differing = sorted(path for path in {**one[i], **other[i]} if one[i].get(path) != other[i].get(path))
        if differing:
            raise UnstableError(
                f"{_NAME}: the training differs from one process to the next before anything was saved: step {i}, "
                f"{', '.join(differing[:5])}. Resuming cannot be judged: first make the training itself reproducible "
                '(@pytest.mark.reproducible(across=["process", "hash_seed"]) names the cause)'
            )


def run_straight(report: TaskReport, *, steps: int, seed: int, **functions: Any) -> None:
    """Train all steps, saving nothing."""
    training = Training(**functions)
    with seeding.seeds_on_import(seed):
        state = _start(training, seed)
        log = _StepLog(training)
        for i in range(steps):
            state = log.run(state, i)
        log.finish(report, state)


def run_to_checkpoints(report: TaskReport, *, steps: int, seed: int, stops: list[int], **functions: Any) -> None:
    """Train to the last stop, saving at each; keep the state before and after saving."""
    training = Training(**functions)
    with seeding.seeds_on_import(seed):
        state = _start(training, seed)
        log = _StepLog(training)
        for i in range(stops[-1]):
            state = log.run(state, i)
            if i + 1 in stops:
                report.write(f"at-{i + 1}/state", log.captured.artifacts)
                background = capture_background(state)
                report.write(f"at-{i + 1}/background", background.artifacts)
                report.facts["background parts"] = dict(background.parts)
                folder = report.directory / f"at-{i + 1}" / "checkpoint"
                folder.mkdir(parents=True)
                training.write(state, folder / "checkpoint")
                report.write(f"at-{i + 1}/after", capture_training(state, training.state).artifacts)
                report.write(f"at-{i + 1}/background after", capture_background(state).artifacts)
        log.finish(report, state)


def run_resumed(report: TaskReport, *, steps: int, seed: int, stop: int, checkpoint: str, **functions: Any) -> None:
    """Start as a new process does, load, keep the state, train the rest."""
    training = Training(**functions)
    with seeding.seeds_on_import(seed):
        state = training.read(_start(training, seed), Path(checkpoint) / "checkpoint")
        loaded = capture_training(state, training.state)
        report.write("loaded", loaded.artifacts)
        report.write("background", capture_background(state).artifacts)
        log = _StepLog(training)
        for i in range(stop, steps):
            state = log.run(state, i)
        log.finish(report, state)


def _start(training: Training, seed: int) -> Any:
    seeding.seed_everything(seed)
    return training.make()


class _StepLog:
    """Trains steps, and keeps a digest of each value after each: the first that differs is told."""

    captured: Captured

    def __init__(self, training: Training) -> None:
        self._training = training
        self._digests: list[dict[str, str]] = []

    def run(self, state: Any, i: int) -> Any:
        """Train a step."""
        state, returned = self._training.run_step(state, i)
        self.captured = capture_training(state, self._training.state)
        if returned is not None:
            with contextlib.suppress(UnsupportedTypeError):  # whatever a trainer's step returns for its own ends
                merge(
                    self.captured.artifacts,
                    capture_tree(returned, root="returned", top_level=False),
                    where=f"what step({i}) returned",
                )
        self._digests.append({p: digest_leaves({p: leaf})[:16] for p, leaf in self.captured.artifacts.leaves.items()})
        return state

    def finish(self, report: TaskReport, state: Any) -> None:
        """Keep the state at the end, with what the last step returned, and all digests."""
        report.write("final", self.captured.artifacts)
        report.facts["digests"] = list(self._digests)  # type: ignore[arg-type]
        report.facts["parts"] = dict(self.captured.parts)
        report.facts["left_out"] = list(self.captured.left_out)
