"""What a session found that somebody has to act on: one finding for each cause and place, with all its tests.

Annotations, GitLab's code quality report and the summary of a CI job show these. A test that fails on purpose, or was
skipped, is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from pytest_repro.model import Cause, Verdict
from pytest_repro.model.reported import ReportedSession, ReportedTest
from pytest_repro.records.evidence import MAX_LISTED
from pytest_repro.reporting.grouping import has_finding
from pytest_repro.reporting.summary import UNFINISHED

#: Codes of findings that no diagnosis named.
UNKNOWN, ERROR, INCONCLUSIVE, ASSERTION, SESSION = "unknown", "error", "inconclusive", "assertion", "session"
_TITLES = {
    UNKNOWN: "Not reproducible: cause unknown",
    ERROR: "Reproducibility: a run failed by itself",
    INCONCLUSIVE: "Reproducibility: inconclusive",
}
Level = Literal["error", "warning"]
NOTHING_RAN = "No reproducible test and no assertion of pytest-repro ran, so nothing is shown."


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the user's code.

    Attributes
    ----------
    file : str
        As the report names it: relative to pytest's root folder if it is below it.
    line : int or None
        From 1. None for the file as a whole.
    source : str
        The text of the statement, where it is known.
    """

    file: str
    line: int | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause at one place.

    Attributes
    ----------
    level : {"error", "warning"}
        A warning does not fail the session: the test has an xfail mark, or caught the assertion that failed.
    code : str
        The cause's code, or ``unknown``, ``error``, ``inconclusive``, ``assertion`` or ``session``.
    title : str
        One line.
    place : Place or None
        None for a finding about the session as a whole.
    text : str
        The evidence, or the reason.
    fix : str
        Empty if it is not known.
    tests : tuple of str
        Names of the tests that it concerns.
    repeat_command : str
        What repeats the first of them.
    """

    level: Level
    code: str
    title: str
    place: Place | None = None
    text: str = ""
    fix: str = ""
    tests: tuple[str, ...] = ()
    repeat_command: str = ""


def find_findings(session: ReportedSession) -> list[Finding]:
    """Return the findings of a session: about the session itself first, then errors, then those with the most tests."""
    grouped: dict[tuple[object, ...], Finding] = {}
    for found in [*_of_tests(session), *_of_assertions(session)]:
        # A finding without a line is about one thing that a test says, so another text is another finding.
        line = found.place.line if found.place is not None else None
        key = (found.level, found.title, found.place, "" if line is not None else found.text)
        known = grouped.setdefault(key, found)
        grouped[key] = replace(known, tests=tuple(dict.fromkeys([*known.tests, *found.tests])))
    ranked = sorted(grouped.values(), key=lambda each: (each.level != "error", -len(each.tests)))
    return [*_of_session(session), *ranked]


def _of_session(session: ReportedSession) -> Iterator[Finding]:
    if not session.is_finished:
        yield Finding("error", SESSION, "Reproducibility: session not finished", text=UNFINISHED)
    if not session.tests and not session.assertions:
        yield Finding("warning", SESSION, "Reproducibility: nothing was tested", text=NOTHING_RAN)


def _of_tests(session: ReportedSession) -> Iterator[Finding]:
    expected = set(session.pytest.xfailed_tests) if session.pytest is not None else set()
    for test in session.tests:
        level: Level = "warning" if test.nodeid in expected else "error"
        if test.verdict is Verdict.DIVERGED:
            yield from _of_divergence(test, level)
        elif test.verdict is Verdict.ERROR:
            yield _finding(test, level, ERROR, text=test.reason)
        elif test.verdict is Verdict.INCONCLUSIVE and has_finding(test):
            yield _finding(test, level, INCONCLUSIVE, text=test.reason)


def _of_divergence(test: ReportedTest, level: Level) -> Iterator[Finding]:
    found = test.diagnosis
    causes, suspected = (found.causes, found.suspected) if found is not None else ((), ())
    for cause in causes:
        yield _of_cause(test, level, cause, f"Not reproducible: {cause.code}")
    if causes:
        return
    for cause in suspected:
        yield _of_cause(test, level, cause, f"Not reproducible: {cause.code} suspected")
    if not suspected:
        yield _finding(test, level, UNKNOWN, text=_describe_difference(test), place=_first_place(test))


def _of_cause(test: ReportedTest, level: Level, cause: Cause, title: str) -> Finding:
    place = cause.location
    where = Place(place.file, place.line, place.source) if place is not None else _first_place(test)
    return _finding(test, level, cause.code, title=title, text=cause.evidence, fix=cause.fix, place=where)


def _first_place(test: ReportedTest) -> Place | None:
    """Return where the first value differs, if that is known."""
    first = test.diagnosis.first_divergence if test.diagnosis is not None else None
    return None if first is None else Place(first.file, first.line, first.source)


def _describe_difference(test: ReportedTest) -> str:
    """Say in a sentence what differs in a test whose cause is not known."""
    if test.reason:
        return test.reason
    for equivalence in test.equivalences:
        if equivalence.verdict == Verdict.DIVERGED.value and equivalence.message:
            return f"axis {equivalence.axis}: {equivalence.message}"
    worst = test.worst
    if worst is None or worst.is_allowed:
        return "the runs differ"
    name = worst.artifact or "the result"
    of_record = test.record is not None and worst in test.record.differences
    return f"{name}: {worst.differing:,} of {worst.elements:,} differ from {'the record' if of_record else 'run 1'}"


def _finding(
    test: ReportedTest,
    level: Level,
    code: str,
    *,
    text: str,
    title: str = "",
    fix: str = "",
    place: Place | None = None,
) -> Finding:
    return Finding(
        level,
        code,
        title or _TITLES[code],
        place or Place(_file_of(test.nodeid)),
        text,
        fix,
        (test.nodeid,),
        test.repeat_command,
    )


def _file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _of_assertions(session: ReportedSession) -> Iterator[Finding]:
    """Return what assertions of this package found in tests that no verdict covers, or that went on all the same."""
    judged = {test.nodeid for test in session.tests if not test.verdict}
    for each in session.assertions:
        if each.has_passed or each.test in judged:
            continue
        caught = _has_gone_on(session, each.test)
        title = f"Not reproducible: {each.assertion} {each.verdict}{', and the test went on' if caught else ''}"
        place = Place(_file_of(each.test))
        yield Finding("warning" if caught else "error", ASSERTION, title, place, each.message, tests=(each.test,))


def _has_gone_on(session: ReportedSession, name: str) -> bool:
    """Return whether pytest is known not to have failed a test: the list of those that failed is whole, without it."""
    outcome = session.pytest
    is_whole = outcome is not None and session.is_finished and len(outcome.failing_tests) < MAX_LISTED
    return is_whole and outcome is not None and name not in outcome.failing_tests
