"""What a reproduction found: by pillar, by test, and in one verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pytest_repro.model.codec import encode
from pytest_repro.records.documents import Original

FORMAT, VERSION = "pytest-repro reproduction", "1.0"


class Outcome(Enum):
    """The verdict on a reproduction, worst last."""

    BITS = "REPRODUCED (bits)"
    TOLERANCE = "REPRODUCED (tolerance)"
    NOT = "NOT REPRODUCED"
    INCOMPLETE = "INCOMPLETE"

    @property
    def is_reproduced(self) -> bool:
        """Whether the recorded result was had again."""
        return self in (Outcome.BITS, Outcome.TOLERANCE)


@dataclass(slots=True)
class Pillar:
    """One of what a result rests on.

    Attributes
    ----------
    same, differing : list of str
        What was as recorded, and what was not and need not be.
    missing : list of str
        What could not be had: without it, the recorded test was not repeated.
    """

    name: str
    same: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """Its state in a word."""
        if self.missing:
            return "missing"
        return "differs" if self.differing else "same" if self.same else "not looked at"


@dataclass(frozen=True, slots=True)
class TestFinding:
    """The outcome for one test."""

    __test__ = False

    nodeid: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """All that a reproduction found."""

    reproduces: Original
    pillars: tuple[Pillar, ...]
    tests: tuple[TestFinding, ...]

    @property
    def missing(self) -> list[str]:
        """What could not be had."""
        return [text for pillar in self.pillars for text in pillar.missing]

    @property
    def outcome(self) -> Outcome:
        """The verdict: whatever could not be had decides, since then the recorded test was not repeated."""
        outcomes = [test.outcome for test in self.tests]
        if self.missing or not outcomes:
            return Outcome.INCOMPLETE
        if Outcome.NOT in outcomes:
            return Outcome.NOT
        if Outcome.INCOMPLETE in outcomes:
            return Outcome.INCOMPLETE
        return Outcome.TOLERANCE if Outcome.TOLERANCE in outcomes else Outcome.BITS

    def to_json(self) -> dict[str, Any]:
        """Return the document ``reproduction.json``."""
        pillars = {
            each.name: {"state": each.state, "same": each.same, "differing": each.differing, "missing": each.missing}
            for each in self.pillars
        }
        return {
            "format": FORMAT,
            "version": VERSION,
            "outcome": self.outcome.value,
            "reproduces": encode(self.reproduces),
            "pillars": pillars,
            "tests": encode(list(self.tests)),
        }
