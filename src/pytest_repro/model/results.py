"""What became of a test: its runs, its verdict, and why it diverged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pytest_repro.model.comparison import Comparison, Verdict
from pytest_repro.model.runs import JSON, Artifacts, Condition


@dataclass(frozen=True, slots=True)
class EquivalenceFinding:
    """What an equivalence assertion found that a test took as an argument, as an axis of the matrix.

    Attributes
    ----------
    axis : str
        Name of the argument.
    name : str
        The assertion.
    verdict : Verdict
    cell : str
        What the matrix shows: the verdict's value, unstable, or not_varied.
    message : str
        Why it is no pass; empty if it is one.
    first : str
        The first step or artifact that differs.
    causes : tuple of Cause
    trials : tuple of (varied, Comparison)
    notes : tuple of str
    """

    axis: str
    name: str
    verdict: Verdict
    cell: str
    message: str = ""
    first: str = ""
    causes: tuple[Cause, ...] = ()
    trials: tuple[tuple[str, Comparison], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class RunResult:
    """One run: what it was given, how it ended, what it gave."""

    index: int
    condition: Condition = field(default_factory=Condition)
    outcome: Literal["passed", "failed", "skipped", "error"] = "passed"
    duration_s: float = 0.0
    artifacts: Artifacts | None = None
    digest: str | None = None
    reason: str = ""
    settings: dict[str, JSON] = field(default_factory=dict)
    #: ``data`` and ``config``: name -> description, as the test named them.
    inputs: dict[str, dict[str, JSON]] = field(default_factory=dict)
    #: What the equivalence assertions found that the test took as arguments.
    equivalences: list[EquivalenceFinding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the user's code; `source` is its line as text, empty where it cannot be read."""

    file: str
    line: int
    function: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why runs differ: a code ``family.name`` of the taxonomy, the axis that shows it, the evidence, what to change.

    Attributes
    ----------
    confidence : {"probed", "seen", "state"}
        How it was shown: by a condition of which fixing it alone made the runs agree; by a call on the way to the
        differing value; by state that differed before the test began.
    """

    code: str
    axis: str
    evidence: str
    fix: str
    confidence: Literal["probed", "seen", "state"] = "probed"
    location: Location | None = None


class CauseWords(NamedTuple):
    """The words of one cause code.

    Attributes
    ----------
    meaning : str
        The source of the difference, as a noun phrase.
    fix : str
        The change that removes it.
    library_fix : str
        The same where the source lies inside a library that the user's line calls; ``{library}`` is its name.
    """

    meaning: str
    fix: str
    library_fix: str = ""


@dataclass(slots=True)
class Diagnosis:
    """What was found out beyond the axes.

    Attributes
    ----------
    first_divergence : dict or None
        The first value of the user's code that differs: file, line, function, name, step, module, op, both values.
    ruled_out : list of str
        Conditions that were held still, or varied alone, and were not it.
    seconds : float
        What it took [s].
    complete : bool
        False where the budget ran out or something could not be looked at.
    rows : list of list of str
        The two traces side by side around the first difference.
    """

    first_divergence: dict[str, Any] | None = None
    ruled_out: list[str] = field(default_factory=list)
    seconds: float = 0.0
    complete: bool = True
    rows: list[dict[str, JSON]] = field(default_factory=list)


@dataclass(slots=True)
class TestResult:
    """A test's verdict with all that led to it; `reporting` turns it into text and JSON."""

    __test__ = False  # not a test class, whatever its name suggests to pytest

    nodeid: str
    verdict: Verdict
    seed: int
    runs: list[RunResult] = field(default_factory=list)
    comparisons: list[tuple[RunResult, Comparison]] = field(default_factory=list)
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    repeat_command: str = ""
    #: Axis -> verdict's value, or not_varied, not_available, unstable, not_isolated.
    matrix: dict[str, str] = field(default_factory=dict)
    causes: list[Cause] = field(default_factory=list)
    #: None where none was made.
    diagnosis: Diagnosis | None = None
    #: Axis -> the components of it that alone make a run differ, where that was looked for.
    components: dict[str, list[str]] = field(default_factory=dict)
    #: Run -> the axes that its divergence was traced to; empty where it could not be told.
    blamed: dict[int, list[str]] = field(default_factory=dict)
    #: What became of the test's record, as JSON; None where neither recording nor verifying was asked for.
    record: dict[str, Any] | None = None
    #: What made the runs: ``in_process``, ``fork``, ``spawn``.
    engine: str = "in_process"
    #: Artifacts of run 1 that ``repro.step`` captured.
    captured_steps: list[str] = field(default_factory=list)
