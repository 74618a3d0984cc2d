"""assert_world_size_invariant: a distributed computation gives the same result on any number of processes."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pytest_repro import seeding
from pytest_repro.axes import find_axis
from pytest_repro.capturing import capture_tree
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.engines.spawn import ChildProcesses
from pytest_repro.equivalences.callables import accepts, name_of, why_not_importable
from pytest_repro.equivalences.findings import (
    Deviation,
    Equivalence,
    Explanation,
    Inquiry,
    Trial,
    check_callable,
    check_counts,
)
from pytest_repro.equivalences.magnitude import find_whole_factor, is_rounding, tell_distance
from pytest_repro.equivalences.processes import ANSWER, TaskReport, child_environment, write_job
from pytest_repro.errors import ChildError, InconclusiveError, MissingExtraError, UsageError
from pytest_repro.model import Artifacts

_NAME = "assert_world_size_invariant"
_BACKENDS = ("gloo", "nccl")


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
    """Assert that a torch.distributed computation gives the same on 1, 2, ... processes of this machine.

    Parameters
    ----------
    func : callable () -> tree, or with parameters `rank` and `world_size`
        At module level: torchrun's processes import it. The process group is there when it is called. A rank that
        returns None has nothing to compare.
    world_sizes : sequence of int
        Numbers of processes; the first is the baseline.
    backend : {"gloo", "nccl"}
    seed : int
        Seeds all generators of every rank alike.
    timeout_s : float
        For each world [s].
    tolerance, max_ulp, rtol, atol, norm
        What may differ between worlds; nothing by default, which only exact arithmetic passes: float32 needs
        ``norm=1e-6`` or so.

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message tells replicas that drifted apart, a factor (a sum in place of a mean), and rounding apart.
    InconclusiveError
        If the baseline's world differs from itself, or nothing was compared.
    MissingExtraError
        If torch is not installed.
    ChildError, UsageError
    """
    __tracebackhide__ = True
    inquiry = Inquiry.begin(_NAME, tolerance, bounds)
    check_callable(_NAME, "func", func)
    sizes = check_counts(_NAME, "world_sizes", world_sizes)
    if len(sizes) < 2:
        raise UsageError(f"{_NAME}: world_sizes={world_sizes!r} is one number only, so nothing would be varied")
    if backend not in _BACKENDS:
        raise UsageError(f"{_NAME}: backend must be one of {', '.join(map(repr, _BACKENDS))}, got {backend!r}")
    if reason := why_not_importable(func):
        raise UsageError(f"{_NAME}: torchrun's processes must import func, but it {reason}; move it to module level")
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(f"{_NAME} needs torch: pip install 'pytest-repro[torch]'")
    # One thread for each rank, alone or not: torchrun sets that for several ranks only, which would vary two things.
    inquiry.notes.append("each process had one thread")
    folder = Path(tempfile.mkdtemp(prefix="pytest-repro-world-"))
    try:
        with ThreadPoolExecutor(2) as pool:  # most of the time torch is being imported, by one process after another
            started = [pool.submit(_run_world, func, n, backend, seed, timeout_s, folder / str(n)) for n in sizes]
            worlds = {n: future.result() for n, future in zip(sizes, started, strict=True)}
        first_rank, expected = next(iter(worlds[sizes[0]].items()))
        baseline = Trial(_tell(sizes[0]) + (f", rank {first_rank}" if sizes[0] > 1 else ""), expected)
        trials, replicas = [], []
        for size, ranks in worlds.items():
            leader = next(iter(ranks.values()))
            for rank, artifacts in ranks.items():
                if artifacts is not leader:
                    replicas.append(Trial(f"{_tell(size)}, rank {rank}", artifacts, expected=leader))
                elif size != sizes[0]:
                    trials.append(Trial(f"{_tell(size)}, rank {rank}", artifacts))

        def explain(deviations: Sequence[Deviation]) -> Explanation:
            again = _run_world(func, sizes[0], backend, seed, timeout_s, folder / "again")
            inquiry.require_stable(expected, next(iter(again.values())), f"the result of {_tell(sizes[0])}", "seed it")
            return _explain(deviations, replicas, expected)

        return inquiry.conclude(baseline, [*replicas, *trials], explain)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run_world(
    func: Callable[..., Any], size: int, backend: str, seed: int, timeout_s: float, folder: Path
) -> dict[int, Artifacts]:
    """Start a world by torchrun's own launcher; return what each rank gave."""
    folder.mkdir()
    job = write_job(run_rank, {"func": func, "backend": backend, "seed": seed, "timeout_s": timeout_s}, folder)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    command = [*launcher, f"--nproc-per-node={size}", "-m", "pytest_repro.equivalences.child", str(job), "ranked"]
    environment = child_environment(find_axis("threads").environment(1))
    done = ChildProcesses().run(command, environment=environment, directory=Path.cwd(), timeout_s=timeout_s)
    results = {}
    for rank in range(size):
        report = TaskReport(folder / f"rank-{rank}")
        facts = _read_rank(
            report, f"{name_of(func)} on {_tell(size)}, rank {rank}", done.describe() + "\n" + done.output
        )
        if facts["returned"]:
            results[rank] = report.read("result")
    if not results:
        raise InconclusiveError(f"{_NAME}: on {_tell(size)} every rank returned None, so there was nothing to compare")
    return results


def _read_rank(report: TaskReport, what: str, otherwise: str) -> Any:
    try:
        answer = json.loads((report.directory / ANSWER).read_text(encoding="utf-8"))
    except OSError:
        raise ChildError(f"{what}: left no answer; the launcher {otherwise}") from None
    if answer["error"]:
        raise ChildError(f"{what} failed:\n{answer['error']}")
    return answer["facts"]


def run_rank(report: TaskReport, *, func: Callable[..., Any], backend: str, seed: int, timeout_s: float) -> None:
    """Run one rank: join the world, seed, call, keep what it returned."""
    from pytest_repro.frameworks.torch_functions import joined_world

    with joined_world(backend, timeout_s) as (rank, world_size):
        known = {"rank": rank, "world_size": world_size}
        seeding.seed_everything(seed)
        returned = func(**{name: value for name, value in known.items() if accepts(func, name)})
        report.facts["returned"] = returned is not None
        if returned is not None:
            report.write("result", capture_tree(returned))


def _tell(size: int) -> str:
    return f"{size} process{'' if size == 1 else 'es'}"


def _explain(deviations: Sequence[Deviation], replicas: Sequence[Trial], expected: Artifacts) -> Explanation:
    apart = [d for d in deviations if any(d.trial is replica for replica in replicas)]
    if apart:
        return Explanation(
            "world_size.replicas: the ranks of one world do not agree with each other",
            (f"{apart[0].varied} against the first rank: {tell_distance(apart[0].comparison)}",),
            "reduce gradients over all ranks before each step, and broadcast weights and buffers once at the start",
        )
    shown = deviations[0]
    distance = f"{shown.varied}: {tell_distance(shown.comparison)}; a repeat of the baseline's world agrees"
    if all(is_rounding(deviation.comparison) for deviation in deviations):
        return Explanation(
            "world_size.rounding: sums over ranks round differently",
            (distance,),
            "allow it (norm=1e-6 for float32), or reduce in float64",
        )
    factor = find_whole_factor(shown.trial.artifacts, expected)
    if factor is not None:
        return Explanation(
            f"world_size.scale: the result is {factor:.4g} times that of {_tell(1)}",
            (f"{shown.varied}, each artifact by the same factor",),
            "divide a sum over ranks by their number (ReduceOp.AVG), once, and weight shards of unequal size",
        )
    return Explanation(
        "world_size.other: the result depends on the number of processes by more than rounding",
        (distance,),
        "look for shards of unequal size, a sampler that pads (DistributedSampler), BatchNorm for each rank, dropout "
        "drawn for each rank, and learning rates scaled by the number of ranks",
    )
