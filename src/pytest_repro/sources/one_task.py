"""Tasks that run at the same time. Pinned, a task starts when the one before it has ended or waits for others."""

from __future__ import annotations

import concurrent.futures
import multiprocessing.pool
import multiprocessing.process
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from pytest_repro.model import CauseWords
from pytest_repro.sources.base import EventHandler, Evidence, Source
from pytest_repro.sources.frames import is_below
from pytest_repro.sources.gates import patch_gates
from pytest_repro.sources.patching import SourcePatches
from pytest_repro.sources.sightings import note
from pytest_repro.sources.started_interpreters import note_interpreter
from pytest_repro.sources.task_order import NUMBER
from pytest_repro.sources.turns import PATIENCE_S, Starts, patch_queues

#: Modules of the standard library that start `uname` and the like, which log lines ask for.
_ASK_MACHINE = ("platform", "uuid", "ctypes.util")


def _note_process(event: str, args: tuple[Any, ...]) -> None:
    if not is_below(*_ASK_MACHINE):
        note("process", event)
        if event == "subprocess.Popen":
            note_interpreter(*args[:2])


def _note_thread(event: str, args: tuple[Any, ...]) -> None:
    note("thread", event)


class OneTask(Source):
    """Threads, pools and executors, of Python and of compiled libraries."""

    name = "serial"
    label = "task order"
    pinned = "with one task running at a time"
    code = "race.threads"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "race.threads": CauseWords(
            "a race between threads",
            "give each task a generator and a result of its own, and combine the results in a fixed order",
            "let {library} work in one thread (num_threads=1, workers=1, n_jobs=1)",
        )
    }
    kinds: ClassVar[tuple[str, ...]] = ("thread", "process")
    events: ClassVar[Mapping[str, EventHandler]] = {
        **dict.fromkeys(("subprocess.Popen", "os.fork", "os.posix_spawn"), _note_process),
        "_thread.start_new_thread": _note_thread,
    }
    includes: ClassVar[tuple[str, ...]] = ("order",)
    matters_in_libraries = True
    turn_within = 5

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        is_serial = self.name in pins
        pools = threading.local()  # `is_starting`: this thread is inside an executor, which starts threads for itself
        _patch_threads(patches, pools, is_serial=is_serial)
        _patch_processes(patches)
        _patch_executors(patches, pools, is_serial=is_serial)
        _patch_pools(patches, is_serial=is_serial)
        _patch_joblib(patches, is_serial=is_serial)
        if is_serial:
            patch_queues(patches.put)
            patch_gates(patches.put)

        from pytest_repro.axes.compiled_calls import is_library
        from pytest_repro.sources.compiled import thread_makers

        patches.replace_compiled(thread_makers(is_serial=is_serial), is_library)

    def name_code(self, evidence: Evidence) -> str:
        """Return whether threads race, or processes end in another order: those share no memory."""
        is_processes = bool(evidence.sightings) and all(entry["kind"] == "process" for entry in evidence.sightings)
        return "race.completion_order" if is_processes else self.code


def _patch_threads(patches: SourcePatches, pools: threading.local, *, is_serial: bool) -> None:
    real = threading.Thread.start
    starts = Starts()

    def start(self: Any) -> None:
        note("thread", "Thread.start")
        if is_serial and not getattr(pools, "is_starting", False):
            starts.start(self, real)
        else:
            real(self)

    patches.put(threading.Thread, "start", start)


def _patch_processes(patches: SourcePatches) -> None:
    real = multiprocessing.process.BaseProcess.start

    def start(self: Any) -> None:
        # loky starts its workers by no function for which the interpreter raises an event.
        note("process", "Process.start")
        real(self)

    patches.put(multiprocessing.process.BaseProcess, "start", start)


def _patch_executors(patches: SourcePatches, pools: threading.local, *, is_serial: bool) -> None:
    numbers = iter(range(10**12))
    for executor in (concurrent.futures.ThreadPoolExecutor, concurrent.futures.ProcessPoolExecutor):
        kind = "process" if executor.__name__.startswith("Process") else "thread"
        submit = _make_submit(executor.submit, kind, executor.__name__, numbers, pools, is_serial)
        patches.put(executor, "submit", submit)


def _make_submit(
    real: Callable[..., Any], kind: str, name: str, numbers: Iterator[int], pools: threading.local, is_serial: bool
) -> Callable[..., Any]:
    def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        note(kind, name)
        pools.is_starting = True
        try:
            future = real(self, fn, *args, **kwargs)
        finally:
            pools.is_starting = False
        setattr(future, NUMBER, next(numbers))
        if is_serial:
            concurrent.futures.wait([future], PATIENCE_S)
        return future

    return submit


def _patch_pools(patches: SourcePatches, *, is_serial: bool) -> None:
    real = multiprocessing.pool.Pool.apply_async

    def apply_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        note("thread", "Pool.apply_async")
        found = real(self, *args, **kwargs)
        if is_serial:
            found.wait(PATIENCE_S)
        return found

    patches.put(multiprocessing.pool.Pool, "apply_async", apply_async)


def _patch_joblib(patches: SourcePatches, *, is_serial: bool) -> None:
    """Note joblib's tasks, and give it one job for those that are threads."""
    joblib: Any = sys.modules.get("joblib")
    if joblib is None:
        return
    real = joblib.Parallel.__init__

    def init(self: Any, n_jobs: Any = None, *args: Any, **kwargs: Any) -> None:
        uses_threads = uses_joblib_threads(kwargs)
        if n_jobs != 1:
            note("thread" if uses_threads else "process", "joblib.Parallel")
        real(self, 1 if is_serial and uses_threads else n_jobs, *args, **kwargs)

    patches.put(joblib.Parallel, "__init__", init)


def uses_joblib_threads(options: Mapping[str, Any]) -> bool:
    """Return whether the arguments of `joblib.Parallel` request threads instead of processes."""
    return (
        options.get("prefer") == "threads"
        or options.get("require") == "sharedmem"
        or options.get("backend") == "threading"
    )
