"""Request to watch a run, as its job carries it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_repro.model import JSON


@dataclass(frozen=True, slots=True)
class Watch:
    """File for the trace of a run, and limits of watching.

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
        from pytest_repro.tracing.watching import watched

        return watched(Path(self.path), budget_s=self.budget_s, max_events=self.max_events)

    def enter_imports(self) -> AbstractContextManager[None]:
        """Watch the imports of an interpreter within a block, in a trace that is read before that of its run."""
        from pytest_repro.tracing.watching import watched

        return watched(imports_of(Path(self.path)), budget_s=self.budget_s, max_events=self.max_events)

    def to_json(self) -> dict[str, JSON]:
        """Return the request as a job carries it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Watch:
        """Read a request from a job."""
        return cls(**value)


def imports_of(path: Path) -> Path:
    """Return the file for the trace of what an interpreter imported before the run of this trace."""
    return path.with_name(f"{path.name}.imports")
