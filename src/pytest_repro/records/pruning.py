"""Find and remove the files in a directory of records that belong to no test."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from pytest_repro.errors import RecordError
from pytest_repro.records.files import read_record, record_path

RECORD_NAME = re.compile(r"[A-Za-z0-9_.\-]+-[0-9a-f]{12}\.json")
PAYLOAD_NAME = re.compile(r"[A-Za-z0-9_.\-]+-[0-9a-f]{12}-[0-9a-f]{12}\.safetensors")
UNFINISHED_NAME = re.compile(r"\..+\.[0-9a-f]{16}\.(part|old)")


def find_orphans(directory: Path, nodeids: Collection[str]) -> list[tuple[Path, str]]:
    """Return records without a test, payloads without a record, and the files of an interrupted writer.

    Parameters
    ----------
    nodeids : collection of str
        All tests of the project.

    Returns
    -------
    list of (path, reason)
        Only files that are named like records; others in the directory are not ours.

    Raises
    ------
    RecordError
        If the directory does not exist, or none of its records has a test: it may be another project's.
    """
    if not directory.is_dir():
        raise RecordError(f"the directory {directory} does not exist")
    kept = {record_path(directory, nodeid) for nodeid in nodeids}
    found = sorted(directory.iterdir())
    files = [path for path in found if path.is_file() or path.is_symlink()]
    records = [path for path in files if RECORD_NAME.fullmatch(path.name)]
    if records and not kept & set(records):
        raise RecordError(
            f"nothing was removed: none of the {len(records)} records in {directory} has a test here, so it may belong "
            "to another project"
        )
    orphans, used = [], set()
    for path in records:
        if path not in kept:
            orphans.append((path, "no test has its name"))
            continue
        # A record that cannot be read may still refer to a payload: reading raises before any is removed.
        payload = read_record(path).record.payload
        if payload is not None and payload.get("kind") == "file":
            used.add(str(payload.get("path")))
    for path in files:
        if PAYLOAD_NAME.fullmatch(path.name) and path.name not in used:
            orphans.append((path, "no record refers to it"))
    unfinished = [path for path in found if UNFINISHED_NAME.fullmatch(path.name)]
    return [*orphans, *((path, "left by an interrupted writer") for path in unfinished)]


def remove(orphans: Sequence[tuple[Path, str]]) -> None:
    """Remove the files that :func:`find_orphans` found, and of a symbolic link not the target."""
    for path, _ in orphans:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def drop_arrays(record: Path, limit_bytes: int) -> None:
    """Remove the file with a record's arrays if it is larger than a limit. Their digests stay in the record."""
    payload = read_record(record).record.payload or {}
    if payload.get("kind") == "file" and int(str(payload["size"])) > limit_bytes:
        (record.parent / str(payload["path"])).unlink()
