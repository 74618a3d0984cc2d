"""Collect all tests, to find the records that no longer have one."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence

import pytest

from pytest_repro.errors import RecordError
from pytest_repro.model.redaction import remember_parameters


class _Collected:
    """Takes the node ids of a collection, and notes deselected and failed parts of it."""

    def __init__(self) -> None:
        self.nodeids: set[str] = set()
        self.deselected = 0
        self.failed: list[str] = []

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        # The names of records are without them.
        remember_parameters(item)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.deselected += len(items)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(str(report.nodeid))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.nodeids = {str(item.nodeid) for item in session.items}


def collect_nodeids(paths: Sequence[str]) -> set[str]:
    """Collect with pytest without running tests, and return the node ids.

    Raises
    ------
    RecordError
        If the collection was not complete: a record without a test may then have one.
    """
    collected = _Collected()
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        status = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *paths], plugins=[collected])
    if collected.failed or collected.deselected or status != pytest.ExitCode.OK or not collected.nodeids:
        # Only the output of an incomplete collection is of use: it holds the reason.
        sys.stderr.write(output.getvalue())
    if collected.failed:
        raise RecordError(f"nothing is removed, since {collected.failed[0]} could not be collected")
    if collected.deselected:
        raise RecordError(
            f"nothing is removed, since {collected.deselected} tests were deselected (see addopts and PYTEST_ADDOPTS)"
        )
    if status != pytest.ExitCode.OK or not collected.nodeids:
        raise RecordError(f"nothing is removed, since pytest collected no test (it ended with {int(status)})")
    return collected.nodeids
