"""That a run is to be watched, as its job says so; the watching itself is loaded by the run that does it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_repro.model import JSON


@dataclass(frozen=True, slots=True)
class Watch:
    """Where a run leaves the trace of the user's code, and what watching may cost.

    Attributes
    ----------
    path : str
    budget_s : float
        Time spent on watching [s].
    max_events : int
    """

    path: str
    budget_s: float = 30.0
    max_events: int = 200_000

    def enter(self) -> AbstractContextManager[None]:
        """Watch what runs within a block."""
        from pytest_repro.tracing import watched

        return watched(Path(self.path), budget_s=self.budget_s, max_events=self.max_events)

    def to_json(self) -> dict[str, JSON]:
        """Return it as a job holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Watch:
        """Read it from a job of this process' parent."""
        return cls(**value)
