"""The document of ``--repro-json`` while its session runs: complete after each test, and marked as unfinished."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_repro.model.codec import encode
from pytest_repro.model.reported import ReportedSession, ReportedTest, encode_session

_BETWEEN = b",\n"


class GrowingReport:
    """A report that each test is added to in one write, however many it holds already.

    A session that is killed leaves what it had: the file ends with the end of the document at any time.

    Parameters
    ----------
    path : Path
    session : ReportedSession
        Without tests.
    """

    def __init__(self, path: Path, session: ReportedSession) -> None:
        self._path = path
        head, tail = json.dumps({**encode_session(session), "tests": []}, indent=1).rsplit("[]", 1)
        self._tail = b"\n ]" + tail.encode() + b"\n"
        self._is_empty = True
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not in place: an older report stays complete until this one is.
        from pytest_repro.records.files import replacing  # with NumPy, which not every session loads

        with replacing(path) as file:
            file.write(f"{head}[".encode() + self._tail)

    def add(self, test: ReportedTest) -> None:
        """Add a test's result.

        Raises
        ------
        OSError
            If the file is gone or cannot be written.
        """
        text = json.dumps(encode(test), ensure_ascii=True, allow_nan=False)
        with self._path.open("r+b") as file:
            file.seek(-len(self._tail), 2)
            file.write((b"\n" if self._is_empty else _BETWEEN) + text.encode() + self._tail)
        self._is_empty = False
