"""What this package's assertions find in a session that writes reports: in tests, outside of them, and in forks."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.model import Judgement

#: Whether it was in a test, test or file, assertion, verdict, message, calls: in built-in types, for an xdist worker.
Row = list[Any]
_MODULE = "pytest_repro.comparing.judgements"


class AssertionNotes:
    """The plugin object that notes what assertions find. A report of pytest takes along what was found until then."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._found: dict[Judgement, int] = {}
        self._noting = ExitStack()
        self._file = JudgementFile()
        config.add_cleanup(self._file.close)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        """Note from here on what assertions find in the test."""
        if self._config.pluginmanager.hasplugin("dsession"):  # which runs no test itself
            return
        from pytest_repro.comparing.judgements import noting_judgements  # with NumPy

        self._noting.close()
        self._noting.enter_context(noting_judgements(self._found))
        self._file.share()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._noting.close()
        if self._found:  # made after the test's last report
            self._file.take_late(nodeid, self._found)
            self._found.clear()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, Any, Any]:
        """Add what assertions found in the phase, if the runs of a test did not take it."""
        report = yield
        if self._found:
            from pytest_repro.reporting.json_report import judgements_to_json

            report.repro_judgements = judgements_to_json(self._found)
            self._found.clear()
        return report

    def read(self) -> list[Row]:
        """Return what was found outside of the reports, at the end of the session."""
        self._noting.close()
        return self._file.read(self._config.rootpath)


class JudgementFile:
    """A temporary file without a name, to which forks of this process append.

    An interpreter that a test starts does not know of it. It would need an environment variable, which the user's code
    would find: the bundle lists this as a limitation.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("ab+", buffering=0)  # noqa: SIM115 - `close` closes it
        self._late: dict[tuple[str, Judgement], int] = {}

    def share(self) -> None:
        """Have forks append from now on. It loads NumPy."""
        from pytest_repro.comparing.judgements import share_file

        share_file(self._file.fileno())

    def take_late(self, nodeid: str, found: Mapping[Judgement, int]) -> None:
        """Take what was found after the last report of a test."""
        for judgement, count in found.items():
            self._late[nodeid, judgement] = self._late.get((nodeid, judgement), 0) + count

    def read(self, root: Path) -> list[Row]:
        """Return all findings. Files are named from the root folder, or by the end of their path."""
        outside: dict[tuple[str, Judgement], int] = {}
        tests = dict(self._late)
        # It loads NumPy, and without an assertion there is nothing to read.
        if _MODULE in sys.modules or os.fstat(self._file.fileno()).st_size:
            from pytest_repro.comparing.judgements import read_outside

            outside, found = read_outside(self._file.fileno())
            for key, count in found.items():
                tests[key] = tests.get(key, 0) + count
        from pytest_repro.reporting.json_report import judgements_to_json

        rows = [[True, test, *judgements_to_json({j: count})[0]] for (test, j), count in tests.items()]
        return rows + [
            [False, _name(path, root), *judgements_to_json({j: count})[0]] for (path, j), count in outside.items()
        ]

    def close(self) -> None:
        """Close the file, of which nothing is left."""
        if _MODULE in sys.modules:
            from pytest_repro.comparing.judgements import share_file

            share_file(None)
        self._file.close()


def _name(path: str, root: Path) -> str:
    """Return a file's name without what only this machine has of its path."""
    with suppress(ValueError, OSError, RuntimeError):
        return Path(path).resolve().relative_to(root.resolve()).as_posix()
    return "/".join(Path(path).parts[-3:]).lstrip("/")
