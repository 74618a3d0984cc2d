"""Concurrency made orderly: results in the order of the tasks, one task at a time, or all in this process."""

from __future__ import annotations

import concurrent.futures
import functools
import importlib
import multiprocessing.pool
import multiprocessing.process
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pytest_repro.axes.native import find_pools
from pytest_repro.axes.patches import replace_everywhere
from pytest_repro.sources.compilers import COMPILERS, patch_compilers
from pytest_repro.sources.completion import patch_order
from pytest_repro.sources.gates import patch_gates
from pytest_repro.sources.loading import once_loaded
from pytest_repro.sources.sightings import note
from pytest_repro.sources.turns import PATIENCE_S, Starts, patch_queues


@contextmanager
def orderly(pins: frozenset[str]) -> Iterator[None]:
    """Note what runs at the same time; with "order", "serial", "inline" or "threads" in `pins`, make it orderly.

    ``order``: results come in the order of the tasks. ``serial``: a task starts when the one before has ended.
    ``inline``: tasks of processes run in threads of this one, so that its generators are theirs. ``threads``: one
    thread for every numerical library.
    """
    with ExitStack() as stack:

        def put(owner: Any, name: str, value: Any) -> None:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)

        is_serial = bool(pins & {"serial", "inline"})
        patch_order(stack, put, in_order=bool(pins & {"order", "serial", "inline"}))
        _patch_starts(put, is_serial)
        if is_serial:
            patch_queues(put)
            patch_gates(put)
        if "inline" in pins:
            _patch_processes(stack, put)
        _patch_joblib(stack, is_serial=is_serial, with_processes="inline" in pins)

        def patch_torch() -> None:
            from pytest_repro.frameworks import torch_sources

            in_order = bool(pins & {"order", "serial", "inline"})
            torch_sources.patch_loaders(put, note, in_order=in_order, inline="inline" in pins)
            torch_sources.note_calls(put, note, pins)
            if "threads" in pins:
                torch_sources.pin_threads(put)

        stack.enter_context(once_loaded("torch", patch_torch))

        def patch_jax() -> None:
            from pytest_repro.frameworks import jax_sources

            jax_sources.note_precision(put, note, is_left_out="precision" in pins)

        stack.enter_context(once_loaded("jax", patch_jax))
        for framework in COMPILERS:
            patch = functools.partial(patch_compilers, framework, put, leaves_out="compile" in pins)
            stack.enter_context(once_loaded(framework, patch))
        if "threads" in pins:
            _use_one_thread(stack, put)
        yield


def _patch_starts(put: Callable[[Any, str, Any], None], is_serial: bool) -> None:
    real_start = threading.Thread.start
    busy = threading.local()
    starts = Starts()

    def start(self: Any) -> None:
        note("thread", "Thread.start")
        if is_serial and not getattr(busy, "pool", False):
            starts.start(self, real_start)
        else:
            real_start(self)

    put(threading.Thread, "start", start)
    real_process = multiprocessing.process.BaseProcess.start

    def start_process(self: Any) -> None:
        # loky starts its workers past every function that the interpreter tells of.
        note("process", "Process.start")
        real_process(self)

    put(multiprocessing.process.BaseProcess, "start", start_process)
    numbers = iter(range(10**12))
    for executor in (concurrent.futures.ThreadPoolExecutor, concurrent.futures.ProcessPoolExecutor):
        put(executor, "submit", _submit(executor.submit, executor.__name__, numbers, busy, is_serial))
    pool = multiprocessing.pool.Pool
    real_apply = pool.apply_async

    def apply_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        note("thread", "Pool.apply_async")
        found = real_apply(self, *args, **kwargs)
        if is_serial:
            found.wait(PATIENCE_S)
        return found

    put(pool, "apply_async", apply_async)


def _submit(real: Callable[..., Any], name: str, numbers: Iterator[int], busy: Any, is_serial: bool) -> Any:
    def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        note("process" if name.startswith("Process") else "thread", name)
        busy.pool = True
        try:
            future = real(self, fn, *args, **kwargs)
        finally:
            busy.pool = False
        future._repro_number = next(numbers)
        if is_serial:
            concurrent.futures.wait([future], PATIENCE_S)
        return future

    return submit


def _patch_processes(stack: ExitStack, put: Callable[[Any, str, Any], None]) -> None:
    real_executor = concurrent.futures.ProcessPoolExecutor

    def make_pool(processes: Any = None, initializer: Any = None, initargs: Any = (), *rest: Any, **more: Any) -> Any:
        return multiprocessing.pool.ThreadPool(1, initializer, initargs)

    def make_executor(
        max_workers: Any = None, mp_context: Any = None, initializer: Any = None, initargs: Any = (), **more: Any
    ) -> Any:
        return concurrent.futures.ThreadPoolExecutor(1, initializer=initializer, initargs=initargs)

    swaps: dict[int, tuple[Any, Any]] = {id(real_executor): (real_executor, make_executor)}
    stack.enter_context(replace_everywhere(swaps))
    put(multiprocessing, "Pool", make_pool)
    put(type(multiprocessing.get_context()), "Pool", lambda self, *args, **kwargs: make_pool(*args, **kwargs))
    for method in multiprocessing.get_all_start_methods():
        put(type(multiprocessing.get_context(method)), "Pool", lambda self, *args, **kwargs: make_pool(*args, **kwargs))


def _patch_joblib(stack: ExitStack, *, is_serial: bool, with_processes: bool) -> None:
    """Note joblib's tasks; give it one job for those that are threads and, where asked, those that are processes."""
    joblib: Any = sys.modules.get("joblib")
    if joblib is None:
        return
    real = joblib.Parallel.__init__

    def init(self: Any, n_jobs: Any = None, *args: Any, **kwargs: Any) -> None:
        uses_threads = (
            kwargs.get("prefer") == "threads"
            or kwargs.get("require") == "sharedmem"
            or kwargs.get("backend") == "threading"
        )
        if n_jobs != 1:
            note("thread" if uses_threads else "process", "joblib.Parallel")
        real(self, 1 if is_serial and (with_processes or uses_threads) else n_jobs, *args, **kwargs)

    stack.callback(setattr, joblib.Parallel, "__init__", real)
    joblib.Parallel.__init__ = init


def _use_one_thread(stack: ExitStack, put: Callable[[Any, str, Any], None]) -> None:
    if "numba" in sys.modules:
        # Before the bare pools: it sets the OpenMP runtime to its own limit when its threads start.
        axis: Any = importlib.import_module("pytest_repro.frameworks.numba_axes")
        stack.callback(axis.set_threads, axis.get_threads())
        importlib.import_module("pytest_repro.frameworks.numba_sources").pin_threads(put)
    for pool in find_pools():
        stack.callback(pool.set_threads, pool.get_threads())
        pool.set_threads(1)
