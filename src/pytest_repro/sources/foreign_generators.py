"""Generators of other libraries, and of C itself, which no seed of Python, NumPy or torch reaches."""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import ClassVar

from pytest_repro.model import JSON, CauseWords
from pytest_repro.sources.base import Pin, Situation, Source

#: Module -> its function that takes a seed.
SEEDS = {"polars": "set_random_seed", "onnxruntime": "set_seed"}
#: `sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, seed, NULL)`.
_SQLITE_SEED = 28
_SQLITE = ("libsqlite3.so.0", "libsqlite3.dylib", "sqlite3.dll")
#: Functions that seed C's generators, each of which has a state of its own on some systems.
_OF_C = ("srand", "srandom", "srand48")
_SEED = 1


def seed_foreign_generators() -> None:
    """Seed every generator whose library is loaded."""
    if "numba" in sys.modules:
        importlib.import_module("pytest_repro.frameworks.numba_axes").seed(_SEED)
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


@contextmanager
def _seeded(value: JSON) -> Iterator[None]:
    seed_foreign_generators()
    yield


class ForeignGenerators(Source):
    """Generators whose draws cannot be seen. A loaded library suggests them."""

    name = "foreign"
    label = "other libraries' generators"
    pinned = "with the generators of other libraries seeded (numba, polars, ONNX Runtime, SQLite, C)"
    code = "rng.foreign_state"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "rng.foreign_state": CauseWords(
            "a generator of another library, which no seed of Python, NumPy or torch reaches",
            "seed it where it is: np.random.seed inside the njit function, polars.set_random_seed, "
            "onnxruntime.set_seed, srand of C; SQLite's random() takes no seed, so draw from a Python generator",
            "pass {library} a seed (seed=, random_state=), which its own generator is seeded from",
        )
    }
    # Code that calls C directly has loaded `_ctypes`.
    libraries: ClassVar[tuple[str, ...]] = ("numba", *SEEDS, "_sqlite3", "_ctypes")
    pin: ClassVar[Pin | None] = Pin("foreign", applied=_seeded)
    turn_within = 3

    def rank(self, situation: Situation) -> tuple[int, bool]:
        """Come early where only libraries read the clock: they may seed their generators from it."""
        clocks = situation.sightings("clock")
        return (1, True) if clocks and all(entry.get("library") for entry in clocks) else (2, False)
