"""Run one test in a session of its own, and compare what came of it with another session."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from packaging.utils import canonicalize_name

from pytest_repro.bisecting.results import WITHIN
from pytest_repro.comparing.elements import escape, shorten
from pytest_repro.comparing.message import describe_comparison, describe_steps
from pytest_repro.environments.environment import EnvironmentFacts, EnvironmentUnusableError
from pytest_repro.environments.processes import ChildExit, ChildProcesses
from pytest_repro.environments.sessions import session_command, session_variables
from pytest_repro.errors import RecordError, ReproError, StoreError, UsageError
from pytest_repro.model import ArtifactComparison, Comparison, TolerancePolicy, Verdict
from pytest_repro.model.reported import Difference, ReportedSession, ReportedTest, published_figures
from pytest_repro.records.checking import Tier, compare_by_tier
from pytest_repro.records.files import StoredRecord, read_record
from pytest_repro.records.policy import read_policy
from pytest_repro.reporting.json_report import read_report

WIDTH = 76
#: Exit statuses of pytest's sessions that ran their tests: all passed, or some failed.
_RAN = (0, 1)
_ERROR_LINE = re.compile(r"^E\s+(\S.*)$", re.MULTILINE)
_IMPORT_ERRORS = ("ImportError", "ModuleNotFoundError")


class UnstableError(ReproError):
    """The test has no single result in one environment, so that results of two cannot be compared.

    Common causes: an unseeded generator, threads, a test that depends on the time.
    """


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a session runs.

    Attributes
    ----------
    python : str
        Path of the interpreter.
    directory : Path
        Where it is started.
    paths : tuple of str
        Folders of sources on its search path.
    expected : (name, release), optional
        The package that must be imported in this release.
    origin : str
        Whether the environment was ``made`` for it, or ``kept`` from before. Empty where it needed none.
    """

    python: str
    facts: EnvironmentFacts
    directory: Path
    paths: tuple[str, ...] = ()
    expected: tuple[str, str] | None = None
    origin: Literal["made", "kept", ""] = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """The result of one test.

    Attributes
    ----------
    outcome : str
        ``passed``, ``failed`` or ``xfailed``.
    record : StoredRecord or None
        What it returned. None where it returned nothing, or did not pass.
    reason : str
        Why it failed.
    """

    outcome: str
    record: StoredRecord | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """The comparison of two observations. `text` describes it in a phrase, `table` in full."""

    differs: bool
    text: str
    table: str = ""
    differences: tuple[Difference, ...] = field(default=())


def run_session(
    seat: Seat, nodeid: str, folder: Path, options: Sequence[str], timeout_s: float
) -> tuple[ReportedSession, str]:
    """Run a session with one test, and return its report and the end of its output.

    Raises
    ------
    EnvironmentUnusableError
        If the test could not be run.
    UsageError
        If the name is that of several tests.
    """
    folder.mkdir()
    report = folder / "report.json"
    fixed = ["--no-repro-hints", "-p", "no:cacheprovider", "--tb=short", "--color=no", f"--repro-json={report}"]
    ended = ChildProcesses().run(
        session_command(seat.python, seat.facts, [nodeid, *fixed, "-o", "repro_verify=", *options]),
        environment=session_variables(folder, seat.paths),
        directory=seat.directory,
        timeout_s=timeout_s,
    )
    session = _read_session(report)
    if session is None or ended.returncode not in _RAN or not session.is_finished:
        raise EnvironmentUnusableError(f"the session {_say_end(ended)}")
    if session.pytest is not None and session.pytest.collected not in (1, None):
        raise UsageError(f"{nodeid} names {session.pytest.collected} tests; a bisection follows one")
    _check_release(seat, session)
    return session, ended.output


def _read_session(report: Path) -> ReportedSession | None:
    try:
        return read_report(report)
    except (OSError, StoreError):
        return None


def _say_end(ended: ChildExit) -> str:
    """Say how a session ended, with the last error that it printed."""
    found = _ERROR_LINE.findall(ended.output) or [line for line in ended.output.splitlines() if line.strip(" =")]
    return f"{ended.describe()}{f': {found[-1].strip()[:200]}' if found else ''}"


def _check_release(seat: Seat, session: ReportedSession) -> None:
    """Raise EnvironmentUnusableError if the session found another release than it was to have."""
    if seat.expected is None:
        return
    name, release = seat.expected
    packages: Any = (session.environment or {}).get("packages", {})
    found = next((packages[each].get("version") for each in packages if canonicalize_name(each) == name), None)
    if found is not None and found != release:
        raise EnvironmentUnusableError(f"the session imported {name} {found}: is it on PYTHONPATH?")


def observe(seat: Seat, nodeid: str, folder: Path, *, runs: int, timeout_s: float) -> Observation:
    """Return the result of a test.

    Raises
    ------
    EnvironmentUnusableError
        If it has none there: it cannot be run, is skipped, or is inconclusive.
    UnstableError
        If its runs differ from each other.
    """
    records = folder / "records"
    options = [f"--repro-runs={runs}", f"--repro-record={records}", "--no-repro-diagnose"]
    session, output = run_session(seat, nodeid, folder, options, timeout_s)
    test = session.tests[0] if session.tests else None
    outcome = _outcome_of(session)
    if test is not None:
        _check_runs(test)
    if outcome not in ("passed", "failed", "xfailed"):
        raise EnvironmentUnusableError(f"the test {outcome}{_say_reason(test, output)}")
    if outcome == "failed":
        reason = _say_reason(test, output).removeprefix(": ")
        if reason.startswith(_IMPORT_ERRORS):
            raise EnvironmentUnusableError(reason)
        return Observation(outcome, reason=reason)
    return Observation(outcome, _find_record(records, test))


def _outcome_of(session: ReportedSession) -> str:
    """Return how the one test of a session ended."""
    found = session.pytest
    if found is None:
        return "did not end"
    if found.errors:
        return "broke in its setup or teardown"
    words = {"failed": "failed", "xfailed": "xfailed", "xpassed": "passed", "passed": "passed", "skipped": "is skipped"}
    return next((word for kind, word in words.items() if getattr(found, kind)), "did not run")


def _check_runs(test: ReportedTest) -> None:
    """Raise an error if the runs of a test have no common result."""
    if test.verdict is Verdict.DIVERGED or len({run.outcome for run in test.runs}) > 1:
        raise UnstableError(f"its {len(test.runs)} runs differ from each other")
    if not test.verdict and all(run.outcome == "passed" for run in test.runs):
        raise EnvironmentUnusableError(f"the test is {test.verdict}: {test.reason}")


def _say_reason(test: ReportedTest | None, output: str) -> str:
    failed = [run.reason for run in test.runs if run.outcome != "passed"] if test is not None else []
    found = [each for each in failed if each] or _ERROR_LINE.findall(output)
    return f": {' '.join(found[0].split())[:200]}" if found else ""


def _find_record(folder: Path, test: ReportedTest | None) -> StoredRecord | None:
    """Return the record that a session has left, or None where the test returns nothing."""
    paths = sorted(folder.glob("*.json"))
    if paths:
        return read_record(paths[0])
    if test is not None and test.record is not None and test.record.status not in ("none", "recorded"):
        raise EnvironmentUnusableError(f"the result cannot be kept: {test.record.reason}")
    return None


def compare(actual: Observation, expected: Observation, *, is_exact: bool) -> Change:
    """Compare two results by the test's tolerance, or bit for bit."""
    if actual.outcome != expected.outcome:
        reason = f": {actual.reason or expected.reason}" if actual.reason or expected.reason else ""
        return Change(True, f"{actual.outcome}, not {expected.outcome}{reason}")
    if actual.record is None or expected.record is None:
        differs = (actual.record is None) != (expected.record is None)
        return Change(differs, "returns a result in only one of them" if differs else _say_outcome(actual))
    if actual.record.record.digest == expected.record.record.digest:
        return Change(False, "identical")
    comparison = _compare_records(actual.record, expected.record, is_exact=is_exact)
    return _change_of(comparison)


def _say_outcome(found: Observation) -> str:
    if found.outcome == "passed":
        return "passed, and returns nothing"
    return f"{found.outcome}: {found.reason}" if found.reason else found.outcome


def _compare_records(actual: StoredRecord, expected: StoredRecord, *, is_exact: bool) -> Comparison:
    allowed = expected.record.facts["policy"]
    demands_bits = is_exact or allowed.get("tier") == "bits"
    try:
        policy = read_policy(allowed.get("bounds"))
    except RecordError:  # bounds that depend on a run in float64, which no record holds
        policy = TolerancePolicy()
    tier: Tier = "bits" if demands_bits else "tolerance"
    return compare_by_tier(actual.load(), expected.load(), policy, tier, demands_bits=demands_bits)


def _change_of(comparison: Comparison) -> Change:
    found = sorted(comparison.differences, key=lambda each: each.severity)
    text = say_difference(found[0]) if found else "identical"
    if comparison.verdict is not Verdict.DIVERGED:
        return Change(False, f"{WITHIN}; {text}" if found else text)
    differences = tuple(Difference(**published_figures(each)) for each in comparison.divergences)
    return Change(True, text, describe_comparison(comparison, width=WIDTH), differences)


def say_difference(difference: ArtifactComparison) -> str:
    """Return the largest figures of a difference in a phrase."""
    name = shorten(escape(difference.artifact), 40) or "the result"
    if difference.kind not in ("values", "nan"):
        return f"{name}: {difference.kind}"
    figures = [f"{describe_steps(difference.max_ulp)} ulp"] if difference.max_ulp is not None else []
    figures += [f"{difference.max_rel:.2g} relative"] if difference.max_rel is not None else []
    if not figures:
        figures = [f"{difference.differing:,} of {difference.elements:,} differ"]
    return f"{name}: {', '.join(figures)}"
