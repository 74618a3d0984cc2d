"""Generators of worker processes that this process' seeds do not reach: their tasks are run in threads of this one."""

from __future__ import annotations

import concurrent.futures
import multiprocessing.pool
import sys
from typing import Any, ClassVar

from pytest_repro.sources.base import Source
from pytest_repro.sources.one_task import uses_joblib_threads
from pytest_repro.sources.patching import SourcePatches


class InlineTasks(Source):
    """Tasks of worker processes, which run here in order and one at a time when they are pinned."""

    name = "inline"
    label = "worker processes"
    pinned = "with the workers' tasks run in one process, whose generators are seeded"
    code = "rng.worker_unseeded"
    kinds: ClassVar[tuple[str, ...]] = ("process", "loader")
    includes: ClassVar[tuple[str, ...]] = ("order", "serial")
    # Starting processes is what takes the time of such runs.
    is_asked_first = True
    matters_in_libraries = True

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        is_inline = self.name in pins
        patches.call_adapter("torch_sources.patch_loader_workers", is_inline=is_inline)
        if is_inline:
            _patch_pools(patches)
            _patch_joblib(patches)


def _patch_pools(patches: SourcePatches) -> None:
    def make_pool(processes: Any = None, initializer: Any = None, initargs: Any = (), *rest: Any, **more: Any) -> Any:
        return multiprocessing.pool.ThreadPool(1, initializer, initargs)

    def make_executor(
        max_workers: Any = None, mp_context: Any = None, initializer: Any = None, initargs: Any = (), **more: Any
    ) -> Any:
        return concurrent.futures.ThreadPoolExecutor(1, initializer=initializer, initargs=initargs)

    def make_pool_of_context(self: Any, *args: Any, **kwargs: Any) -> Any:
        return make_pool(*args, **kwargs)

    patches.swap(concurrent.futures.ProcessPoolExecutor, make_executor)
    patches.put(multiprocessing, "Pool", make_pool)
    contexts = [multiprocessing.get_context(method) for method in (None, *multiprocessing.get_all_start_methods())]
    for kind in {type(context) for context in contexts}:
        patches.put(kind, "Pool", make_pool_of_context)


def _patch_joblib(patches: SourcePatches) -> None:
    joblib: Any = sys.modules.get("joblib")
    if joblib is None:
        return
    real = joblib.Parallel.__init__

    def init(self: Any, n_jobs: Any = None, *args: Any, **kwargs: Any) -> None:
        real(self, n_jobs if uses_joblib_threads(kwargs) else 1, *args, **kwargs)

    patches.put(joblib.Parallel, "__init__", init)
