"""How the verdicts of tests changed over the reports of several sessions, and at which commits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pytest_repro.model.comparison import Verdict
from pytest_repro.model.reported import ReportedSession, ReportedTest

#: What one report says of a test. Only `passed` is good: a report that lacks a test says nothing of it.
PASSED, DIVERGED, UNCLEAR, MISSING, UNKNOWN, EXCLUDED = (
    "passed", "diverged", "unclear", "missing", "unknown", "not_checked",
)  # fmt: skip
#: Points that say whether the results were the same.
_JUDGED = (PASSED, DIVERGED)


@dataclass(frozen=True, slots=True)
class HistoryReport:
    """One report.

    Attributes
    ----------
    name : str
        Of its file.
    started, committed : str
        In UTC by ISO 8601; empty where unknown.
    commit : str
        Empty where unknown.
    is_dirty : bool
        Whether the code had changes that are not in the commit.
    counts : dict of str -> int
        Its tests by point.
    """

    name: str
    started: str = ""
    committed: str = ""
    commit: str = ""
    is_dirty: bool = False
    tool: str = ""
    is_finished: bool = True
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def time(self) -> str:
        """When its commit was made or, where that is unknown, when it started."""
        return self.committed or self.started


@dataclass(frozen=True, slots=True)
class TestHistory:
    """What the reports say of one test.

    Attributes
    ----------
    points : tuple of str
        One for each report: ``passed``, ``diverged``, ``unclear`` (inconclusive, or an error), ``missing``,
        ``unknown`` (missing in an unfinished report), ``not_checked``.
    state : str
        ``diverged`` or ``passed`` by the last report that judges it; ``unclear`` if none does.
    last_good, first_bad : int or None
        Reports (from 0) between which it began to diverge, of a test that diverges. Without a good one before, None.
    last_bad, first_good : int or None
        Reports between which it was mended, of a test that passes and diverged before.
    between : int
        Reports between the two that do not judge it.
    changes : int
        How often it changed between passing and diverging.
    later : int
        Reports after the last one that judges it.
    causes : tuple of str
        Codes of the causes in the last report in which it diverged.
    """

    __test__ = False

    nodeid: str
    points: tuple[str, ...]
    state: str
    last_good: int | None = None
    first_bad: int | None = None
    last_bad: int | None = None
    first_good: int | None = None
    between: int = 0
    changes: int = 0
    later: int = 0
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """All reports in the order of their commits, and all tests: those that diverge now first."""

    reports: tuple[HistoryReport, ...]
    tests: tuple[TestHistory, ...]

    @property
    def diverging(self) -> list[TestHistory]:
        """Tests that diverge by the last report that judges them."""
        return [test for test in self.tests if test.state == DIVERGED]

    @property
    def mended(self) -> list[TestHistory]:
        """Tests that pass now, and diverged before."""
        return [test for test in self.tests if test.state == PASSED and test.last_bad is not None]


def make_history(sessions: Sequence[tuple[str, ReportedSession]]) -> History:
    """Return the history of named sessions.

    They are ordered by the time of their commit, and for one commit by when they started. One whose commit is unknown
    is placed by when it started. One without any time, which an older release wrote, comes first.
    """
    described = [(_describe(name, session), session) for name, session in sessions]
    described.sort(key=lambda pair: (pair[0].time, pair[0].started))  # stable: the order given decides the rest
    tests: dict[str, dict[int, ReportedTest]] = {}
    excluded: dict[str, set[int]] = {}
    for number, (_, session) in enumerate(described):
        for test in session.tests:
            tests.setdefault(test.nodeid, {})[number] = test
        for each in session.not_checked:
            excluded.setdefault(each.test, set()).add(number)
    reports = [report for report, _ in described]
    found = [_trace(name, tests.get(name, {}), excluded.get(name, set()), reports) for name in {**tests, **excluded}]
    order = {DIVERGED: 0, UNCLEAR: 1, PASSED: 2}
    found.sort(key=lambda test: (order[test.state], -(test.first_bad or 0), -test.changes, test.nodeid))
    counted = []
    for number, report in enumerate(reports):
        counts = Counter(test.points[number] for test in found)
        kept = {kind: counts[kind] for kind in (PASSED, DIVERGED, UNCLEAR, MISSING, UNKNOWN, EXCLUDED) if counts[kind]}
        counted.append(
            HistoryReport(
                report.name,
                report.started,
                report.committed,
                report.commit,
                report.is_dirty,
                report.tool,
                report.is_finished,
                kept,
            )
        )
    return History(tuple(counted), tuple(found))


def _describe(name: str, session: ReportedSession) -> HistoryReport:
    code = session.code or {}
    commit, is_dirty = code.get("commit"), code.get("dirty")
    return HistoryReport(
        name,
        session.started,
        session.committed,
        commit if isinstance(commit, str) else "",
        is_dirty is True,
        session.tool,
        session.is_finished,
    )


def _trace(
    name: str, tests: dict[int, ReportedTest], excluded: set[int], reports: Sequence[HistoryReport]
) -> TestHistory:
    points = []
    for number, report in enumerate(reports):
        if number in tests:
            points.append(_point_of(tests[number]))
        elif number in excluded:
            points.append(EXCLUDED)
        else:
            points.append(MISSING if report.is_finished else UNKNOWN)
    judged = [number for number, point in enumerate(points) if point in _JUDGED]
    changes = sum(points[one] != points[other] for one, other in pairwise(judged))
    bad = [number for number in judged if points[number] == DIVERGED]
    causes = _causes_of(tests[bad[-1]]) if bad else ()
    if not judged:
        return TestHistory(name, tuple(points), UNCLEAR)
    state = points[judged[-1]]
    later = len(points) - 1 - judged[-1]
    others = [number for number in judged if points[number] != state]
    before = others[-1] if others else None
    first = next(number for number in judged if before is None or number > before)
    between = first - before - 1 if before is not None else 0
    common = {"between": between, "changes": changes, "later": later}
    if state == DIVERGED:
        return TestHistory(name, tuple(points), state, last_good=before, first_bad=first, causes=causes, **common)
    mended = first if before is not None else None
    return TestHistory(name, tuple(points), state, last_bad=before, first_good=mended, causes=causes, **common)


def _point_of(test: ReportedTest) -> str:
    if test.verdict:
        return PASSED
    return DIVERGED if test.verdict is Verdict.DIVERGED else UNCLEAR


def _causes_of(test: ReportedTest) -> tuple[str, ...]:
    causes = test.diagnosis.causes if test.diagnosis is not None else ()
    return tuple(dict.fromkeys(cause.code for cause in causes))
