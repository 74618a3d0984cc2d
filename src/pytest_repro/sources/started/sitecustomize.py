"""Read at the start of an interpreter that a probed run starts: holds still there what the variable names.

Standard library only, and nothing of this package: the interpreter is the user's own, and may be another one.
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

_HELD = os.environ.get("PYTEST_REPRO_PINNED", "").split(",")
_FOLDER = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib takes long to import
#: 2024-01-01, which no test takes for a date to come.
_MOMENT_S = 1_704_067_200
_SEED = 20_240_101
#: Whether this interpreter works for the one that started it, and does not run a program of its own.
_IS_WORKER = any("multiprocessing" in word or "loky" in word for word in sys.orig_argv[1:])
_STANDARD = os.path.dirname(os.__file__)  # noqa: PTH120


def _put(module: Any, **replacements: Any) -> None:
    for name, value in replacements.items():
        setattr(module, name, value)


class _OfTasks:
    """Gives each line the same numbers in each task of a worker: which task comes to which worker is chance."""

    def __init__(self) -> None:
        # The frame is kept: another task's might else lie where it did, and be taken for it.
        self._of_thread: dict[int, tuple[FrameType, dict[tuple[str, int], random.Random]]] = {}

    def stream(self) -> random.Random:
        """Return the generator for the line that draws, which begins anew with each task: the outermost frame."""
        frame: Any = sys._getframe(1)
        users: list[Any] = []
        nearest: Any = None
        while frame is not None:
            name = frame.f_code.co_filename
            if not name.startswith(("<", _STANDARD, _FOLDER)) and "site-packages" not in name:
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


def _hold_entropy() -> None:
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


def _hold_time() -> None:
    readings = iter(range(sys.maxsize))

    def time_ns() -> int:
        return (_MOMENT_S * 1000 + next(readings)) * 1_000_000

    _put(time, time_ns=time_ns, time=lambda: time_ns() / 1e9)


def _hold_pid() -> None:
    _put(os, getpid=lambda: 4242)


for _name, _hold in (
    ("workers" if _IS_WORKER else "entropy", _hold_entropy),
    ("time", _hold_time),
    ("pid", _hold_pid),
):
    if _name in _HELD:
        _hold()

# Another module of this name, which this one hides, has its turn.
sys.path[:] = [entry for entry in sys.path if entry != _FOLDER]
_other = PathFinder.find_spec("sitecustomize")
if _other is not None and _other.loader is not None:
    _other.loader.exec_module(module_from_spec(_other))
