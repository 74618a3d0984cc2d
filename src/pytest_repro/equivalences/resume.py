"""assert_resume_equivalent: a training that is stopped and resumed ends like one that is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree, merge
from pytest_repro.capturing.digesting import digest_leaves
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.arguments import check_callable, check_count, check_counts
from pytest_repro.equivalences.callables import name_of
from pytest_repro.equivalences.experiment import Deviation, Equivalence, Experiment, Explanation, Trial, scratch_folder
from pytest_repro.equivalences.losses import explain_resume
from pytest_repro.equivalences.processes import Job, TaskReport, choose_place, run_tasks
from pytest_repro.equivalences.training import Captured, Training, capture_background, capture_training
from pytest_repro.errors import UnstableError, UnsupportedTypeError, UsageError
from pytest_repro.model import Artifacts, NotCompared

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
    """Assert that training, saving and resuming in a new process ends like training without a stop.

    Parameters
    ----------
    make : callable () -> trainer or state
        Starts a training as a new process does. All generators are seeded with `seed` before it.
    steps : int
        Steps of the whole training, at least 2.
    step, save, load : callable, optional
        ``step(state, i)``, ``save(state, path)``, ``load(state, path)``, if `make` returns a plain state (a dict,
        an estimator, a pytree). `step` and `load` return the new state, or None if it was changed in place. Without
        them the trainer's own ``step(i)``, ``save(path)``, ``load(path)`` are called. `path` is a
        :class:`~pathlib.Path` in an empty folder, where a file or a folder may be written.
    state : callable (state) -> tree, optional
        Selects what to compare, by default every attribute that can be compared. The global generators are always
        compared.
    resume_at : int or sequence of int, optional
        Steps after which to stop. By default two neighbours in the middle: a lost scheduler does not show if the step
        is a multiple of its period, and no period above 1 divides both.
    process : {"fresh", "fork", "same"}, optional
        Kind of the new process. By default a new interpreter if it can import the functions, else a fork, else a new
        object in this process. The notes of the result name it, unless it is a new interpreter.
    seed : int
    timeout_s : float
        For each process [s].
    tolerance, max_ulp, rtol, atol, norm
        Differences to allow at the end, by default none.

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message names what was lost between saving and loading, and the first step that differs.
    InconclusiveError
        If two trainings differ before the first stop, or nothing was compared.
    ChildError
        If a process fails or hangs. It contains the traceback of an error in the user's code.
    UsageError
    """
    __tracebackhide__ = True
    experiment = Experiment.begin(_NAME, tolerance, bounds)
    training = Training(make, step, save, load, state)
    for role, function in training.functions().items():
        if role == "make" or function is not None:
            check_callable(_NAME, role, function)
    stops = _choose_stops(check_count(_NAME, "steps", steps, least=2), resume_at)
    seeding.check_seed(seed)
    place = choose_place(_NAME, training.functions(), process)
    with scratch_folder("resume") as folder:
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
        experiment.notes += [place.note] if place.note else []
        return _judge(experiment, straight, saving, dict(zip(stops, resumed, strict=True)))


def _choose_stops(steps: int, resume_at: int | Sequence[int] | None) -> tuple[int, ...]:
    if resume_at is None:
        first = max(1, (steps - 1) // 2)
        return tuple(stop for stop in (first, first + 1) if stop < steps)
    stops = tuple(sorted(check_counts(_NAME, "resume_at", resume_at)))
    if stops[-1] >= steps:
        raise UsageError(f"{_NAME}: resume_at={stops[-1]} leaves nothing to train of {steps} steps; stop earlier")
    return stops


def _judge(
    experiment: Experiment, straight: TaskReport, saving: TaskReport, resumed: Mapping[int, TaskReport]
) -> Equivalence:
    __tracebackhide__ = True
    stops = {f"resumed at step {stop}": stop for stop in resumed}

    def explain(deviations: Sequence[Deviation]) -> Explanation:
        stop = stops[deviations[0].varied]
        earlier = [other for other in resumed if other < stop]
        return explain_resume(stop, earlier, straight, saving, resumed[stop])

    trials = [Trial(varied, resumed[stop].read("final")) for varied, stop in stops.items()]
    return experiment.conclude(Trial("training straight through", straight.read("final")), trials, explain)


def _require_repeatable(straight: TaskReport, saving: TaskReport, first_stop: int) -> None:
    """Raise if the two trainings differ before the first stop, since then resuming is not to blame."""
    __tracebackhide__ = True
    for i in range(first_stop):
        one, other = straight.facts["digests"][i], saving.facts["digests"][i]
        differing = sorted(path for path in {**one, **other} if one.get(path) != other.get(path))
        if differing:
            raise UnstableError(
                f"{_NAME}: the training differs from one process to the next before anything was saved: step {i}, "
                f"{', '.join(differing[:5])}. Make the training itself reproducible before you test resuming "
                '(@pytest.mark.reproducible(across=["process", "hash_seed"]) names the cause)'
            )


def run_straight(report: TaskReport, *, steps: int, seed: int, **functions: Any) -> None:
    """Train all steps without saving."""
    training = Training(**functions)
    with seeding.seeds_on_import(seed):
        state = _start(training, seed)
        log = _StepLog(training)
        for i in range(steps):
            state = log.run(state, i)
        log.finish(report)


def run_to_checkpoints(report: TaskReport, *, steps: int, seed: int, stops: list[int], **functions: Any) -> None:
    """Train to the last stop, save at each stop, and store the states before and after saving."""
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
        log = _StepLog(training)
        for i in range(stop, steps):
            state = log.run(state, i)
        log.finish(report)


def _start(training: Training, seed: int) -> Any:
    seeding.seed_everything(seed)
    return training.make()


class _StepLog:
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
