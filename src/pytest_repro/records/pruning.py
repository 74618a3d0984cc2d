"""Which files of a directory of records belong to no test."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from pytest_repro.errors import RecordError
from pytest_repro.records.files import read_record, record_path

_RECORD = re.compile(r"[A-Za-z0-9_.\-]+-[0-9a-f]{12}\.json")
_PAYLOAD = re.compile(r"[A-Za-z0-9_.\-]+-[0-9a-f]{12}-[0-9a-f]{12}\.safetensors")
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{16}\.part")


def find_orphans(directory: Path, nodeids: Collection[str]) -> list[tuple[Path, str]]:
    """Return records without a test, payloads that no record refers to, and what an interrupted writer left.

    Parameters
    ----------
    directory : Path
    nodeids : collection of str
        Of all tests that there are.

    Returns
    -------
    list of (path, reason)
        Files that are named as records are, and no others: what else stands in the directory is not ours.

    Raises
    ------
    RecordError
        If the directory is none, or not one of its records has a test: then it is another project's, or the tests are.
    """
    if not directory.is_dir():
        raise RecordError(f"there is no directory {directory}")
    kept = {record_path(directory, nodeid) for nodeid in nodeids}
    files = sorted(path for path in directory.iterdir() if path.is_file() or path.is_symlink())
    records = [path for path in files if _RECORD.fullmatch(path.name)]
    if records and not kept & set(records):
        raise RecordError(
            f"nothing is removed, since none of the {len(records)} records in {directory} has a test here"
        )
    orphans, used = [], set()
    for path in records:
        if path not in kept:
            orphans.append((path, "no test has its name"))
            continue
        # One that cannot be read refers to payloads all the same: it must not cost them.
        payload = read_record(path).record.payload
        if payload is not None and payload.get("kind") == "file":
            used.add(str(payload.get("path")))
    for path in files:
        if _PAYLOAD.fullmatch(path.name) and path.name not in used:
            orphans.append((path, "no record refers to it"))
        elif _UNFINISHED.fullmatch(path.name):
            orphans.append((path, "an interrupted writer left it"))
    return orphans


def remove(orphans: Sequence[tuple[Path, str]]) -> None:
    """Remove what :func:`find_orphans` found; of a symbolic link the link."""
    for path, _ in orphans:
        path.unlink(missing_ok=True)
