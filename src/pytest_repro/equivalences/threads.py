"""assert_thread_invariant: a result does not depend on how many threads compute it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_repro import seeding
from pytest_repro.axes import AxisContext, Effect, Machine, find_axis
from pytest_repro.capturing import capture_tree
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
from pytest_repro.equivalences.magnitude import is_rounding, tell_distance
from pytest_repro.equivalences.processes import Place, TaskReport, choose_place, run_task
from pytest_repro.errors import InconclusiveError, UsageError

_NAME = "assert_thread_invariant"


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
        Numbers of threads, the first is the baseline; by default 1, 2, and the odd number above the cores: two
        summands commute, so two threads hide a race.
    repeats : int
        Runs with each number: a race differs from itself.
    process : {"fresh", "same"}, optional
        A new interpreter for each number, or this process with every pool set and read back; by default a new
        interpreter where it can import `func`.
    seed : int
        Seeds all generators before each run.
    timeout_s : float
        For each process [s].
    tolerance, max_ulp, rtol, atol, norm
        What may differ; nothing by default.

    Returns
    -------
    Equivalence
        Its notes tell which libraries followed.

    Raises
    ------
    DivergenceError
        The message tells a race from sums split otherwise.
    InconclusiveError
        If the baseline differs from itself, or no library followed a number of threads.
    ChildError, UsageError
    """
    __tracebackhide__ = True
    inquiry = Inquiry.begin(_NAME, tolerance, bounds)
    check_callable(_NAME, "func", func)
    check_count(_NAME, "repeats", repeats)
    axis = find_axis("threads")
    given: Any = axis.default_values(Machine.here()) if threads is None else threads
    counts = check_counts(_NAME, "threads", given)
    if len(counts) < 2:
        raise UsageError(f"{_NAME}: threads={given!r} is one number only, so nothing would be varied")
    place = _choose_place(func, process)
    inquiry.notes += [place.note] if place.note else []
    folder = Path(tempfile.mkdtemp(prefix="pytest-repro-threads-"))
    try:
        reports = {count: _run(func, count, repeats, seed, place, folder, timeout_s) for count in counts}
        _require_effect(reports, inquiry)
        runs = {count: [report.read(f"run-{k}") for k in range(repeats)] for count, report in reports.items()}
        first, *again = runs[counts[0]]
        for other in again:
            inquiry.require_stable(first, other, f"the result with {_tell(counts[0])}", "seed it, or undo its state")
        baseline = Trial(_tell(counts[0]), first)
        trials = [
            Trial(_tell(count) + (f", run {k + 1}" if k else ""), result)
            for count in counts[1:]
            for k, result in enumerate(runs[count])
        ]
        return inquiry.conclude(baseline, trials, lambda found: _explain(found, trials, inquiry))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    environment = find_axis("threads").environment(count)
    what = f"{name_of(func)} with {_tell(count)}"
    target = folder / str(count)
    return run_task(run_counted, arguments, place, target, timeout_s=timeout_s, environment=environment, what=what)


def run_counted(report: TaskReport, *, func: Callable[[], Any], count: int, repeats: int, seed: int) -> None:
    """Run a function with a number of threads, and read back which libraries had it."""
    axis = find_axis("threads")
    with axis.apply(count, AxisContext(report.directory)), seeding.seeds_on_import(seed):
        for k in range(repeats):
            seeding.seed_everything(seed)
            report.write(f"run-{k}", capture_tree(func()))
        report.facts["effect"] = axis.verify(count).to_json()


def _require_effect(reports: dict[int, TaskReport], inquiry: Inquiry) -> None:
    """Tell what followed; raise where libraries were there and none did."""
    __tracebackhide__ = True
    followed: dict[str, None] = {}
    for count, report in reports.items():
        data: Any = report.facts["effect"]
        effect = Effect.from_json(data)
        if effect.observed and not effect.took:
            told = "; ".join(f"{component} {reason}" for component, reason in effect.problems)
            raise InconclusiveError(f"{_NAME}: {_tell(count)} could not be had: {told}")
        inquiry.notes += [f"{_tell(count)}: {component} {reason}" for component, reason in effect.problems]
        failed = {component for component, _ in effect.problems}
        followed.update(
            dict.fromkeys(component.partition(" ")[0] for component in effect.observed if component not in failed)
        )
    if followed:
        inquiry.notes.append(f"followed, as read back: {', '.join(followed)}")
    else:
        inquiry.notes.append("no library with threads of its own was loaded; n_jobs is an argument of the code")


def _tell(count: int) -> str:
    return f"{count} thread{'' if count == 1 else 's'}"


def _explain(deviations: Sequence[Deviation], trials: Sequence[Trial], inquiry: Inquiry) -> Explanation:
    for trial in trials:
        group = [other for other in trials if other.varied.partition(",")[0] == trial.varied.partition(",")[0]]
        distinct = [other for other in group if not inquiry.compare(other.artifacts, group[0].artifacts, exactly=True)]
        if distinct:
            return Explanation(
                "threads.race: runs with one and the same number of threads differ",
                (f"{group[0].varied} against {distinct[0].varied}, seeded alike",),
                "use deterministic kernels (pytest_repro.deterministic()), one thread, or a sum in a fixed order",
            )
    distance = f"{deviations[0].varied}: {tell_distance(deviations[0].comparison)}; repeats with one number agree"
    if all(is_rounding(deviation.comparison) for deviation in deviations):
        return Explanation(
            "threads.split: sums are split among threads, and so round differently",
            (distance,),
            "fix the number of threads where results are compared, or allow it (norm=1e-6 for float32)",
        )
    return Explanation(
        "threads.amplified: the number of threads changes the result by more than the rounding of one sum",
        (distance,),
        "an iteration, a tie or a sign amplified it: fix the number of threads, or a generator for each task",
    )
