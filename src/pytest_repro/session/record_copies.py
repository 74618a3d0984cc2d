"""Copies of the records that a session made or compared with, for a bundle of evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pytest_repro.errors import RecordError
from pytest_repro.model.reported import ReportedTest
from pytest_repro.records.bundle_files import RECORDS_FOLDER
from pytest_repro.records.documents import record_file
from pytest_repro.records.record import parse_record

#: Arrays in files of their own that a bundle holds, together [bytes].
MAX_BYTES = 64 * 2**20


def copy_records(tests: Iterable[ReportedTest], directory: Path | None) -> tuple[dict[str, bytes], list[str]]:
    """Return the records of tests by their names in the bundle, and what was left out with the reason.

    A record is in the bundle only if its file is still the one that the test was judged by.
    """
    files: dict[str, bytes] = {}
    left_out: list[str] = []
    if directory is None:
        return files, left_out
    size = 0
    for test in tests:
        name = record_file(test)
        if name is None or test.record is None or name in files:
            continue
        path = directory / name.rpartition("/")[2]
        try:
            data = path.read_bytes()
        except OSError as error:
            left_out.append(f"{name}: {error.strerror or type(error).__name__}")
            continue
        if hashlib.sha256(data).hexdigest() != test.record.sha256:
            left_out.append(f"{name}: the record was changed after the test")
            continue
        files[name] = data
        payload = _payload_of(data, directory)
        if payload is not None and payload.is_file():
            size += payload.stat().st_size
            if size > MAX_BYTES:
                left_out.append(f"{RECORDS_FOLDER}/{payload.name}: arrays beyond {MAX_BYTES:,} bytes in all")
            else:
                files[f"{RECORDS_FOLDER}/{payload.name}"] = payload.read_bytes()
    return files, left_out


def _payload_of(data: bytes, directory: Path) -> Path | None:
    try:
        payload = parse_record(data).payload
    except RecordError:
        return None
    is_file = payload is not None and payload.get("kind") == "file"
    return directory / Path(str(payload["path"])).name if is_file and payload is not None else None
