"""The sources that a search holds still, one after the other, and which of them it tries first."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_repro.diagnosis.observing import Observation
from pytest_repro.sources import foreign

#: Pins that hold addresses still, which whatever else a process does moves.
ADDRESSES = frozenset({"address", "heap"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A source that can be held still: what suggests it, and whether it takes a fresh interpreter."""

    pin: str
    kinds: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    spawn: bool = False


#: In the order in which they are tried: those that were seen first, those that cannot be seen after them.
CANDIDATES = (
    Candidate("entropy", ("entropy", "reseed", "interpreter")),
    Candidate("workers", ("process", "loader")),
    Candidate("names", ("tempname",)),
    # Before the time, from which some of them are seeded: a seed is what they are to be given.
    Candidate("foreign", libraries=foreign.LIBRARIES),
    Candidate("time", ("clock", "interpreter"), libraries=("pandas",)),
    Candidate("pid", ("pid", "interpreter")),
    Candidate("disk", ("left",)),
    Candidate("mtime", ("mtime",)),
    Candidate("listing", ("listing",)),
    Candidate("order", ("unordered",)),
    Candidate("serial", ("thread", "process")),
    Candidate("inline", ("process", "loader")),
    # Before the threads: with one of them a process may well find the same in memory each time.
    Candidate("memory", libraries=("torch", "numpy")),
    Candidate("threads", libraries=("torch", "scipy", "sklearn", "numba", "numpy")),
    Candidate("heap"),
    Candidate("hash", spawn=True),
    Candidate("address", spawn=True),
    Candidate("omp", libraries=("xgboost", "lightgbm", "sklearn", "torch"), spawn=True),
)
#: What makes concurrent tasks orderly.
TASKS = ("order", "serial", "inline")


def nearest_first(candidates: list[Candidate], pair: list[Observation]) -> list[Candidate]:
    """Put first what a line of the user's reaches itself, then what libraries reach below it, last what none can see.

    A library draws entropy for names and looks at the clock for its log; its threads are more likely to matter.
    """

    def rank(candidate: Candidate) -> tuple[int, bool]:
        if candidate.pin == "foreign":
            clocks = [entry for observation in pair for entry in observation.sightings("clock")]
            # A library that looks at the clock may seed its generator so, and can be given a seed.
            return (1, True) if clocks and all(entry.get("library") for entry in clocks) else (2, False)
        if not candidate.kinds:
            return 2, False
        found = [entry for observation in pair for entry in observation.sightings(*candidate.kinds)]
        is_far = all(entry.get("library") for entry in found)
        return int(is_far), is_far and candidate.pin not in TASKS

    return sorted(candidates, key=rank)
