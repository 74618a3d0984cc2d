"""The subcommand `show`: a record, a report, a bundle of evidence or a collection, told apart by what it holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pytest_repro.commands.base import SAME, add_command


def add(commands: Any) -> None:
    """Add the subcommand."""
    show = add_command(
        commands,
        "show",
        _show,
        "show the content of a record, a report of --repro-json, a bundle of evidence or a collection, and check it "
        "against its digests",
    )
    show.add_argument(
        "subject", type=Path, metavar="PATH", help="a record or a report, or the folder of a bundle or a collection"
    )


def _show(options: argparse.Namespace) -> tuple[int, Any, str]:
    path: Path = options.subject
    if path.is_dir():
        return _show_folder(path)
    _reject_part(path)
    if _is_report(path):
        return _show_report(path)
    return _show_record(path)


def _show_folder(folder: Path) -> tuple[int, Any, str]:
    from pytest_repro.errors import RecordError
    from pytest_repro.records.attestation import STATEMENT
    from pytest_repro.records.bundle import is_bundle_folder
    from pytest_repro.records.collection import MANIFEST
    from pytest_repro.records.pruning import RECORD_NAME

    is_bundle = is_bundle_folder(folder)
    is_collection = (folder / MANIFEST).exists()
    if is_bundle and is_collection:
        raise RecordError(f"{folder} holds a bundle of evidence and a collection: each belongs in a folder of its own")
    if is_bundle:
        return _show_bundle(folder)
    if is_collection:
        return _show_collection(folder)
    names = sorted(path.name for path in folder.iterdir() if RECORD_NAME.fullmatch(path.name))
    if names:
        raise RecordError(
            f"{folder} is a folder of {len(names)} record{'s' * (len(names) != 1)}: name one of them, as in "
            f"{folder / names[0]}"
        )
    raise RecordError(
        f"{folder} is neither a bundle of evidence (it has no {STATEMENT}) nor a collection (it has no {MANIFEST})"
    )


def _reject_part(path: Path) -> None:
    """Reject a file that says nothing without the others of its folder."""
    from pytest_repro.errors import RecordError
    from pytest_repro.records.attestation import STATEMENT
    from pytest_repro.records.bundle import is_bundle_folder
    from pytest_repro.records.collection import JOURNAL, MANIFEST
    from pytest_repro.records.documents import EVIDENCE, RECORD

    folder = path.parent
    if path.name in (STATEMENT, EVIDENCE, RECORD) and is_bundle_folder(folder):
        raise RecordError(f"{path} is a part of a bundle of evidence: show its folder, {folder}")
    if path.name in (MANIFEST, JOURNAL) and (folder / MANIFEST).exists():
        raise RecordError(f"{path} is a part of a collection: show its folder, {folder}")


def _is_report(path: Path) -> bool:
    """Return whether a file claims to be a report, or another document of this tool that the reports' reader names."""
    from pytest_repro.errors import StoreError
    from pytest_repro.model.reading import parse_json, read_file
    from pytest_repro.records.canonical import MAX_BYTES
    from pytest_repro.records.record import FORMAT
    from pytest_repro.reporting.json_report import MAX_BYTES as MAX_REPORT_BYTES

    try:
        data = read_file(path, max_bytes=max(MAX_BYTES, MAX_REPORT_BYTES), follows_links=True)
        document = parse_json(data, max_bytes=max(MAX_BYTES, MAX_REPORT_BYTES))
    except (StoreError, OSError):
        return False  # the reader of records says what is wrong with it
    return isinstance(document, dict) and document.get("format") != FORMAT and not {"test", "digest"} <= set(document)


def _show_record(path: Path) -> tuple[int, Any, str]:
    from pytest_repro.records.files import read_record
    from pytest_repro.records.inspecting import has_arrays, record_to_json
    from pytest_repro.reporting.record_text import describe_record

    stored = read_record(path)
    document = {**record_to_json(stored.record), "arrays_are_here": has_arrays(stored)}
    return SAME, document, describe_record(document)


def _show_report(path: Path) -> tuple[int, Any, str]:
    from pytest_repro.errors import RecordError, StoreError
    from pytest_repro.model.reported import encode_session, without_secrets
    from pytest_repro.reporting.json_report import read_report
    from pytest_repro.reporting.shown_text import describe_report

    try:
        session = without_secrets(read_report(path))
    except StoreError as error:
        raise RecordError(f"{path} is neither a record nor a report: {error}") from None
    return SAME, encode_session(session), describe_report(session)


def _show_bundle(folder: Path) -> tuple[int, Any, str]:
    from pytest_repro.records.attestation import find_signatures
    from pytest_repro.records.bundle import read_bundle
    from pytest_repro.reporting.evidence_texts import TEXTS
    from pytest_repro.reporting.shown_text import bundle_to_json, describe_bundle

    document = bundle_to_json(read_bundle(folder, TEXTS), find_signatures(folder))
    return SAME, document, describe_bundle(document)


def _show_collection(folder: Path) -> tuple[int, Any, str]:
    from pytest_repro.records.collection import check_files, read_collection
    from pytest_repro.reporting.shown_text import collection_to_json, describe_collection

    collection = read_collection(folder)
    document = collection_to_json(collection, check_files(collection))
    return SAME, document, describe_collection(document)
