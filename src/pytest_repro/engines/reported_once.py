"""What the runs of one test would report several times: its warnings, and the reports of its subtests."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from typing import Any

import pytest


class ReportedOnce:
    """Lets pytest and its plugins see the warnings and subtests of one test as often as without repeats.

    Those of the first run are passed on as they are. Of a later run only what is new is passed on: a warning that no
    run before gave, a subtest that failed.
    """

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self._seen: set[tuple[object, ...]] = set()
        self._open = ExitStack()
        self._warned: list[warnings.WarningMessage] = []
        # Without pytest's plugin each warning goes to the standard error at once.
        self._takes_warnings = item.config.pluginmanager.hasplugin("warnings")

    def begin_run(self, index: int) -> None:
        """Begin before the setup of a run."""
        if self._takes_warnings:
            self._warned = self._open.enter_context(warnings.catch_warnings(record=True))
        if index > 1:
            self._open.enter_context(_without_subtests(self._item.session))

    def end_run(self) -> None:
        """End after the teardown of a run."""
        self._open.close()
        show: Any = warnings._showwarnmsg  # type: ignore[attr-defined]
        warned, self._warned = self._warned, []
        described = [(m.category, str(m.message), m.filename, m.lineno) for m in warned]
        for message, key in zip(warned, described, strict=True):
            if key not in self._seen:
                show(message)
        self._seen.update(described)


class _without_subtests:  # noqa: N801 - a context manager
    """Hold back the reports of subtests that did not fail."""

    def __init__(self, session: pytest.Session) -> None:
        self._session: Any = session
        self._original: Any = session.gethookproxy

    def __enter__(self) -> None:
        self._session.gethookproxy = lambda path: _Hooks(self._original(path))

    def __exit__(self, *exception: object) -> None:
        del self._session.gethookproxy


class _Hooks:
    """pytest's hooks, of which one passes on only a part of its calls."""

    def __init__(self, hooks: Any) -> None:
        self._hooks = hooks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hooks, name)

    def pytest_runtest_logreport(self, *, report: pytest.TestReport) -> None:
        if report.failed or not is_subtest(report):
            self._hooks.pytest_runtest_logreport(report=report)


def is_subtest(report: object) -> bool:
    """Return whether a report is that of a subtest, of pytest's own or of the plugin pytest-subtests."""
    return (
        isinstance(report, pytest.TestReport) and type(report) is not pytest.TestReport and hasattr(report, "context")
    )
