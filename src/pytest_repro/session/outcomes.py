"""pytest's own outcome of a session: every test that failed counts, whether the plugin ran it or not."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_repro.model.redaction import redact_name
from pytest_repro.model.reported import SessionOutcome
from pytest_repro.model.text import escape_surrogates

#: Names that are listed of each kind; all are counted.
MAX_NAMES = 1000


class OutcomeCounter:
    """Counts the outcomes of a session's tests from their reports, as pytest's own summary does."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self.deselected = 0
        self._problems: list[str] = []

    def take(self, report: pytest.TestReport) -> None:
        """Take the report of one phase of a test."""
        if str(report.outcome) == "rerun":  # of pytest-rerunfailures: another report of the test follows
            return
        name = str(report.nodeid)
        known = self._kinds.get(name)
        if report.when == "call" or report.outcome != "passed":
            kind = _kind_of(report)
            # A test whose call passed and whose teardown broke has an error; one that failed stays failed.
            if known is None or known in ("passed", "skipped", "xfailed", "xpassed"):
                self._kinds[name] = kind

    def take_collection(self, report: pytest.CollectReport) -> None:
        """Take a file that could not be collected."""
        if report.failed:
            self._problems.append(str(report.nodeid))

    def describe(self, exit_status: int | None = None) -> SessionOutcome:
        """Return the outcome so far."""
        counts = Counter(self._kinds.values())
        counts["error"] += len(self._problems)
        return SessionOutcome(
            exit_status=exit_status,
            deselected=self.deselected,
            passed=counts["passed"],
            failed=counts["failed"],
            errors=counts["error"],
            skipped=counts["skipped"],
            xfailed=counts["xfailed"],
            xpassed=counts["xpassed"],
            failing_tests=self._list("failed", "error") + tuple(map(_printable, self._problems[:MAX_NAMES])),
            xfailed_tests=self._list("xfailed"),
        )

    def _list(self, *kinds: str) -> tuple[str, ...]:
        return tuple(_printable(name) for name, kind in self._kinds.items() if kind in kinds)[:MAX_NAMES]


def _printable(name: str) -> str:
    return escape_surrogates(redact_name(name))


def _kind_of(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed:
        return "failed" if report.when == "call" else "error"
    return str(report.outcome)
