"""Whether the files in a folder are those of an earlier bundle, which a new one may replace."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pytest_repro.errors import RecordError
from pytest_repro.records.attestation import STATEMENT, list_subjects
from pytest_repro.records.bundle_files import RECORDS_FOLDER, BundleFiles
from pytest_repro.records.canonical import parse_object
from pytest_repro.records.documents import EVIDENCE, FORMATS, RECORD
from pytest_repro.records.envelope import SIGNATURES

_MAX_NAMES = 5


def check_replaceable(directory: Path, own_names: Collection[str]) -> None:
    """Check that no file would be lost that an earlier bundle did not write.

    Parameters
    ----------
    directory : Path
        The folder of a new bundle, which need not exist.
    own_names : collection of str
        Names that a bundle's files may have, except for the copies of records.

    Raises
    ------
    RecordError
        With the names of these files.
    """
    foreign = find_foreign(directory, own_names)
    if foreign:
        more = f" and {len(foreign) - _MAX_NAMES} more" if len(foreign) > _MAX_NAMES else ""
        raise RecordError(
            f"{directory} holds files that no earlier bundle wrote, and that this one would replace: "
            f"{', '.join(foreign[:_MAX_NAMES])}{more}. Nothing was changed: name another folder, or move them"
        )


def find_foreign(directory: Path, own_names: Collection[str]) -> list[str]:
    """Return the files that have names of a bundle's files and are of no earlier bundle."""
    here = [name for name in sorted(own_names) if (directory / name).exists() or (directory / name).is_symlink()]
    records = directory / RECORDS_FOLDER
    if records.is_dir() and not records.is_symlink():
        here += sorted(f"{RECORDS_FOLDER}/{path.name}" for path in records.iterdir())
    if not here:
        return []
    bundle = BundleFiles(directory)
    documents = [_read(bundle, name) for name in (EVIDENCE, RECORD)]
    if not any(documents):
        return here
    named = list_subjects(bundle)
    if named is None:  # a writer was killed before it wrote the statement
        tests = [test for document in documents for test in document.get("tests") or () if isinstance(test, dict)]
        # In record.json, the name of a record. The name of its arrays begins with it.
        copies = tuple(test["record"].removesuffix(".json") for test in tests if isinstance(test.get("record"), str))
        named = [*own_names, *(name for name in here if copies and name.startswith(copies))]
    allowed = {*named, STATEMENT, *SIGNATURES}
    return [name for name in here if name not in allowed]


def _read(bundle: BundleFiles, name: str) -> dict[str, Any]:
    """Return a document of a bundle, or an empty one if the file is missing or is none."""
    try:
        document = parse_object(bundle.read(name), name)
    except RecordError:
        return {}
    return document if document.get("format") == FORMATS[name] else {}
