"""assert_thread_invariant: a result does not depend on the number of threads that compute it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_repro import seeding
from pytest_repro.axes import AxisContext, Effect, Machine, find_axis
from pytest_repro.capturing import capture_tree
from pytest_repro.comparing.judgements import judged
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.arguments import check_callable, check_count, check_counts
from pytest_repro.equivalences.callables import name_of
from pytest_repro.equivalences.experiment import Deviation, Equivalence, Experiment, Explanation, Trial, scratch_folder
from pytest_repro.equivalences.processes import Place, TaskReport, choose_place, run_task
from pytest_repro.errors import InconclusiveError, UsageError

_NAME = "assert_thread_invariant"


@judged
def assert_thread_invariant(
    func: Callable[[], Any],
    *,
    threads: Sequence[int] | None = None,
    repeats: int = 3,
    process: str | None = None,
    seed: int = 0,
    timeout_s: float = 600.0,
    tolerance: AnyTolerance = None,
    **bounds: Any,
) -> Equivalence:
    """Assert that a result is the same for every number of threads.

    Parameters
    ----------
    func : callable () -> tree
    threads : sequence of int, optional
        Numbers of threads, of which the first is the baseline. By default 1, 2, and the odd number above the cores:
        two threads hide a race, because a + b = b + a.
    repeats : int
        Runs with each number. A race differs from itself.
    process : {"fresh", "same"}, optional
        A new interpreter for each number, or this process with every pool set and read back. By default a new
        interpreter if it can import `func`.
    seed : int
        Seeds all generators before each run.
    timeout_s : float
        For each process [s].
    tolerance, max_ulp, rtol, atol, norm
        Differences to allow, by default none.

    Returns
    -------
    Equivalence
        Its notes list the libraries that used the number of threads.

    Raises
    ------
    DivergenceError
        The message distinguishes a race from sums that are split differently.
    InconclusiveError
        If the baseline differs when it is repeated, or no library used a number of threads.
    ChildError
        If a process fails or hangs.
    UsageError

    Examples
    --------
    >>> import numpy as np
    >>> def total():
    ...     return np.arange(10_000.0).sum()
    >>> print(assert_thread_invariant(total, threads=[1, 3], process="same").verdict)
    identical
    """
    __tracebackhide__ = True
    experiment = Experiment.begin(_NAME, tolerance, bounds)
    check_callable(_NAME, "func", func)
    check_count(_NAME, "repeats", repeats)
    given: Any = find_axis("threads").default_values(Machine.here()) if threads is None else threads
    counts = check_counts(_NAME, "threads", given, min_count=2)
    place = _choose_place(func, process)
    experiment.notes += [place.note] if place.note else []
    with scratch_folder("threads") as folder:
        reports = {count: _run(func, count, repeats, seed, place, folder, timeout_s) for count in counts}
        _require_effect(reports, experiment)
        (first, *again), *groups = (_read_trials(_describe(n), report, repeats) for n, report in reports.items())
    what, fix = f"the result with {first.varied}", "seed it, or reset the state that it keeps"
    for other in again:
        experiment.require_stable(first.artifacts, other.artifacts, what, fix)
    trials = [trial for group in groups for trial in group]

    def explain(deviations: Sequence[Deviation]) -> Explanation:
        if repeats == 1:  # nothing was repeated yet
            with scratch_folder("threads") as folder:
                report = _run(func, counts[0], repeats, seed, place, folder, timeout_s)
                experiment.require_stable(first.artifacts, report.read("run-0"), what, fix)
        return _explain(deviations, groups, experiment)

    return experiment.conclude(first, trials, explain)


def _read_trials(varied: str, report: TaskReport, repeats: int) -> list[Trial]:
    return [Trial(f"{varied}, run {k + 1}" if k else varied, report.read(f"run-{k}")) for k in range(repeats)]


def _choose_place(func: Callable[[], Any], process: str | None) -> Place:
    if process == "fork":
        raise UsageError(f"{_NAME}: process='fork' cannot be used: thread pools do not survive a fork")
    if process is not None:
        return choose_place(_NAME, {"func": func}, process)
    try:
        return choose_place(_NAME, {"func": func}, "fresh")
    except UsageError as reason:
        return Place("same", f"every pool was set in this process: {str(reason).partition(': ')[2]}")


def _run(
    func: Callable[[], Any], count: int, repeats: int, seed: int, place: Place, folder: Path, timeout_s: float
) -> TaskReport:
    arguments = {"func": func, "count": count, "repeats": repeats, "seed": seed}
    job = (run_counted, arguments, folder / str(count), f"{name_of(func)} with {_describe(count)}")
    return run_task(job, place, timeout_s=timeout_s, environment=find_axis("threads").environment(count))


def run_counted(report: TaskReport, *, func: Callable[[], Any], count: int, repeats: int, seed: int) -> None:
    """Run a function with a number of threads, and read back which libraries used it."""
    axis = find_axis("threads")
    with axis.apply(count, AxisContext(report.directory)), seeding.seeds_on_import(seed):
        for k in range(repeats):
            seeding.seed_everything(seed)
            report.write(f"run-{k}", capture_tree(func()))
        report.facts["effect"] = axis.verify(count).to_json()


def _require_effect(reports: Mapping[int, TaskReport], experiment: Experiment) -> None:
    """Note which libraries used the numbers of threads, and raise if some are loaded and none did."""
    __tracebackhide__ = True
    followed: dict[str, None] = {}
    for count, report in reports.items():
        effect = Effect.from_json(report.facts["effect"])
        problems = [f"{component} {reason}" for component, reason in effect.problems]
        if effect.observed and not effect.took:
            raise InconclusiveError(f"{_NAME}: no library used {_describe(count)}: {'; '.join(problems)}")
        experiment.notes += [f"{_describe(count)}: {problem}" for problem in problems]
        failed = {component for component, _ in effect.problems}
        followed |= {component.partition(" ")[0]: None for component in effect.observed if component not in failed}
    if followed:
        experiment.notes.append(f"numbers of threads read back from: {', '.join(followed)}")
    else:
        experiment.notes.append("no library with threads of its own was loaded; n_jobs is an argument of the code")


def _describe(count: int) -> str:
    return find_axis("threads").describe(count)


def _explain(deviations: Sequence[Deviation], groups: Sequence[Sequence[Trial]], experiment: Experiment) -> Explanation:
    for first, *others in groups:
        for other in others:
            if not experiment.compare(other.artifacts, first.artifacts, exactly=True):
                return Explanation.of("threads.race", f"{first.varied} against {other.varied}, with the same seed")
    evidence = [f"{deviations[0].describe()}; runs with the same number of threads are identical"]
    return Explanation.by_magnitude(deviations, evidence=evidence, rounding="threads.split", other="threads.amplified")
