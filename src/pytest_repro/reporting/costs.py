"""What a session's runs and diagnoses cost, and how to make them cheaper where they cost much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_repro.model.reported import ReportedTest
from pytest_repro.model.text import escape

#: Cost from which it is shown, and from which advice is given [s].
SHOWN_FROM_S, LARGE_FROM_S = 30.0, 120.0
#: Share of the cost from which one part counts as the main one.
MAIN = 0.5
#: Slowest tests that are counted together.
SLOWEST = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """The time that a session's tests took [s].

    Attributes
    ----------
    first_s : float
        Run 1 of each test, which a plain session makes as well.
    further_s : float
        All other runs.
    diagnosis_s : float
        On the clock.
    diagnosis_cpu_s : float
        CPU time of all that followed the verdicts.
    slowest : tuple of (str, float)
        Tests with the longest further runs.
    interpreters_s : float
        Further runs that had a fresh interpreter each.
    """

    first_s: float
    further_s: float
    diagnosis_s: float
    diagnosis_cpu_s: float
    slowest: tuple[tuple[str, float], ...]
    interpreters_s: float

    @classmethod
    def of(cls, tests: Sequence[ReportedTest]) -> Cost:
        """Return the cost of a session's tests."""
        first = sum(run.duration_s for test in tests for run in test.runs[:1])
        further = [(test.nodeid, sum(run.duration_s for run in test.runs[1:])) for test in tests]
        diagnoses = [test.diagnosis for test in tests if test.diagnosis is not None]
        slowest = sorted(further, key=lambda pair: -pair[1])[:SLOWEST]
        fresh = sum(run.duration_s for test in tests for run in test.runs[1:] if run.engine == "spawn")
        return cls(
            first,
            sum(seconds for _, seconds in further),
            sum(found.seconds for found in diagnoses),
            sum(found.cpu_s for found in diagnoses),
            tuple(slowest),
            fresh,
        )

    @property
    def total_s(self) -> float:
        """All of it [s]."""
        return self.first_s + self.further_s + self.diagnosis_s


def cost_lines(tests: Sequence[ReportedTest]) -> list[str]:
    """Return what the session cost, and how to make it cheaper; nothing where it cost little."""
    cost = Cost.of(tests)
    if cost.total_s < SHOWN_FROM_S:
        return []
    line = f"cost: {cost.first_s:,.0f} s for the first runs, {cost.further_s:,.0f} s for further runs"
    if cost.diagnosis_s:
        line += f", {cost.diagnosis_s:,.0f} s for diagnoses ({cost.diagnosis_cpu_s:,.0f} s of CPU time)"
    return [line, *([f"  cheaper: {_advise(cost)}"] if cost.total_s >= LARGE_FROM_S else [])]


def _advise(cost: Cost) -> str:
    if cost.diagnosis_s > MAIN * cost.total_s:
        return "--repro-budget=2m bounds all diagnoses together; --no-repro-diagnose reports the verdicts alone"
    if cost.interpreters_s > MAIN * cost.further_s:
        return (
            "most further runs had a fresh interpreter each: scan without the axis process, or without --repro-isolate"
        )
    slowest = sum(seconds for _, seconds in cost.slowest)
    if slowest > MAIN * cost.further_s:
        name, seconds = cost.slowest[0]
        share = f"{len(cost.slowest)} tests take {slowest:,.0f} s of the further runs"
        return escape(f"{share}, {name} {seconds:,.0f} s: a smaller input, or reproducible(skip=...), saves most")
    return "pytest -n auto (pytest-xdist) divides the tests among the cores"
