"""assert_world_size_invariant: a distributed computation returns the same on any number of processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pytest_repro import seeding
from pytest_repro.axes import find_axis
from pytest_repro.axes.integers import count_of
from pytest_repro.capturing import capture_tree
from pytest_repro.comparing.judgements import judged
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.arguments import check_callable, check_choice, check_counts, require_package
from pytest_repro.equivalences.callables import accepts, name_of, why_not_importable
from pytest_repro.equivalences.experiment import Deviation, Equivalence, Experiment, Explanation, Trial, scratch_folder
from pytest_repro.equivalences.magnitude import find_integer_factor
from pytest_repro.equivalences.processes import RUN_JOB, TaskReport, run_command, write_job
from pytest_repro.errors import InconclusiveError, UsageError
from pytest_repro.model import Artifacts

_NAME = "assert_world_size_invariant"
_BACKENDS = ("gloo", "nccl")


@judged
def assert_world_size_invariant(
    func: Callable[..., Any],
    *,
    world_sizes: Sequence[int] = (1, 2),
    backend: str = "gloo",
    seed: int = 0,
    timeout_s: float = 300.0,
    tolerance: AnyTolerance = None,
    **bounds: Any,
) -> Equivalence:
    """Assert that a torch.distributed computation returns the same on 1, 2, ... processes of this machine.

    Parameters
    ----------
    func : callable () -> tree, or with parameters `rank` and `world_size`
        At module level, since the processes of torchrun import it. The process group is initialised when it is called.
        A rank that returns None is not compared.
    world_sizes : sequence of int
        Numbers of processes, of which the first is the baseline.
    backend : {"gloo", "nccl"}
    seed : int
        Seeds all generators of every rank with the same value.
    timeout_s : float
        For each world [s].
    tolerance, max_ulp, rtol, atol, norm
        Differences to allow between worlds. The default of none is met by exact arithmetic only: float32 needs
        ``norm=1e-6`` or so.

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message distinguishes replicas that drifted apart, a factor (a sum in place of a mean), and rounding.
    InconclusiveError
        If the baseline's world differs when it is repeated, or nothing was compared.
    MissingExtraError
        If torch is not installed.
    ChildError
        If a process fails or hangs.
    UsageError

    Examples
    --------
    In a module that the processes can import::

        def gradients(rank, world_size):
            return {"grad": average_of_all_ranks(rank, world_size)}

        def test_world_size():
            assert_world_size_invariant(gradients, world_sizes=[1, 2], norm=1e-6)
    """
    __tracebackhide__ = True
    experiment = Experiment.begin(_NAME, tolerance, bounds)
    check_callable(_NAME, "func", func)
    sizes = check_counts(_NAME, "world_sizes", world_sizes, min_count=2)
    check_choice(_NAME, "backend", backend, _BACKENDS)
    if reason := why_not_importable(func):
        raise UsageError(f"{_NAME}: torchrun's processes must import func, but it {reason}; move it to module level")
    require_package(_NAME, "torch", "torch")
    # One thread for each rank in every world: torchrun sets that for several ranks only, which would vary two things.
    experiment.notes.append("each process had one thread")
    with scratch_folder("world") as folder:

        def run(size: int, name: str) -> dict[int, Artifacts]:
            return _run_world(func, size, backend, seed, timeout_s, folder / name)

        with ThreadPoolExecutor(2) as pool:  # most of the time one process after another imports torch
            worlds = dict(zip(sizes, pool.map(run, sizes, map(str, sizes)), strict=True))
        first_rank, expected = next(iter(worlds[sizes[0]].items()))
        baseline = Trial(_describe(sizes[0]) + (f", rank {first_rank}" if sizes[0] > 1 else ""), expected)
        trials, replicas = [], []
        for size, ranks in worlds.items():
            leader = next(iter(ranks.values()))
            for rank, artifacts in ranks.items():
                if artifacts is not leader:
                    against = f"{_describe(size)}, rank {next(iter(ranks))}"
                    replicas.append(
                        Trial(f"{_describe(size)}, rank {rank}", artifacts, expected=leader, against=against)
                    )
                elif size != sizes[0]:
                    trials.append(Trial(f"{_describe(size)}, rank {rank}", artifacts))

        def explain(deviations: Sequence[Deviation]) -> Explanation:
            shown = deviations[0].trial
            differing = next(size for size in sizes if shown.varied.startswith(f"{_describe(size)},"))
            for size in dict.fromkeys((sizes[0], differing)):
                for rank, again in run(size, f"{size}-again").items():
                    what = f"the result of {_describe(size)}, rank {rank},"
                    experiment.require_stable(worlds[size][rank], again, what, "seed it")
            return _explain(deviations, replicas, sizes[0])

        return experiment.conclude(baseline, [*replicas, *trials], explain)


def _run_world(
    func: Callable[..., Any], size: int, backend: str, seed: int, timeout_s: float, folder: Path
) -> dict[int, Artifacts]:
    """Start a world by torchrun, and return the results by rank."""
    folder.mkdir()
    job = write_job(run_rank, {"func": func, "backend": backend, "seed": seed, "timeout_s": timeout_s}, folder)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    worker = [f"--nproc-per-node={size}", "--no-python", sys.executable, "-u", "-c", RUN_JOB, str(job), "ranked"]
    exit_ = run_command([*torchrun, *worker], find_axis("threads").environment(1), timeout_s)
    results = {}
    for rank in range(size):
        report = TaskReport(folder / f"rank-{rank}")
        what = f"{name_of(func)} on {_describe(size)}, rank {rank}"
        report.read_answer(what, f"left no answer; the launcher {exit_.describe()}\n{exit_.output}")
        if report.facts["returned"]:
            results[rank] = report.read("result")
    if not results:
        raise InconclusiveError(
            f"{_NAME}: on {_describe(size)} every rank returned None, so there was nothing to compare"
        )
    return results


def run_rank(report: TaskReport, *, func: Callable[..., Any], backend: str, seed: int, timeout_s: float) -> None:
    """Run one rank: join the world, seed, call the function, and store its result."""
    from pytest_repro.frameworks.torch_functions import joined_world

    with joined_world(backend, timeout_s) as (rank, world_size):
        known = {"rank": rank, "world_size": world_size}
        seeding.seed_everything(seed)
        returned = func(**{name: value for name, value in known.items() if accepts(func, name)})
        report.facts["returned"] = returned is not None
        if returned is not None:
            report.write("result", capture_tree(returned))


def _describe(size: int) -> str:
    return count_of(size, "process", "processes")


def _explain(deviations: Sequence[Deviation], replicas: Sequence[Trial], baseline_size: int) -> Explanation:
    apart = [d for d in deviations if any(d.trial is replica for replica in replicas)]
    if apart:
        return Explanation.of("world_size.replicas", f"compared with {apart[0].trial.against}, {apart[0].describe()}")
    shown = deviations[0]
    factor = find_integer_factor(shown.trial.artifacts, shown.expected)
    if factor is not None and not all(deviation.is_rounding for deviation in deviations):
        meaning = f"the result is {factor:.4g} times that of {_describe(baseline_size)}"
        return Explanation.of("world_size.scale", f"{shown.varied}, each artifact by the same factor", meaning=meaning)
    evidence = [f"{shown.describe()}; repeats with the same number of processes match"]
    return Explanation.by_magnitude(
        deviations, evidence=evidence, rounding="world_size.rounding", other="world_size.other"
    )
