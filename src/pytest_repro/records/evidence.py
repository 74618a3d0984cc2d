"""The bundle of ``--repro-evidence``: which tests ran, with which results, for someone who must be convinced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pytest_repro.errors import RecordError
from pytest_repro.model import Verdict
from pytest_repro.model.reported import ReportedSession, ReportedTest
from pytest_repro.records.attestation import STATEMENT, judge_session, make_statement
from pytest_repro.records.audit import Audit
from pytest_repro.records.bundle_files import BundleFiles
from pytest_repro.records.canonical import canonical_bytes, parse_object
from pytest_repro.records.documents import (
    EVIDENCE,
    RECORD,
    RESULTS,
    Context,
    describe_original,
    list_dependencies,
    make_evidence,
    make_record,
    read_session,
)
from pytest_repro.records.envelope import SIGNATURES
from pytest_repro.records.folders import Previous, previous_folder, replace_folder
from pytest_repro.records.ownership import check_replaceable, find_foreign

__all__ = ["Context"]

#: The unchanged report of pip-audit.
AUDIT_REPORT = "pip-audit.json"
#: The changes of the code since its commit.
PATCH = "changes.patch"
#: The comparison with the evidence that a session reproduces.
REPRODUCTION = "reproduction.json"
SUMMARY, PAGE = "summary.md", "report.html"
#: Names of all files of a bundle, except for copies of records.
BUNDLE_FILES = (RECORD, EVIDENCE, SUMMARY, PAGE, AUDIT_REPORT, PATCH, REPRODUCTION, STATEMENT, *SIGNATURES)
#: Files that are named in the reasons of a result.
MAX_FILES = 5
#: Failing tests that an outcome lists (:data:`pytest_repro.session.outcomes.MAX_NAMES`).
MAX_LISTED = 1000
#: What no file can prove of itself.
_BUNDLE = (
    "The bundle shows what the tool wrote, not that the runs took place: whoever can write it can write another.",
    "A signature shows who has the key and that nothing was changed since; it does not show when: no authority stamped "
    "the time.",
    "Names of hosts, users, processors and accelerators are as the machine reported them.",
)
_ASSERTIONS = (
    "Assertions are counted in the processes that run the tests and in forks of them, not in interpreters and programs "
    "that a test starts."
)
_ENVIRONMENT = "The environment is that of the process that controlled the session; a remote worker may have another."
_FILES = (
    "Files are described as they were when the session ended, not as they were when they were imported. Imported are "
    "those files that the session's own processes imported, not those of other programs that a test starts, and no "
    "shared libraries that a package loads by itself."
)
_AUDIT = (
    "The audit covers the advisories that a service knew at the time, by names and versions of packages; an imported "
    "report shows what its author left in it."
)
_KINDS = {Verdict.IDENTICAL: "passed", Verdict.WITHIN_TOLERANCE: "warned"}

#: Status of an accepted finding -> why pytest does not fail.
_ACCEPTED = {
    "known": "which pytest does not fail, since its file of known findings has them",
    "listed": "which pytest does not fail, since --repro-report only lists them",
}

#: Renders a file of the bundle for a reader.
Render = Callable[[ReportedSession, Context], str]


def list_limitations(audit: Audit | None) -> tuple[str, ...]:
    """Return what a bundle cannot show, with its audit or without one."""
    return (*_BUNDLE, *RESULTS, _ASSERTIONS, _ENVIRONMENT, _FILES, *([_AUDIT] if audit is not None else []))


def make_bundle(
    session: ReportedSession,
    context: Context,
    texts: Mapping[str, Render],
    *,
    attached: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """Return the bundle's files by name.

    Parameters
    ----------
    session : ReportedSession
        Its environment and code, which the same machine would report again, go into ``record.json``.
    context : Context
        Times, user, host and command, which differ each time, go into ``evidence.json``.
    texts : mapping
        Renders ``summary.md`` and ``report.html``, from what the two documents say.
    attached : mapping, optional
        More files by name: records, an audit's report, a patch. All files are subjects of the statement.
    """
    record = canonical_bytes(make_record(session))
    files = {RECORD: record, EVIDENCE: canonical_bytes(make_evidence(session, context))}
    files |= attached or {}
    files |= render_texts(files, texts)
    dependencies = [*list_dependencies(parse_object(record, RECORD)), *describe_original(context)]
    statement = make_statement(files, sort_verdicts(session), is_good=session.is_good, dependencies=dependencies)
    return {**files, STATEMENT: canonical_bytes(statement)}


def render_texts(files: Mapping[str, bytes], texts: Mapping[str, Render]) -> dict[str, bytes]:
    """Render the bundle's files for readers from its two documents."""
    told = read_session(files[RECORD], files[EVIDENCE])
    return {name: render(*told).encode("utf-8", "backslashreplace") for name, render in texts.items()}


def without_values(test: ReportedTest) -> ReportedTest:
    """Return a test's results without the values of local variables that its diagnosis shows."""
    found = test.diagnosis
    if found is None:
        return test
    first = found.first_divergence
    first = None if first is None else replace(first, expected="", actual="", reordered="")
    return replace(test, diagnosis=replace(found, first_divergence=first, rows=()))


def sort_verdicts(session: ReportedSession) -> dict[str, list[str]]:
    """Sort tests as a test-result predicate does: inconclusive fails, within tolerance passes with a warning.

    Tests count that have the marker, that made an assertion of this package, or that failed in pytest. One that
    failed in pytest fails. One passes with a warning if an assertion of this package failed in it and the test went
    on, or passed only within its bounds, or if the test failed first and was run again. One that was skipped in its
    first run did not run, and is omitted. So is one that failed as its xfail mark says. A finding that the session
    accepted, since it is known or only listed, fails: pytest reports it as an expected failure, and it is none.
    """
    found: dict[str, list[str]] = {"passed": [], "warned": [], "failed": []}
    outcome = session.pytest
    failing = list(outcome.failing_tests) if outcome is not None else []
    omitted = {*outcome.xfailed_tests, *outcome.skipped_tests} if outcome is not None else set()
    doubtful = {each.test for each in session.assertions if not each.has_passed}
    doubtful |= {each.test for each in session.assertions if each.verdict == Verdict.WITHIN_TOLERANCE.value}
    doubtful |= set(outcome.rerun_tests) if outcome is not None else set()
    for test in session.tests:
        if test.nodeid in failing or (test.runs and test.runs[0].outcome == "skipped" and not test.is_accepted):
            continue
        kind = _KINDS.get(test.verdict, "failed")
        if kind == "failed" and test.nodeid in omitted and not test.is_accepted:
            continue
        found["warned" if kind == "passed" and test.nodeid in doubtful else kind].append(test.nodeid)
    marked = {*failing, *omitted, *(test.nodeid for test in session.tests)}
    for name in dict.fromkeys([*(each.test for each in session.assertions), *sorted(doubtful)]):
        if name not in marked:
            found["warned" if name in doubtful else "passed"].append(name)
    found["failed"] += failing
    return found


def explain_result(session: ReportedSession) -> tuple[str, list[str]]:
    """Return the statement's result, and why it is not better."""
    kinds = sort_verdicts(session)
    result = judge_session(kinds, is_good=session.is_good)
    outcome, reasons = session.pytest, []
    failing = set(outcome.failing_tests) if outcome is not None else set()
    if not session.is_finished:
        reasons.append("the session did not come to its end")
    if outcome is not None:
        reasons += [
            f"{_count(count)} {words}"
            for count, words in (
                (outcome.failed + outcome.errors, "failed in pytest"),
                (outcome.cut_off, "cut off"),
                (outcome.not_run, "not run"),
            )
            if count
        ]
    accepted = {test.nodeid: test.acceptance.status for test in session.tests if test.acceptance and test.is_accepted}
    for status, why in _ACCEPTED.items():
        count = sum(accepted.get(name) == status for name in kinds["failed"] if name not in failing)
        if count:
            reasons.append(f"{_count(count)} whose runs differ or could not be compared, {why}")
    diverged = [name for name in kinds["failed"] if name not in failing and name not in accepted]
    if diverged:
        # A divergence fails in pytest, unless a hook of a conftest or of another plugin changed the report.
        is_listed = outcome is not None and outcome.exit_status is not None and len(failing) < MAX_LISTED
        but = ", though pytest reports no failure of them" if is_listed else ""
        reasons.append(f"{_count(len(diverged))} whose runs differ or could not be compared{but}")
    if outcome is not None and outcome.exit_status and not reasons and any(kinds.values()):
        reasons.append(f"pytest ended with exit status {outcome.exit_status}")
    if not any(kinds.values()):
        reasons.append("no reproducible test and no assertion of pytest-repro ran, so nothing is shown")
    # A reader of a failed session needs the failures alone.
    return result, reasons if result != "WARNED" else _explain_warnings(session)


def _explain_warnings(session: ReportedSession) -> list[str]:
    caught = {each.test for each in session.assertions if not each.has_passed}
    rerun = len(session.pytest.rerun_tests) if session.pytest is not None else 0
    tolerant = {test.nodeid for test in session.tests if test.verdict is Verdict.WITHIN_TOLERANCE}
    within = len(tolerant | {a.test for a in session.assertions if a.verdict == Verdict.WITHIN_TOLERANCE.value})
    kinds = (
        (sum("::" in name for name in caught), "caught an assertion that failed"),
        (rerun, "failed first, and passed when run again"),
        (within, "passed only within tolerance"),
    )
    found = [f"{_count(count)} {words}" for count, words in kinds if count]
    files = sorted(name for name in caught if "::" not in name)
    return found + [f"an assertion failed outside of any test in {name}" for name in files[:MAX_FILES]]


def _count(count: int) -> str:
    return f"{count:,} test{'s' * (count != 1)}"


def write_bundle(directory: Path, files: Mapping[str, bytes], *, previous: Previous = "remove") -> None:
    """Write a bundle in place of an older one, of which nothing is touched before all new files are on disk.

    A folder with files that no earlier bundle wrote is refused, if they are in the way. With ``previous="set"`` the
    bundle of an earlier session moves aside, unless that session was not finished either.

    Raises
    ------
    RecordError
        If the disk is full, the directory cannot be written, or a file of somebody else would be lost.
    """
    check_replaceable(directory, BUNDLE_FILES)
    if previous == "remove" and find_foreign(previous_folder(directory), BUNDLE_FILES):
        previous = "keep"
    try:
        if previous == "set" and not _is_worth_keeping(directory):
            previous = "keep"
        replace_folder(directory, files, BUNDLE_FILES, previous=previous)
    except OSError as error:
        raise RecordError(f"cannot write the evidence to {directory}: {error}") from error


def _is_worth_keeping(directory: Path) -> bool:
    """Return whether a directory has a bundle that does not say itself that its session was not finished."""
    if not (directory / EVIDENCE).exists():
        return False
    try:
        return parse_object(BundleFiles(directory).read(EVIDENCE), EVIDENCE).get("is_finished") is not False
    except RecordError:
        return True
