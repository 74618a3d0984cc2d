"""A session's results as ``--repro-json`` publishes them (docs/schemas/repro-json-1.schema.json).

Terminal summary, HTML, Markdown and ``pytest-repro explain`` read these values, whether they come from the session or
from a file. Fields are named like the document's keys; a key may be absent where its field has a default. Words such as
`engine` and `confidence` are plain text, since a later release may know more of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from pytest_repro.errors import StoreError
from pytest_repro.model.accepted import Acceptance, KnownTally, NotChecked
from pytest_repro.model.codec import decode, encode
from pytest_repro.model.comparison import KIND_ORDER, ArtifactComparison, DivergenceKind, Verdict
from pytest_repro.model.places import FirstDivergence, TraceRow
from pytest_repro.model.redaction import redact_name, redact_texts, redact_value
from pytest_repro.model.results import Cause
from pytest_repro.model.runs import JSON, Judgement

SCHEMA_VERSION = 1
#: Exit status of a session in which no test was collected.
NO_TESTS = 5
#: The result of varying an axis: a verdict, or the reason for having none.
MatrixCell = Literal[
    "identical", "within_tolerance", "diverged", "unstable", "not_isolated", "not_judged", "not_varied", "not_available"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """The published figures of one artifact that differs, as in :class:`ArtifactComparison`."""

    artifact: str
    kind: DivergenceKind
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    elements: int = 0
    differing: int = 0
    over: int = 0
    max_ulp: int | None = None
    max_abs: float | None = None
    max_rel: float | None = None
    norm_rel: float | None = None
    first_index: tuple[int, ...] | None = None
    expected: str = ""
    actual: str = ""
    allowed: str = ""
    minimum: str = ""
    error_ratio: float | None = None
    note: str = ""
    ulp_histogram: tuple[int, ...] = ()

    @property
    def is_allowed(self) -> bool:
        """Whether a tolerance admits it."""
        return False

    @property
    def rank(self) -> tuple[int, int, float, float]:
        """Sort key: beyond the bounds first, then structural, then the largest."""
        ulp = math.inf if self.max_ulp is None else float(self.max_ulp)
        return (int(self.is_allowed), KIND_ORDER.index(self.kind), -ulp, -(self.max_abs or 0.0))


@dataclass(frozen=True, slots=True)
class ToleratedDifference(Difference):
    """A difference that a tolerance admitted."""

    is_allowed = True


@dataclass(frozen=True, slots=True)
class RunDifference(Difference):
    """A difference of one run from run 1.

    Attributes
    ----------
    axis : str or None
        The axis, if it is one.
    axes : tuple of str
        The axes to blame; those that the run varied where that is open.
    """

    run: int = 0
    axis: str | None = None
    axes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordDifference(Difference):
    """A difference of run 1 from the test's record."""

    within: bool = False

    @property
    def is_allowed(self) -> bool:
        """Whether a tolerance admits it."""
        return self.within


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """One run: its condition, how it ended, the digest of its results."""

    index: int
    condition: dict[str, JSON] = field(default_factory=dict)
    outcome: str = ""
    duration_s: float = 0.0
    digest: str | None = None
    reason: str = ""
    settings: dict[str, JSON] = field(default_factory=dict)
    engine: str = ""
    interpreter: str = ""
    tests_before: int = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """The extent of the comparisons: the largest numbers of any of them."""

    artifacts: int = 0
    elements: int = 0


@dataclass(frozen=True, slots=True)
class ReportedTrial:
    """One trial of an equivalence assertion: what it varied, and what came of it."""

    varied: str
    verdict: str


@dataclass(frozen=True, slots=True)
class ReportedEquivalence:
    """One call of an equivalence assertion that is an axis of the test."""

    run: int
    axis: str
    assertion: str
    verdict: str
    trials: tuple[ReportedTrial, ...] = ()
    first: str = ""
    message: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Circumstance:
    """One thing that differs between where a record was made and here.

    Attributes
    ----------
    part, name : str
        ``package that computes``, ``numpy``.
    weight : int
        How likely it explains another result, from 0 to 100.
    changes_bits : bool
        Whether other bits are to be expected because of it.
    confirm : str or None
        The option that could confirm it here.
    """

    part: str = ""
    name: str = ""
    recorded: JSON = None
    here: JSON = None
    weight: int = 0
    changes_bits: bool = False
    confirm: str | None = None


@dataclass(frozen=True, slots=True)
class ReportedRecord:
    """The state of a test's record.

    Attributes
    ----------
    status : str
        ``verified``, ``differs``, ``recorded`` ...
    replaced : str
        How overwritten results differed from the new ones; empty if none were overwritten.
    verdict, tier, tier_reason : str or None
        Of the comparison with the record; None without one.
    unrecorded : tuple of str
        What may differ from when the record was made as well, and is not compared.
    sha256 : str
        Digest of the record's file, hexadecimal; empty without one.
    """

    status: str
    path: str = ""
    reason: str = ""
    replaced: str = ""
    verdict: str | None = None
    tier: str | None = None
    tier_reason: str | None = None
    differences: tuple[RecordDifference, ...] = ()
    circumstances: tuple[Circumstance, ...] = ()
    unrecorded: tuple[str, ...] = ()
    sha256: str = ""

    @property
    def changed_bounds(self) -> tuple[Circumstance, ...]:
        """What the record and the test allow differently."""
        return tuple(each for each in self.circumstances if each.part == "tolerance")


@dataclass(frozen=True, slots=True)
class ReportedDiagnosis:
    """The causes of a divergence, best first, and the first value that differs.

    Attributes
    ----------
    ruled_out : tuple of str
        Axes that changed nothing when varied alone, and sources that changed nothing when pinned.
    complete : bool
        False where the time ran out, or the place was not searched for.
    seconds : float
        Time on the clock that the diagnosis took [s].
    cpu_s : float
        CPU time of all that was done beyond the planned runs: controls, isolation of axes, diagnosis [s].
    not_tried : tuple of str
        Sources that were still to be pinned when the budget was spent.
    suspected : tuple of Cause
        What may be a cause and could not be tried.
    stopped_by : str
        Which limit ended it early: ``test``, ``session`` (``--repro-budget``), ``clock``; empty if none did.
    """

    causes: tuple[Cause, ...] = ()
    first_divergence: FirstDivergence | None = None
    ruled_out: tuple[str, ...] = ()
    seconds: float = 0.0
    complete: bool = False
    rows: tuple[TraceRow, ...] = ()
    cpu_s: float = 0.0
    not_tried: tuple[str, ...] = ()
    suspected: tuple[Cause, ...] = ()
    stopped_by: str = ""


@dataclass(frozen=True, slots=True)
class StepPoint:
    """The distance of one step's value from run 1's, in figures that are None where they do not apply."""

    step: int
    kind: str = ""
    max_ulp: int | None = None
    max_abs: float | None = None
    norm_rel: float | None = None
    within: bool = False


@dataclass(frozen=True, slots=True)
class StepSeries:
    """The distances of one value of ``repro.step`` in one run, at the steps that have the value."""

    run: int
    name: str
    captured: int = 0
    differing: int = 0
    first_differing: int = 0
    points: tuple[StepPoint, ...] = ()
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Omission:
    """A value that a run gave and that was not compared: its path, its type, and why."""

    name: str
    type: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReportedTest:
    """One test's result.

    Attributes
    ----------
    data, config : dict of str -> JSON
        Data and hyperparameters of run 1, as the test named them with ``repro.data`` and ``repro.config``.
    acceptance : Acceptance or None
        What the session made of a test that is no pass, where it has a file of known findings or only lists findings.
    """

    nodeid: str
    verdict: Verdict
    seed: int
    engine: str = ""
    runs: tuple[ReportedRun, ...] = ()
    divergences: tuple[RunDifference, ...] = ()
    divergences_left_out: int = 0
    largest_tolerated: ToleratedDifference | None = None
    compared: Compared = Compared()
    matrix: dict[str, MatrixCell] = field(default_factory=dict)
    equivalences: tuple[ReportedEquivalence, ...] = ()
    record: ReportedRecord | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()
    repeat_command: str = ""
    diagnosis: ReportedDiagnosis | None = None
    steps: tuple[StepSeries, ...] = ()
    not_compared: tuple[Omission, ...] = ()
    not_compared_left_out: int = 0
    hints: tuple[str, ...] = ()
    data: dict[str, JSON] = field(default_factory=dict)
    config: dict[str, JSON] = field(default_factory=dict)
    acceptance: Acceptance | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether pytest reports its finding as an expected failure, since it is known or only listed."""
        return self.acceptance is not None and self.acceptance.is_accepted

    @property
    def duration_s(self) -> float:
        """Duration of all runs together [s]."""
        return round(sum(run.duration_s for run in self.runs), 3)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """All published differences: from run 1, from the record, and the largest tolerated one."""
        of_record = self.record.differences if self.record else ()
        return (*self.divergences, *of_record, *((self.largest_tolerated,) if self.largest_tolerated else ()))

    @property
    def tolerated(self) -> tuple[Difference, ...]:
        """The largest difference between runs that a tolerance admitted, and those from the record, largest first."""
        return tuple(sorted((each for each in self.differences if each.is_allowed), key=lambda each: each.rank))

    @property
    def worst(self) -> Difference | None:
        """The difference that a reader should see first."""
        return min(self.differences, key=lambda found: found.rank, default=None)


@dataclass(frozen=True, slots=True)
class ReportedAssertion:
    """What one assertion of this package found in one test, with or without the marker.

    Attributes
    ----------
    verdict : str
        ``passed``, a verdict, or ``error``.
    count : int
        Calls with this finding, in all runs together.
    """

    test: str
    assertion: str
    verdict: str
    message: str = ""
    count: int = 1

    @property
    def has_passed(self) -> bool:
        """Whether nothing speaks against the code under test."""
        return Judgement(self.assertion, self.verdict).has_passed


@dataclass(frozen=True, slots=True)
class SessionOutcome:
    """pytest's own outcome: of all tests of a session, also those that the plugin did not run.

    Attributes
    ----------
    exit_status : int or None
        As pytest ends with it: 0 if every test passed. None while the session runs.
    failing_tests : tuple of str
        Names of the tests that failed or broke, and of the files that could not be collected; not more than 1,000.
    xfailed_tests : tuple of str
        Names of the tests that failed as their xfail mark says.
    skipped_tests, deselected_tests : tuple of str
        Names of the tests that were not run on purpose; not more than 1,000 each.
    rerun_tests : tuple of str
        Names of the tests that failed and were run again, as pytest-rerunfailures does.
    collected : int or None
        Tests that were to run, without the deselected ones. None where it is not known.
    not_run : int
        Of those, the ones that did not begin: the session stopped, or a worker was lost.
    cut_off, cut_off_tests : int, tuple of str
        Tests that began and did not end, since the session ended within them.
    vanished, vanished_tests : int, tuple of str
        Tests that a plugin or a conftest removed after they were collected, and did not report as deselected.
    xpassed_tests : tuple of str
        Names of the tests that passed although they have an xfail mark that is not strict.
    """

    exit_status: int | None
    deselected: int = 0
    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    xfailed: int = 0
    xpassed: int = 0
    failing_tests: tuple[str, ...] = ()
    xfailed_tests: tuple[str, ...] = ()
    skipped_tests: tuple[str, ...] = ()
    deselected_tests: tuple[str, ...] = ()
    rerun_tests: tuple[str, ...] = ()
    collected: int | None = None
    not_run: int = 0
    cut_off: int = 0
    cut_off_tests: tuple[str, ...] = ()
    vanished: int = 0
    vanished_tests: tuple[str, ...] = ()
    xpassed_tests: tuple[str, ...] = ()

    @property
    def has_failed(self) -> bool:
        """Whether a test failed, broke or did not run, or pytest ended with an error of its own."""
        return self.exit_status not in (0, NO_TESTS, None) or bool(
            self.failed or self.errors or self.not_run or self.cut_off
        )

    def describe(self) -> str:
        """Return the counts in a line."""
        kinds = ("passed", "failed", "errors", "skipped", "xfailed", "xpassed", "deselected")
        counts = [f"{count:,} {kind}" for kind in kinds if (count := getattr(self, kind))]
        words = {"cut_off": "cut off", "not_run": "not run", "vanished": "removed after collection"}
        counts += [f"{count:,} {word}" for kind, word in words.items() if (count := getattr(self, kind))]
        status = "" if self.exit_status is None else f"; exit status {self.exit_status}"
        if self.exit_status is None and self.collected is not None:
            status = f", of {self.collected:,} that were to run"
        return f"{', '.join(counts) or 'no test'}{status}"


@dataclass(frozen=True, slots=True)
class ReportedSession:
    """All results of a session, with the environment and the state of the code where they were collected.

    Attributes
    ----------
    is_finished : bool
        False while the session runs, and for one that was interrupted, killed or stopped before its last test.
    not_checked : tuple of NotChecked
        Tests that their marker excludes.
    known : KnownTally or None
        What became of the entries of ``--repro-known``; None without the option.
    started : str
        When the session started, in UTC (``2026-12-01T14:19:00+00:00``). Empty in reports of older releases.
    tool : str
        Release of pytest-repro. Empty in reports of older releases.
    committed : str
        When the commit of `code` was made, in UTC. Empty where that is not known.
    """

    tests: tuple[ReportedTest, ...]
    environment: dict[str, JSON] | None = None
    code: dict[str, JSON] | None = None
    schema_version: int = SCHEMA_VERSION
    is_finished: bool = True
    pytest: SessionOutcome | None = None
    assertions: tuple[ReportedAssertion, ...] = ()
    not_checked: tuple[NotChecked, ...] = ()
    known: KnownTally | None = None
    started: str = ""
    tool: str = ""
    committed: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it came to its end, and pytest ended with success."""
        return self.is_finished and not (self.pytest is not None and self.pytest.has_failed)


def published_figures(difference: ArtifactComparison) -> dict[str, Any]:
    """Return the figures of a comparison that :class:`Difference` publishes, by their names."""
    figures = {part.name: getattr(difference, part.name) for part in fields(Difference)}
    shown = {side: redact_value(difference.artifact, figures[side]) for side in ("expected", "actual")}
    return {**figures, "dtype": difference.dtype or None, **shown}


def encode_session(session: ReportedSession) -> dict[str, Any]:
    """Return the document of a session."""
    document = encode(session)
    optional = ("assertions", "not_checked", "started", "tool", "committed")
    return {key: value for key, value in document.items() if value is not None and (value or key not in optional)}


def decode_session(document: Any) -> ReportedSession:
    """Return the results in a document, which is not trusted.

    Raises
    ------
    StoreError
        Naming the first place that is not as the schema demands.
    """
    version = document.get("schema_version") if isinstance(document, dict) else SCHEMA_VERSION
    if version != SCHEMA_VERSION or isinstance(version, bool):
        found = "missing" if version is None else ascii(version)[:40]
        raise StoreError(f"schema_version is {found}; this release reads {SCHEMA_VERSION}")
    return decode(ReportedSession, document)


def without_secrets(session: ReportedSession) -> ReportedSession:
    """Return the results of a session, which may be another's, without secrets. Names of tests stay distinct."""
    document = redact_texts(encode_session(session))
    for entry, test in zip(document["tests"], session.tests, strict=True):
        entry["nodeid"] = redact_name(test.nodeid)
    for excluded, each in zip(document.get("not_checked", ()), session.not_checked, strict=True):
        excluded["test"] = redact_name(each.test)
    return decode_session(document)
