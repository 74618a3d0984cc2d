"""What a child is to do beyond its run, and what it saw: repetitions, sources, state that leaks."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_repro.model import JSON
from pytest_repro.sources import foreign, heap, left_files
from pytest_repro.sources.frames import is_users_file
from pytest_repro.sources.module_state import ModuleState
from pytest_repro.sources.sightings import Sightings, collect_into
from pytest_repro.sources.sources import forget_counts, note_audit

#: Libraries whose presence makes a probe worth its time.
LIBRARIES = (
    *foreign.LIBRARIES, "pandas", "torch", "joblib", "sklearn", "xgboost", "lightgbm", "scipy", "numpy", "jax",
)  # fmt: skip
#: Changed places told.
MAX_CHANGES = 50


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What a child does beyond its run.

    Attributes
    ----------
    repeats : int
        Runs made one after the other in the child; what the last one gave is its answer.
    record_sources : bool
        Whether sources and state are noted.
    restores : list of str
        State put back between the repetitions.
    since : float or None
        Files written since then [s since 1970] were left by earlier runs; None where they are not looked for.
    compiled : str
        Folder in which the runs of one diagnosis keep what numba compiles of libraries; empty: they do not.
    """

    repeats: int = 1
    record_sources: bool = False
    restores: list[str] = field(default_factory=list)
    since: float | None = None
    compiled: str = ""

    def to_json(self) -> dict[str, JSON]:
        """Return it as a job holds it."""
        return asdict(self)


class ProbeRecorder:
    """Carries out a :class:`ProbeRequest` around the runs of a child."""

    def __init__(self, probe: ProbeRequest) -> None:
        self.probe = probe
        self.sightings = Sightings()
        self.changed: list[dict[str, JSON]] = []
        self._state: ModuleState | None = None

    def begin(self) -> None:
        """Note what there is before the first run."""
        if self.probe.compiled and "numba" in sys.modules:
            from pytest_repro.frameworks.numba_compiled import keep_compiled

            keep_compiled(self.probe.compiled, lambda file: not is_users_file(file))
        if self.probe.record_sources:
            collect_into(self.sightings)
            left_files.begin(math.inf if self.probe.since is None else self.probe.since)
            sys.addaudithook(note_audit)
        if self.probe.repeats > 1:
            self._state = ModuleState()

    @contextmanager
    def around_run(self, index: int) -> Iterator[None]:
        """Surround one repetition; state is told apart after the first."""
        forget_counts()
        if index and self._state is not None and self.probe.restores:
            self._state.put_back(self.probe.restores)
        yield
        if not index and self._state is not None:
            self.changed = self._state.changed()[:MAX_CHANGES]

    def before_body(self) -> None:
        """Do what is done last before the test's own code."""
        heap.renew()

    def to_json(self) -> dict[str, Any]:
        """Return what was seen."""
        collect_into(None)
        loaded = [name for name in LIBRARIES if name in sys.modules]
        return {"sightings": self.sightings.to_json(), "changed": self.changed, "loaded": loaded}
