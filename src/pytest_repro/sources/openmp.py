"""Threads of OpenMP, also where the code asks for more than one."""

from __future__ import annotations

from typing import ClassVar

from pytest_repro.axes.base import BuiltInAxis, Engine
from pytest_repro.model import JSON
from pytest_repro.sources.base import Source


class OpenMPPin(BuiltInAxis):
    """One thread of OpenMP for every library."""

    name: ClassVar[str] = "pin:omp"
    needs: ClassVar[Engine] = "spawn"

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Limit the runtime itself."""
        return {"OMP_THREAD_LIMIT": "1"}


class OpenMPThreads(Source):
    """Threads that libraries request for themselves, which no setting of theirs limits."""

    name: ClassVar[str] = "omp"
    label: ClassVar[str] = "OpenMP threads"
    pinned: ClassVar[str] = "with one OpenMP thread"
    code: ClassVar[str] = "race.kernel"
    libraries: ClassVar[tuple[str, ...]] = ("xgboost", "lightgbm", "sklearn", "torch")
    pin: ClassVar[BuiltInAxis] = OpenMPPin()
