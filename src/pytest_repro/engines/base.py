"""The protocol of all engines: a planned run goes in, its outcome comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from pytest_repro.axes import Effect, EngineName, find_axis, is_built_in
from pytest_repro.engines.condition import arguments_of
from pytest_repro.engines.current import CurrentRun
from pytest_repro.errors import ChildError, DivergenceError, InconclusiveError, ReproError
from pytest_repro.model import (
    JSON,
    REFERENCE,
    Artifacts,
    Condition,
    EquivalenceFinding,
    Judgement,
    NotCompared,
    Reached,
    TolerancePolicy,
)

if TYPE_CHECKING:
    from pytest_repro.capturing import Spill

#: The axis whose value a test may also take as an argument.
DEVICE = "device"
Outcome = Literal["passed", "failed", "skipped", "error"]
Value = TypeVar("Value")
Raised = TypeVar("Raised", bound=BaseException)


class EngineUnusableError(ChildError):
    """The engine cannot make runs here, and another engine may.

    Attributes
    ----------
    is_general : bool
        Whether other tests may be unable to use the engine, too.
    """

    is_general = True


class FreshInterpretersNeededError(EngineUnusableError):
    """Fresh interpreters must make all runs of a test: forks of interpreters that were started earlier do not suffice.

    The engine itself works.
    """

    is_general = False


class OwnForksNeededError(EngineUnusableError):
    """Each run of a test must have a process of its own: in those that had run other tests its results differed.

    The engine itself works.
    """

    is_general = False


@dataclass(frozen=True, slots=True)
class PlannedExecution:
    """One run to make.

    Attributes
    ----------
    index : int
        1 for the baseline.
    seed : int
    differs_in : Condition
        The values that are not the baseline's. Shown to the user.
    complete : Condition
        Everything that the run is given.
    policy : TolerancePolicy
        Allowed differences from run 1.
    is_fresh : bool
        Whether a fresh interpreter must make it, though forks can make other runs of the test.
    """

    index: int
    seed: int
    differs_in: Condition
    complete: Condition
    policy: TolerancePolicy
    is_fresh: bool = False

    @property
    def arguments(self) -> dict[str, JSON]:
        """Arguments that the test is called with in this run, with the device if that is varied."""
        device = {DEVICE: self.device} if DEVICE in self.complete.as_dict() else {}
        return arguments_of(self.complete) | device

    @property
    def device(self) -> str:
        """Device that the run is to compute on."""
        return str(self.complete.as_dict().get(DEVICE) or "cpu")

    def begin(
        self, *, index: int | None = None, spill: Spill | None = None, baseline: Artifacts | None = None
    ) -> CurrentRun:
        """Return the run as the test's fixtures see it. `index` numbers a repeat within it, as of an example."""
        return CurrentRun(
            self.index if index is None else index,
            self.seed,
            self.differs_in,
            device=self.device,
            is_reference=self.is_reference,
            spill=spill,
            baseline=baseline,
        )

    @property
    def is_reference(self) -> bool:
        """Whether the run is made in float64, as the reference of an automatic tolerance."""
        return REFERENCE in self.complete.as_dict()

    @property
    def ignored_traits(self) -> tuple[str, ...]:
        """Traits in which this run's artifacts differ from run 1's by the nature of the axes that it varies."""
        names = [name for name, _ in self.differs_in if is_built_in(name)]
        return tuple(trait for name in names for trait in find_axis(name).ignored_traits)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Settings of all runs of a test.

    Attributes
    ----------
    axes : list of str
        Axes whose effect every run reads back.
    keeps_locals : bool
        Whether the test's local variables are compared where it returns nothing.
    timeout_s : float or None
        For the test function of one run.
    memory_limit_bytes : int
        Limit on what one run captures in memory.
    base_seed : int
        The session's seed, from which fixtures with a wider scope are seeded.
    hints : bool
        Whether a run notes what it reaches, for a hint after an identical verdict.
    """

    axes: list[str]
    keeps_locals: bool = False
    timeout_s: float | None = None
    memory_limit_bytes: int = 2**30
    base_seed: int = 0
    hints: bool = False


@dataclass(slots=True)
class RunOutcome:
    """The end and the results of one run.

    Attributes
    ----------
    outcome : {"passed", "failed", "skipped", "error"}
    reason : str
        Why it did not pass.
    artifacts : Artifacts
    took_locals : bool
        Whether the artifacts are the test's local variables.
    has_results : bool
        Whether an unmarked test produced something to compare.
    effects : tuple of Effect
        The axes' values as they were read back.
    settings : dict of name -> JSON
        Numerical settings at the end of the run, where they were read.
    inputs : dict
        ``data`` and ``config``: name -> description.
    equivalences : list of EquivalenceFinding
        Findings of the assertions that the test takes as arguments.
    seconds : float
    cpu_s : float
        CPU time of the process that made the run [s]. 0 if it was not measured.
    longrepr : str
        The failure as pytest shows it, of a run in another process.
    is_xfail : bool
        Whether pytest takes the failure for an expected one.
    where : str
        File and line where a run that did not pass ended.
    ends_by_mark : bool
        Whether a mark that the test had before its first run explains the skip or the expected failure.
    refused : list of NotCompared
        Captures that were refused, which the test may have caught.
    engine : {"in_process", "fork", "spawn"}
        What made the run.
    interpreter : str
        What the interpreter of a fork was started for. Empty for nothing in particular.
    tests_before : int
        Number of the tests that the process had run before.
    reached : dict of Reached -> None
        What the run was seen to reach, in order, where hints are given.
    judgements : dict of Judgement -> int
        What this package's assertions found in it, and how often.
    """

    outcome: Outcome = "passed"
    reason: str = ""
    artifacts: Artifacts = field(default_factory=Artifacts)
    took_locals: bool = False
    has_results: bool = False
    effects: tuple[Effect, ...] = ()
    settings: dict[str, JSON] = field(default_factory=dict)
    inputs: dict[str, dict[str, JSON]] = field(default_factory=dict)
    equivalences: list[EquivalenceFinding] = field(default_factory=list)
    seconds: float = 0.0
    cpu_s: float = 0.0
    longrepr: str = ""
    is_xfail: bool = False
    where: str = ""
    ends_by_mark: bool = False
    refused: list[NotCompared] = field(default_factory=list)
    engine: EngineName = "in_process"
    interpreter: str = ""
    tests_before: int = 0
    reached: dict[Reached, None] = field(default_factory=dict)
    judgements: dict[Judgement, int] = field(default_factory=dict)

    @property
    def may_end_otherwise(self) -> bool:
        """Whether the test itself chose to skip or to xfail, so that another run may choose differently."""
        return not self.ends_by_mark and (self.outcome == "skipped" or self.is_xfail)


#: Takes the outcome of a run whose body ended well, and raises where the test must fail by it.
Take = Callable[[RunOutcome], None]
#: Makes the arguments of a test that are bound to the run in progress.
Bind = Callable[[CurrentRun], Mapping[str, Any]]


class Engine(Protocol):
    """Makes runs of one test.

    Attributes
    ----------
    name : {"in_process", "fork", "spawn"}
        As a report calls it.
    can_probe : bool
        Whether it can make a run at any time, beside those of the plan.
    adds_control : bool
        Whether run 1 is repeated once more where a run along an axis differs and no plain repeat was made.
    is_provisional : bool
        Whether a difference counts only if another engine shows it.
    """

    name: EngineName
    can_probe: bool
    adds_control: bool
    is_provisional: bool

    def run(self, planned: PlannedExecution, take: Take | None = None) -> RunOutcome:
        """Make one run.

        Parameters
        ----------
        planned : PlannedExecution
        take : callable, optional
            Is given the outcome of a run that passed, as far inside the run as the engine can: an error that it raises
            is the test's own failure. Without it the run is a probe, of which the user is shown nothing.

        Raises
        ------
        EngineUnusableError
            If the engine cannot make the test's runs here.
        ChildError
            If the run left no outcome that can be trusted.
        """

    def finish(self, *, is_last: bool) -> bool:
        """Clear up after a run, and return whether another one can follow."""


def mark_own(error: Raised) -> Raised:
    """Mark an error that the plugin itself raises, which pytest is to show without a traceback."""
    error.raised_by_plugin = True  # type: ignore[attr-defined]
    return error


def raise_own(step: Callable[[], Value]) -> Value:
    """Mark the plugin's own errors that a step raises."""
    __tracebackhide__ = True
    try:
        return step()
    except (ReproError, DivergenceError, InconclusiveError) as error:
        mark_own(error)
        raise
