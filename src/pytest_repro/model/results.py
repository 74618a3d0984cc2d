"""The result of a test: its runs, its verdict, and why it diverged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from pytest_repro.model.comparison import Comparison, Verdict
from pytest_repro.model.places import FirstDivergence, TraceRow
from pytest_repro.model.runs import JSON, Condition, Judgement, NotCompared, Reached

if TYPE_CHECKING:
    from pytest_repro.model.reported import ReportedRecord


@dataclass(frozen=True, slots=True)
class EquivalenceFinding:
    """The result of an equivalence assertion that a test took as an argument: an axis of the matrix.

    Attributes
    ----------
    axis, name : str
        The argument and the assertion.
    cell : str
        The matrix' cell: the verdict's value, unstable, or not_varied.
    message : str
        Why it does not pass; empty if it does.
    first : str
        The first step or artifact that differs.
    causes, suspected : tuple of Cause
        What was shown to make the difference, and what may have made it and could not be tried.
    trials : tuple of (varied, Comparison)
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
    suspected: tuple[Cause, ...] = ()


@dataclass(slots=True)
class RunResult:
    """One run: its condition, how it ended, the digest of its artifacts."""

    index: int
    condition: Condition = field(default_factory=Condition)
    outcome: Literal["passed", "failed", "skipped", "error"] = "passed"
    duration_s: float = 0.0
    digest: str | None = None
    reason: str = ""
    settings: dict[str, JSON] = field(default_factory=dict)
    #: ``data`` and ``config``: name -> description, as the test named them.
    inputs: dict[str, dict[str, JSON]] = field(default_factory=dict)
    #: Results of the equivalence assertions that the test took as arguments.
    equivalences: list[EquivalenceFinding] = field(default_factory=list)
    #: Whether pytest takes its failure for an expected one.
    is_xfail: bool = False
    #: File and line where a run that did not pass ended, if they are known.
    where: str = ""
    #: Captures that were refused, which the test may have caught.
    refused: list[NotCompared] = field(default_factory=list)
    #: ``in_process``, ``fork`` or ``spawn``.
    engine: str = "in_process"
    #: What the interpreter of a fork was started for, as in ``PYTHONHASHSEED=1``. Empty for nothing in particular.
    interpreter: str = ""
    #: Number of the tests that the process had run before, as a fork of a scan has.
    tests_before: int = 0
    #: What it was seen to reach, where hints are given.
    reached: list[Reached] = field(default_factory=list)
    #: What this package's assertions found in it, and how often.
    judgements: list[tuple[Judgement, int]] = field(default_factory=list)

    @property
    def ending(self) -> str:
        """How it ended: its outcome, or ``xfailed``."""
        return "xfailed" if self.is_xfail and self.outcome in ("failed", "error") else self.outcome


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the user's code, with the text of its line where that can be read."""

    file: str
    line: int
    function: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """A reason why runs differ, with its evidence and its fix.

    Attributes
    ----------
    code : str
        ``family.name`` of the taxonomy.
    axis : str or None
        The axis that shows it; None (or empty) if none does.
    confidence : {"probed", "seen", "state", "suspected"}
        How it was shown: by runs in which pinning it alone made the results identical; by a call on the way to the
        differing value; by state that differed before the test began. A suspected cause could not be tried.
    """

    code: str
    axis: str | None = None
    evidence: str = ""
    fix: str = ""
    confidence: str = "probed"
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
    call_fixes : tuple of (str, str)
        The same for a function that the statement calls, or for the detail of a sighting there. The first counts.
    """

    meaning: str
    fix: str
    library_fix: str = ""
    call_fixes: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Diagnosis:
    """The result of the search for a cause, beyond the axes.

    Attributes
    ----------
    ruled_out : list of str
        Sources that were pinned, or varied alone, and changed nothing.
    not_tried : list of str
        Sources that were still to be pinned when the budget was spent.
    seconds : float
        Time on the clock that the diagnosis took [s].
    cpu_s : float
        CPU time of all that was done beyond the planned runs: controls, isolation of axes, diagnosis [s].
    complete : bool
        False where the budget ran out or something could not be inspected.
    rows : list of TraceRow
        The two traces side by side around the first difference.
    stopped_by : str
        Which limit ended it early: ``test``, ``session`` or ``clock``; empty if none did.
    """

    first_divergence: FirstDivergence | None = None
    ruled_out: list[str] = field(default_factory=list)
    not_tried: list[str] = field(default_factory=list)
    seconds: float = 0.0
    cpu_s: float = 0.0
    complete: bool = True
    rows: list[TraceRow] = field(default_factory=list)
    stopped_by: str = ""


@dataclass(slots=True)
class TestResult:
    """A test's verdict with all that led to it, of which :mod:`pytest_repro.model.reported` is published."""

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
    #: What may be a cause and could not be tried.
    suspected: list[Cause] = field(default_factory=list)
    #: None where none was made.
    diagnosis: Diagnosis | None = None
    #: Axis -> its components that alone make a run differ, where they were searched for.
    components: dict[str, list[str]] = field(default_factory=dict)
    #: Run -> the axes that its divergence was traced to; empty where they could not be isolated.
    blamed: dict[int, list[str]] = field(default_factory=dict)
    #: None where neither recording nor verifying was requested.
    record: ReportedRecord | None = None
    #: ``in_process``, ``fork`` or ``spawn``.
    engine: str = "in_process"
    #: What the runs gave and no comparison looked at.
    not_compared: list[NotCompared] = field(default_factory=list)
    #: Artifacts of run 1 that ``repro.step`` captured.
    captured_steps: list[str] = field(default_factory=list)
