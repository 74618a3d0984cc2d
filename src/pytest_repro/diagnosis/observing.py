"""The words of a search for a cause: what makes runs, what was observed in one, what was found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pytest_repro.model import JSON, Artifacts


class OutOfTimeError(Exception):
    """The budget is spent."""


@dataclass(slots=True)
class Observation:
    """One run: what it gave, what it saw, and why it ended where it did not pass."""

    artifacts: Artifacts
    seen: dict[str, Any] = field(default_factory=dict)
    failure: str = ""

    def sightings(self, *kinds: str) -> list[dict[str, Any]]:
        """Return what was seen of some kinds."""
        return [entry for entry in self.seen.get("sightings", []) if entry["kind"] in kinds]


class Prober(Protocol):
    """Makes the runs that a diagnosis asks for."""

    def observe(
        self,
        pins: Iterable[str] = (),
        *,
        spawn: bool = False,
        repeats: int = 1,
        record_sources: bool = False,
        restores: Iterable[str] = (),
    ) -> Observation:
        """Make a run with some sources held still.

        Raises
        ------
        OutOfTimeError
        """

    def differ(self, one: Observation, other: Observation) -> bool:
        """Tell whether two runs differ by more than is allowed."""

    def has_left_files(self) -> bool:
        """Tell whether a run found files that an earlier one left and that can be moved aside (the pin "disk")."""


@dataclass(slots=True)
class Finding:
    """What held the runs together: pins, or a state put back; and two runs that differ, which tell where."""

    pins: tuple[str, ...] = ()
    state: dict[str, JSON] | None = None
    runs: int = 0
    differing: str = ""
    pair: tuple[Observation, Observation] | None = None


@dataclass(slots=True)
class Search:
    """How a search went."""

    findings: list[Finding] = field(default_factory=list)
    ruled_out: list[str] = field(default_factory=list)
    complete: bool = True
    #: Empty while it was not looked at; what differs "between" processes, "within" one, with files "left" or
    #: with addresses "shifted".
    where: str = ""
    #: Whether what differs shows in fresh interpreters alone, and not in forks of one process.
    is_spawned: bool = False
    notes: list[str] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
