"""Findings that do not let a session fail: ``--repro-known=FILE`` and ``--repro-report``. Loads little at start-up.

The verdict, the reports and the evidence stay as they are. Only pytest's outcome of the test is another one: an
expected failure, which is green and counted, and which ``-rx`` and JUnit's file name with its reason.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_repro.errors import StoreError, UsageError
from pytest_repro.model import Verdict
from pytest_repro.model.redaction import redact_assignments
from pytest_repro.model.text import escape
from pytest_repro.session.ini_values import ini_folder, read_key
from pytest_repro.session.option_values import read_flag

if TYPE_CHECKING:
    from pytest_repro.model.accepted import Acceptance, KnownTally
    from pytest_repro.model.known import KnownFinding
    from pytest_repro.model.reported import ReportedTest

#: Under this name, xdist's controller hands its workers what it read.
WORKER_KEY = "repro_known"
#: Longest text of an expected failure [characters].
MAX_REASON = 300


@dataclass(frozen=True)
class Accepting:
    """What a session accepts.

    Attributes
    ----------
    file : str
        The file of known findings, as the user named it; empty without one.
    findings : mapping of str -> KnownFinding
        By the name of their test.
    lists_only : bool
        Whether findings are only listed (``--repro-report``).
    today : date
        By UTC, when the session started.
    ignores : bool
        Whether ``--runxfail`` lets expected failures fail, and known findings with them.
    """

    file: str = ""
    findings: Mapping[str, KnownFinding] = field(default_factory=dict)
    lists_only: bool = False
    today: datetime.date = datetime.date.min
    ignores: bool = False

    @property
    def is_in_effect(self) -> bool:
        """Whether anything can be accepted."""
        return bool(self.file) or self.lists_only

    def judge(self, test: ReportedTest) -> Acceptance | None:
        """Return what the session makes of a test's result. None for a pass, and for what it has no say in."""
        if test.verdict or not self.is_in_effect:
            return None
        from pytest_repro.model.known import match_finding

        found = match_finding(self.findings.get(test.nodeid), test, self.today, self.file) if self.file else None
        if found is not None and found.is_accepted:
            return found
        return self._list(test, found) if self.lists_only else found

    def _list(self, test: ReportedTest, found: Acceptance | None) -> Acceptance | None:
        """Return that a finding is only listed, if a plain session, which makes run 1 alone, would have passed."""
        from pytest_repro.model.accepted import Acceptance

        passes = ("passed", "skipped") if test.verdict is Verdict.DIVERGED else ("passed",)
        if not test.runs or test.runs[0].outcome not in passes or len(test.runs) < 2:
            return found
        listed = found if found is not None else Acceptance("listed", "")
        return replace(listed, status="listed")

    def tally(self, tests: Iterable[ReportedTest]) -> KnownTally | None:
        """Return what became of the file's entries, or None without a file."""
        if not self.file:
            return None
        from pytest_repro.model.known import tally_known

        return tally_known(self.findings.values(), tests, self.file)

    def to_worker(self) -> dict[str, Any]:
        """Return what a worker of pytest-xdist needs, which may not have the file."""
        from pytest_repro.model.codec import encode

        findings = [encode(finding) for finding in self.findings.values()]
        return {"file": self.file, "findings": findings, "today": self.today.isoformat()}


def read_accepting(config: pytest.Config) -> Accepting:
    """Read the two options with their ini twins.

    Raises
    ------
    UsageError
        If the file cannot be read.
    """
    lists_only = read_flag(config, "repro_report")
    ignores = bool(config.getoption("runxfail", False))
    given, path = _find_file(config)
    today = datetime.datetime.now(datetime.UTC).date()
    if not given:
        return Accepting(lists_only=lists_only, ignores=ignores)
    from pytest_repro.model.codec import decode
    from pytest_repro.model.known import KnownFinding, read_known

    sent = getattr(config, "workerinput", {}).get(WORKER_KEY)
    if sent is not None:
        findings = decode(tuple[KnownFinding, ...], sent["findings"])
        today = datetime.date.fromisoformat(sent["today"])
    else:
        try:
            findings = read_known(path)
        except FileNotFoundError:
            raise UsageError(
                f"--repro-known: {given} does not exist: write it with `pytest-repro known REPORT --write {given}`"
            ) from None
        except (OSError, StoreError) as error:
            raise UsageError(f"--repro-known: {error}") from None
    return Accepting(given, {finding.test: finding for finding in findings}, lists_only, today, ignores)


def _find_file(config: pytest.Config) -> tuple[str, Path]:
    """Return the file as the user named it, and its path. A path of the ini file is relative to that file."""
    given = config.getoption("repro_known")
    if given is not None:
        if not given.strip() or "\0" in given:
            raise UsageError("--repro-known needs the name of a file")
        return given, config.invocation_params.dir / Path(given)
    given = read_key(config, "repro_known") or ""
    return given, ini_folder(config) / Path(given)


class AcceptedReports:
    """Applies what a session accepts to the reports of one test.

    Parameters
    ----------
    accepting : Accepting
    """

    def __init__(self, accepting: Accepting) -> None:
        self._accepting = accepting
        self._has_accepted = False

    def concerns(self, verdict: Verdict) -> bool:
        """Return whether a test with this verdict may be accepted."""
        return self._accepting.is_in_effect and not verdict

    def apply(self, report: pytest.TestReport, entry: dict[str, Any]) -> None:
        """Note in a test's entry of the JSON report what is made of it, and accept the report of its failure.

        Only one report, and none of a teardown: a fixture that outlives the runs may have failed there, as it would in
        a plain session.
        """
        if not self.concerns(Verdict(entry["verdict"])):
            return
        from pytest_repro.model.codec import decode, encode
        from pytest_repro.model.reported import ReportedTest

        test = decode(ReportedTest, entry)
        found = self._accepting.judge(test)
        if found is not None and found.is_accepted and not self._has_accepted:
            refused = ""
            if self._accepting.ignores:
                refused = "--runxfail lets known findings fail"
            elif report.when == "teardown" and report.failed:
                refused = "the teardown failed, which is never accepted"
            found = replace(found, status="new", explanation=refused) if refused else found
        test = replace(test, acceptance=found)
        entry["acceptance"] = None if found is None else encode(found)
        if found is None or not report.failed:
            return
        if not found.is_accepted:
            report.sections.append(("pytest-repro", explain_refused(test)))
        elif not self._has_accepted:
            self._has_accepted = True
            report.outcome, report.wasxfail = "skipped", describe_accepted(test)


def describe_accepted(test: ReportedTest) -> str:
    """Return the reason of an expected failure: ``known: rng.os_entropy in weights (ticket 12; until 2027-03-31)``."""
    found = test.acceptance
    assert found is not None
    names = list(dict.fromkeys(each.artifact or "the result" for each in test.divergences))
    causes = list(dict.fromkeys(cause.code for cause in test.diagnosis.causes)) if test.diagnosis is not None else []
    what = ", ".join(causes) or test.verdict.value
    if names:
        more = f" and {len(names) - 1 + test.divergences_left_out:,} more" if len(names) > 1 else ""
        what += f" in {names[0]}{more}"
    until = f"until {found.expires}" if found.expires else ""
    entry = "; ".join(filter(None, (found.reason, until, found.explanation)))
    head = "known" if found.status == "known" else "not failed because of --repro-report"
    return escape(redact_assignments(f"{head}: {what}{f' ({entry})' if entry else ''}"))[:MAX_REASON]


def explain_refused(test: ReportedTest) -> str:
    """Return why the file of known findings does not cover a test that fails, for its report."""
    found = test.acceptance
    assert found is not None
    reason = f" (reason of the entry: {found.reason})" if found.reason else ""
    return escape(redact_assignments(f"not accepted: {found.explanation}{reason}"))
