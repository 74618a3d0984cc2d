"""Pins of the sources that a variable names, read at the start of an interpreter that a probed run starts.

Standard library only, and nothing of this package: the interpreter belongs to the user's code, and may be another one.
"""

from __future__ import annotations

import os
import random
import sys
import time
from _thread import get_ident
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from types import FrameType
from typing import Any

_PINNED = os.environ.get("PYTEST_REPRO_PINNED", "").split(",")
_FOLDER = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib takes long to import
#: 2024-01-01, which no test takes for a future date.
_MOMENT_S = 1_704_067_200
_SEED = 20_240_101
#: Whether this interpreter works for the one that started it, and does not run a program of its own.
_IS_WORKER = any("multiprocessing" in word or "loky" in word for word in sys.orig_argv[1:])
#: As in pytest_repro.tracing.user_code, which cannot be imported here.
_FOREIGN = ("<", os.path.dirname(os.__file__) + os.sep, _FOLDER + os.sep)  # noqa: PTH120
#: Packages of the collected tests, wherever they lie.
_COLLECTED = tuple(filter(None, os.environ.get("PYTEST_REPRO_COLLECTED", "").split(os.pathsep)))
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def _put(module: Any, **replacements: Any) -> None:
    for name, value in replacements.items():
        setattr(module, name, value)


def _is_user_file(name: str) -> bool:
    if _COLLECTED and name.startswith(_COLLECTED):
        return True
    return not name.startswith(_FOREIGN) and not any(folder in name for folder in _LIBRARIES)


class _OfTasks:
    """Streams that repeat with each task of a worker, one for each line: which task reaches which worker is chance."""

    def __init__(self) -> None:
        # The frame is kept: another task's might otherwise be at its address, and be taken for it.
        self._of_thread: dict[int, tuple[FrameType, dict[tuple[str, int], random.Random]]] = {}

    def stream(self) -> random.Random:
        """Return the stream of the line that draws, in the task of the outermost user frame."""
        frame: Any = sys._getframe(1)
        users: list[Any] = []
        nearest: Any = None
        while frame is not None:
            if _is_user_file(frame.f_code.co_filename):
                users.append(frame)
            elif nearest is None and frame.f_globals.get("__name__") not in (__name__, "random", "secrets", "uuid"):
                nearest = frame
            frame = frame.f_back
        line, task = (users[0], users[-1]) if users else (nearest, nearest)
        thread = get_ident()
        if thread not in self._of_thread or self._of_thread[thread][0] is not task:
            self._of_thread[thread] = task, {}
        key = line.f_code.co_filename, line.f_lineno
        return self._of_thread[thread][1].setdefault(key, random.Random(f"{_SEED} {key}"))


def _pin_entropy() -> None:
    kept, of_tasks = random.Random(_SEED), _OfTasks()

    def stream() -> random.Random:
        return of_tasks.stream() if _IS_WORKER else kept

    def urandom(size: int, /) -> bytes:
        return stream().randbytes(size)

    real_seed = random.Random.seed

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        real_seed(self, stream().getrandbits(128) if a is None else a, version)

    _put(os, urandom=urandom)
    if hasattr(os, "getrandom"):
        _put(os, getrandom=lambda size, flags=0: urandom(size))
    _put(random.Random, seed=seed)
    module_wide: Any = random
    _put(random, _urandom=urandom, seed=module_wide._inst.seed)
    random.seed()


def _pin_time() -> None:
    readings = iter(range(sys.maxsize))

    def time_ns() -> int:
        return (_MOMENT_S * 1000 + next(readings)) * 1_000_000

    _put(time, time_ns=time_ns, time=lambda: time_ns() / 1e9)


def _pin_pid() -> None:
    _put(os, getpid=lambda: 4242)


for _name, _pin in (("workers" if _IS_WORKER else "entropy", _pin_entropy), ("time", _pin_time), ("pid", _pin_pid)):
    if _name in _PINNED:
        _pin()

# Load the other module of this name that this one hides.
sys.path[:] = [entry for entry in sys.path if entry != _FOLDER]
_other = PathFinder.find_spec("sitecustomize")
if _other is not None and _other.loader is not None:
    _other.loader.exec_module(module_from_spec(_other))
