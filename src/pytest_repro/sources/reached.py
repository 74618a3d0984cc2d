"""What a run was seen to reach at next to no cost: the evidence for hints after an identical verdict.

The interpreter raises an event for some of it, which one hook per process takes. The rest is seen by functions that
are called seldom, such as `Module.eval` of torch. Nothing here loads what a session without a divergence does not need.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any

from pytest_repro.frameworks.base_reached import Watching
from pytest_repro.model import ANOTHER_SEED, Reached
from pytest_repro.sources.traced_calls import noting_baked
from pytest_repro.tracing.user_code import is_own_file, is_standard_file, is_user_file
from pytest_repro.undisturbed import accept

#: Different things kept of one run.
MAX_REACHED = 20
#: Frames searched for one of the user's code.
_MAX_FRAMES = 60
_LISTING, _THREADS, _PROCESSES = "listing", "threads", "processes"
DRAWS_IN_EVAL, TRACED_CLOCK, TRACED_DRAW = "draws_in_eval", "traced_clock", "traced_draw"
_EVENTS = {
    **dict.fromkeys(("os.listdir", "os.scandir", "glob.glob"), _LISTING),
    # Those of multiprocessing. The axis `schedule` does not reach a program that is started.
    "os.fork": _PROCESSES,
}
#: Kind -> the words of its hint, and the axis that varies it. Without an axis the hint says what to do.
WORDS = {
    _LISTING: ("lists a folder, and no run varied the order: add file_order", "file_order"),
    _THREADS: ("starts threads, and no run varied their order: add schedule", "schedule"),
    _PROCESSES: ("starts processes, and no run varied the order in which they end: add schedule", "schedule"),
    DRAWS_IN_EVAL: (
        "draws random numbers while every module is in eval: pass training=self.training, or add seed_control",
        ANOTHER_SEED,
    ),
    TRACED_CLOCK: (
        "reads the clock while tracing, which later calls keep: pass the time as an argument, or add process",
        "process",
    ),
    TRACED_DRAW: (
        "draws random numbers while tracing, which later calls keep: pass a key as an argument, or add process",
        "process",
    ),
}
#: Frameworks with functions of their own to watch -> their adapter.
_ADAPTERS = {"torch": "torch_reached", "jax": "jax_reached"}
#: The library whose threads and processes work for the user's own code.
_PARALLEL = "joblib"
#: Modules of the interpreter and of pytest that list folders and start threads for themselves.
_FOREIGN = ("_pytest", "pluggy", "pytest_timeout", "xdist", "execnet")
#: Modules of the standard library that start `uname` and the like.
_ASK_MACHINE = ("platform", "uuid", "ctypes.util")

_is_installed = False
_found: dict[Reached, None] | None = None


@contextmanager
def noting_reached(found: dict[Reached, None]) -> Iterator[list[Callable[[], None]]]:
    """Collect what the block reaches, and yield functions to call when the test's own code has ended."""
    global _found
    _install()
    outer, _found = _found, found
    at_end: list[Callable[[], None]] = []
    with ExitStack() as stack:
        put = partial(_put, stack)
        put(threading.Thread, "start", _note_thread(threading.Thread.start))
        watching = Watching(note, put, partial(noting_baked, note=note), is_user_file)
        for framework, adapter in _ADAPTERS.items():
            if framework in sys.modules:
                with suppress(Exception):  # another release of the framework may lack what is watched
                    module: Any = importlib.import_module(f"pytest_repro.frameworks.{adapter}")
                    at_end += map(_guarded, module.watched(watching))
        try:
            yield at_end
        finally:
            _found = outer


def note(kind: str, place: str | None = None) -> None:
    """Note that the run reached something, at the user's line above the caller unless a place is given."""
    if _found is None or len(_found) >= MAX_REACHED:
        return
    if place is None:
        frame, library = _find_user_frame()
        # What a library lists and starts is mostly for itself: JAX starts threads that wait for its devices.
        if frame is None or library not in ("", _PARALLEL):
            return
        place = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"  # noqa: PTH119 - at every event
    _found[Reached(kind, place)] = None


def find_hints(runs: Sequence[Collection[Reached]], varied: Collection[str]) -> list[str]:
    """Return a hint for each kind of what runs reached and none of them varied.

    Parameters
    ----------
    runs : sequence of (collection of Reached)
        What each run reached.
    varied : collection of str
        Names of the axes, and of what else runs varied.
    """
    places: dict[str, list[str]] = {}
    for entry in dict.fromkeys(entry for reached in runs for entry in reached):
        # A function that each run traces anew reads another time in each.
        is_repeated = entry.kind in (TRACED_CLOCK, TRACED_DRAW) and all(entry in reached for reached in runs)
        if entry.kind in WORDS and WORDS[entry.kind][1] not in varied and not is_repeated:
            places.setdefault(entry.kind, []).append(entry.place)
    return [_describe(WORDS[kind][0], found) for kind, found in places.items()]


def _describe(words: str, places: list[str]) -> str:
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f"{words} ({places[0]}{more})"


def _put(stack: ExitStack, owner: Any, name: str, value: Any) -> None:
    """Replace an attribute until the stack is left, unless something else stands there by then."""
    real = getattr(owner, name)
    setattr(owner, name, value)
    accept(owner, name)

    def restore() -> None:
        if getattr(owner, name) is value:
            setattr(owner, name, real)
            accept(owner, name)

    stack.callback(restore)


def _note_thread(real: Callable[..., None]) -> Callable[..., None]:
    """Return a start that is noted: the interpreter raises no event for it before Python 3.12."""

    def start(self: threading.Thread) -> None:
        note(_THREADS)
        real(self)

    return start


def _guarded(end: Callable[[], None]) -> Callable[[], None]:
    """Return a function that fails no test: a hint is not worth it."""

    def call() -> None:
        with suppress(Exception):
            end()

    return call


def _install() -> None:
    global _is_installed
    if not _is_installed:
        _is_installed = True
        with suppress(RuntimeError):  # another hook may refuse it
            sys.addaudithook(_take)


def _take(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _EVENTS and _found is not None:
        note(_EVENTS[event])


def _find_user_frame() -> tuple[FrameType | None, str]:
    """Return the user's frame that leads here, and the library between. None if pytest or an import leads here."""
    frame: FrameType | None = sys._getframe(2)
    library = ""
    for _ in range(_MAX_FRAMES):
        if frame is None:
            break
        file, name = frame.f_code.co_filename, str(frame.f_globals.get("__name__", ""))
        if is_user_file(file):
            return frame, library
        package = name.partition(".")[0]
        if file.startswith("<frozen importlib") or package in _FOREIGN or name in _ASK_MACHINE:
            break
        if is_own_file(file) and name != __name__:
            break
        if not file.startswith("<") and not is_standard_file(file) and not is_own_file(file):
            library = package
        frame = frame.f_back
    return None, ""
