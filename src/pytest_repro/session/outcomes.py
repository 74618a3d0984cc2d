"""pytest's own outcome of a session: every test that failed counts, whether the plugin ran it or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from pytest_repro.model.redaction import redact_name
from pytest_repro.model.reported import ReportedAssertion, SessionOutcome
from pytest_repro.model.text import escape_surrogates

_BAD = ("failed", "error")
#: Names that are listed of each kind; all are counted.
MAX_NAMES = 1000


class OutcomeCounter:
    """Counts the outcomes of a session's tests from their reports, as pytest's own summary does."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._problems: list[str] = []
        #: Tests whose start, and whose end, was announced.
        self.begun: dict[str, None] = {}
        self.ended: set[str] = set()
        #: Tests that were removed after the collection, by a plugin that did not report them as deselected.
        self.vanished: dict[str, None] = {}
        self._outside: dict[tuple[str, str, str, str], int] = {}
        self._reruns: dict[str, None] = {}
        self._assertions: dict[tuple[str, str, str, str], int] = {}
        #: Names of deselected tests, and the number of those that were to run, as far as it is known.
        self.deselected: list[str] = []
        self.collected: int | None = None
        #: Files that tests used, by their paths.
        self.files: set[str] = set()
        #: Files of installed packages that the processes of the session imported.
        self.libraries: set[str] = set()

    def take(self, report: pytest.TestReport) -> None:
        """Take the report of one phase of a test."""
        self.begun.setdefault(str(report.nodeid))
        self.files.update(getattr(report, "repro_files", ()))
        for assertion, verdict, message, count in getattr(report, "repro_judgements", ()):
            key = (_printable(str(report.nodeid)), assertion, verdict, message)
            self._assertions[key] = self._assertions.get(key, 0) + count
        if str(report.outcome) == "rerun":  # of pytest-rerunfailures: another report of the test follows
            self._reruns[str(report.nodeid)] = None
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

    def take_outside(self, rows: Iterable[Sequence[Any]]) -> None:
        """Take what assertions found outside of the runs of tests, in one process.

        The processes of xdist import the same modules. A finding counts as in the process that made it most often.
        """
        for is_in_test, name, assertion, verdict, message, count in rows:
            key = (_printable(name), assertion, verdict, message)
            if is_in_test:
                self._assertions[key] = self._assertions.get(key, 0) + count
            else:
                self._outside[key] = max(count, self._outside.get(key, 0))

    @property
    def _cut_off(self) -> list[str]:
        """Tests that began and did not end. A crashed worker's test has failed, and is told so."""
        return [name for name in self.begun if name not in self.ended and self._kinds.get(name) not in _BAD]

    @property
    def has_stopped(self) -> bool:
        """Whether the session ended before all of its tests did."""
        return bool(self._cut_off) or len(self.begun) < (self.collected or 0)

    @property
    def assertions(self) -> tuple[ReportedAssertion, ...]:
        """What this package's assertions found in all tests."""
        found = [*self._assertions.items(), *self._outside.items()]
        return tuple(ReportedAssertion(*key, count) for key, count in found)

    def sort(self, order: Mapping[str, int]) -> None:
        """Put the tests into an order, with those that it does not name last."""
        self._kinds = dict(sorted(self._kinds.items(), key=lambda item: order.get(item[0], len(order))))

    def describe(self, exit_status: int | None = None) -> SessionOutcome:
        """Return the outcome so far."""
        counts = Counter(self._kinds.values())
        counts["error"] += len(self._problems)
        return SessionOutcome(
            exit_status=exit_status,
            deselected=len(self.deselected),
            passed=counts["passed"],
            failed=counts["failed"],
            errors=counts["error"],
            skipped=counts["skipped"],
            xfailed=counts["xfailed"],
            xpassed=counts["xpassed"],
            failing_tests=self._list("failed", "error") + tuple(map(_printable, self._problems[:MAX_NAMES])),
            xfailed_tests=self._list("xfailed"),
            skipped_tests=self._list("skipped"),
            deselected_tests=tuple(map(_printable, self.deselected[:MAX_NAMES])),
            rerun_tests=tuple(map(_printable, self._reruns)),
            collected=self.collected,
            not_run=0 if exit_status is None or self.collected is None else max(0, self.collected - len(self.begun)),
            cut_off=0 if exit_status is None else len(self._cut_off),
            cut_off_tests=() if exit_status is None else tuple(map(_printable, self._cut_off[:MAX_NAMES])),
            vanished=len(self.vanished),
            vanished_tests=tuple(map(_printable, [*self.vanished][:MAX_NAMES])),
            xpassed_tests=self._list("xpassed"),
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
