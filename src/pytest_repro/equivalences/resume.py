"""assert_resume_equivalent: a training that is stopped and resumed ends like one that is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_repro import seeding
from pytest_repro.comparing.judgements import judged
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.arguments import check_callable, check_count, check_counts
from pytest_repro.equivalences.callables import name_of
from pytest_repro.equivalences.experiment import Deviation, Equivalence, Experiment, Explanation, Trial, scratch_folder
from pytest_repro.equivalences.losses import Resumption, explain_resume
from pytest_repro.equivalences.lost_parts import Findings, encode_policy
from pytest_repro.equivalences.processes import Job, Place, TaskReport, choose_place, run_task, run_tasks
from pytest_repro.equivalences.resumed_runs import (
    read_findings,
    run_experiments,
    run_resumed,
    run_straight,
    run_to_checkpoints,
)
from pytest_repro.equivalences.training import Training
from pytest_repro.errors import UnstableError, UsageError

_NAME = "assert_resume_equivalent"


@judged
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

    Examples
    --------
    >>> import json
    >>> class Trainer:
    ...     def __init__(self):
    ...         self.total = 0.0
    ...     def step(self, i):
    ...         self.total = 0.9 * self.total + i
    ...     def save(self, path):
    ...         path.write_text(json.dumps(self.total))
    ...     def load(self, path):
    ...         self.total = json.loads(path.read_text())
    >>> print(assert_resume_equivalent(Trainer, steps=4, process="same").verdict)
    identical
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
        reports = dict(zip(stops, resumed, strict=True))

        def investigate(stop: int) -> Resumption:
            """Find out which lost parts of one checkpoint matter."""
            given = {
                **shared,
                "stop": stop,
                "checkpoint": str(saving.directory / f"at-{stop}" / "checkpoint"),
                "straight": str(straight.directory),
                "resumed": str(reports[stop].directory),
                "policy": encode_policy(experiment.policy),
            }
            job = (run_experiments, given, folder / f"restored-{stop}", f"resuming at step {stop} with parts restored")
            earlier = [other for other in reports if other < stop]
            found = Resumption(stop, earlier, straight, saving, reports[stop])
            return _try_parts(found, job, place, timeout_s)

        def repeat() -> None:
            """Repeat the training, which must end the same."""
            again = (run_straight, shared, folder / "again", f"training straight through again ({name_of(make)})")
            _require_repeatable(straight, run_task(again, place, timeout_s=timeout_s), steps)

        return _judge(experiment, straight, reports, repeat, investigate)


def _choose_stops(steps: int, resume_at: int | Sequence[int] | None) -> tuple[int, ...]:
    if resume_at is None:
        first = max(1, (steps - 1) // 2)
        return tuple(stop for stop in (first, first + 1) if stop < steps)
    stops = tuple(sorted(check_counts(_NAME, "resume_at", resume_at)))
    if stops[-1] >= steps:
        raise UsageError(f"{_NAME}: resume_at={stops[-1]} leaves nothing to train of {steps} steps; stop earlier")
    return stops


def _try_parts(found: Resumption, job: Job, place: Place, timeout_s: float) -> Resumption:
    """Make the further runs. If they fail, the lost parts are only suspected."""
    try:
        report = run_task(job, place, timeout_s=timeout_s)
    except Exception as error:
        problem = f"the runs with parts restored failed: {type(error).__name__}: {str(error).splitlines()[-1]}"
        return replace(found, findings=Findings(problem=problem[:300]))
    return replace(found, tried=report, findings=read_findings(report))


def _judge(
    experiment: Experiment,
    straight: TaskReport,
    resumed: Mapping[int, TaskReport],
    repeat: Callable[[], None],
    investigate: Callable[[int], Resumption],
) -> Equivalence:
    __tracebackhide__ = True
    stops = {f"resumed at step {stop}": stop for stop in resumed}

    def explain(deviations: Sequence[Deviation]) -> Explanation:
        # A lost counter has no effect at a stop that is a multiple of its period, so a later stop may show more.
        found: list[Resumption] = []
        for deviation in deviations:
            found.append(investigate(stops[deviation.varied]))
            if found[-1].shows_an_effect:
                return explain_resume(found[-1])
        if not any(each.findings.shown for each in found):
            repeat()  # a training that ended as it should with parts restored has been repeated by that
        return explain_resume(found[0])

    trials = [Trial(varied, resumed[stop].read("final")) for varied, stop in stops.items()]
    return experiment.conclude(Trial("training straight through", straight.read("final")), trials, explain)


def _require_repeatable(straight: TaskReport, again: TaskReport, steps: int) -> None:
    """Raise if two trainings differ in some of their first steps, since then resuming is not to blame."""
    __tracebackhide__ = True
    for i in range(steps):
        one, other = straight.facts["digests"][i], again.facts["digests"][i]
        differing = sorted(path for path in {**one, **other} if one.get(path) != other.get(path))
        if differing:
            raise UnstableError(
                f"{_NAME}: the training differs from one process to the next without a stop: step {i}, "
                f"{', '.join(differing[:5])}. Make the training itself reproducible before you test resuming "
                '(@pytest.mark.reproducible(across=["process", "hash_seed"]) names the cause)'
            )
