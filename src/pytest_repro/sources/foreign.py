"""Generators of libraries, and of C itself, that no seed of Python, NumPy or torch reaches."""

from __future__ import annotations

import ctypes
import importlib
import sys
from contextlib import suppress

#: Module -> function of it that takes a seed.
SEEDS = {"polars": "set_random_seed", "onnxruntime": "set_seed"}
#: Modules whose presence makes it worth a try; whatever calls C by itself has loaded the last.
LIBRARIES = ("numba", *SEEDS, "_sqlite3", "_ctypes")
#: `sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, seed, NULL)`.
_SQLITE_SEED = 28
_SQLITE = ("libsqlite3.so.0", "libsqlite3.dylib", "sqlite3.dll")
#: What seeds C's generators; they have a state of their own each, on some systems.
_OF_C = ("srand", "srandom", "srand48")
_SEED = 1


def seed() -> None:
    """Seed every generator that is loaded."""
    if "numba" in sys.modules:
        importlib.import_module("pytest_repro.frameworks.numba_sources").seed(_SEED)
    for module, function in SEEDS.items():
        if module in sys.modules:
            with suppress(Exception):
                getattr(sys.modules[module], function)(_SEED)
    if "_sqlite3" in sys.modules:
        for name in _SQLITE:
            with suppress(OSError, AttributeError):
                ctypes.CDLL(name).sqlite3_test_control(_SQLITE_SEED, ctypes.c_int(_SEED), ctypes.c_void_p(None))
    for name in _OF_C:
        with suppress(OSError, AttributeError, TypeError):
            getattr(ctypes.CDLL(None), name)(ctypes.c_long(_SEED))
