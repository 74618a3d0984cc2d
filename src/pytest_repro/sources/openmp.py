"""Threads of OpenMP, also where the code asks for more than one."""

from __future__ import annotations

from pytest_repro.axes.base import BuiltInAxis
from pytest_repro.model import JSON
from pytest_repro.sources.base import Source


class OpenMPPin(BuiltInAxis):
    """One thread of OpenMP for every library."""

    name = "pin:omp"
    needs = "spawn"

    def environment(self, value: JSON) -> dict[str, str | None]:
        return {"OMP_THREAD_LIMIT": "1"}


class OpenMPThreads(Source):
    """Threads that libraries request for themselves, which no setting of theirs limits."""

    name = "omp"
    label = "OpenMP threads"
    pinned = "with one OpenMP thread"
    code = "race.kernel"
    libraries = ("xgboost", "lightgbm", "sklearn", "torch")
    pin = OpenMPPin()
