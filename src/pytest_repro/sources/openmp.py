"""Threads of OpenMP, also where the code asks for more than one."""

from __future__ import annotations

from typing import ClassVar

from pytest_repro.sources.base import Pin, Source


class OpenMPThreads(Source):
    """Threads that libraries request for themselves, which no setting of theirs limits."""

    name = "omp"
    label = "OpenMP threads"
    pinned = "with one OpenMP thread"
    code = "race.kernel"
    libraries: ClassVar[tuple[str, ...]] = ("xgboost", "lightgbm", "sklearn", "torch")
    pin: ClassVar[Pin | None] = Pin("omp", environment={"OMP_THREAD_LIMIT": "1"})
