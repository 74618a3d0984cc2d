"""Every test that pytest collects, for whoever asks which records have one."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence

import pytest

from pytest_repro.errors import RecordError


class _Collected:
    """Takes the node ids of a collection, and notes what was left out of it."""

    def __init__(self) -> None:
        self.nodeids: set[str] = set()
        self.deselected = 0
        self.failed: list[str] = []

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.deselected += len(items)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(str(report.nodeid))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.nodeids = {str(item.nodeid) for item in session.items}


def collect_nodeids(paths: Sequence[str]) -> set[str]:
    """Collect with pytest, run nothing, and return the node ids.

    Raises
    ------
    RecordError
        If the collection was not whole: then a record that seems to have no test may have one.
    """
    collected = _Collected()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *paths], plugins=[collected])
    if collected.failed or collected.deselected or status != pytest.ExitCode.OK or not collected.nodeids:
        # What pytest says of a collection that is whole is of no use here; of another one it has the reason.
        sys.stderr.write(said.getvalue())
    if collected.failed:
        raise RecordError(f"nothing is removed, since {collected.failed[0]} could not be collected")
    if collected.deselected:
        raise RecordError(
            f"nothing is removed, since {collected.deselected} tests were deselected (see addopts and PYTEST_ADDOPTS)"
        )
    if status != pytest.ExitCode.OK or not collected.nodeids:
        raise RecordError(f"nothing is removed, since pytest collected no test (it ended with {int(status)})")
    return collected.nodeids
