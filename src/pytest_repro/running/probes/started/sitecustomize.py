"""Read at the start of an interpreter that a probed run starts: holds still there what the variable names.

Standard library only, and nothing of this package: the interpreter is the user's own, and may be another one.
"""

from __future__ import annotations

import os
import random
import sys
import time
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Any

_HELD = os.environ.get("PYTEST_REPRO_HELD", "").split(",")
_FOLDER = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib takes long to import
#: 2024-01-01, which no test takes for a date to come.
_MOMENT_S = 1_704_067_200
_SEED = 20_240_101
#: Whether this interpreter works for the one that started it, and does not run a program of its own.
_IS_WORKER = any("multiprocessing" in word or "loky" in word for word in sys.orig_argv[1:])


def _put(module: Any, **replacements: Any) -> None:
    for name, value in replacements.items():
        setattr(module, name, value)


def _hold_entropy() -> None:
    kept = random.Random(_SEED)

    def stream() -> random.Random:
        # Which task comes to which worker is chance: each draw of theirs is the same.
        return random.Random(_SEED) if _IS_WORKER else kept

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
