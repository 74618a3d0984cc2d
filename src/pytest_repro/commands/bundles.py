"""Subcommands for bundles of evidence: `sign`, `verify`, `log-mlflow`."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_repro.commands.base import DIFFERENT, NOT_AUTHENTICATED, SAME, add_command


def add(commands: Any) -> None:
    """Add the subcommands to the parser."""
    sign = add_command(commands, "sign", _sign, "check a bundle of evidence and sign it")
    sign.add_argument("bundle", type=Path)
    sign.add_argument("--key", type=Path, required=True, help="PEM file of an ECDSA P-256 or Ed25519 private key")
    sign.add_argument("--password-variable", metavar="NAME", help="environment variable with the key's password")
    verify = add_command(
        commands, "verify", _verify, "check a bundle's files and signatures; exit status 1 if anything was changed"
    )
    verify.add_argument("bundle", type=Path)
    verify.add_argument(
        "--key", type=Path, help="PEM file of the public key that must have signed it; without it the exit status is 3"
    )
    verify.add_argument("--strict", action="store_true", help="fail also for files that the statement does not name")
    log = add_command(commands, "log-mlflow", _log_mlflow, "check a bundle of evidence and log it to MLflow")
    log.add_argument("bundle", type=Path)
    where = log.add_mutually_exclusive_group(required=True)
    where.add_argument("--run-id", metavar="ID", help="an existing run")
    where.add_argument("--experiment", metavar="NAME", help="a new run of this experiment, which is created if needed")
    where.add_argument("--model", metavar="NAME", help="a registered model; requires --version")
    log.add_argument("--version", metavar="N", help="the model's version")
    log.add_argument("--tracking-uri", metavar="URI", help="the server; default: as MLflow is configured")
    log.add_argument("--key", type=Path, help="PEM file of the public key that must have signed the bundle")


def _sign(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.records.attestation import sign_bundle
    from pytest_repro.records.envelope import ENVELOPE, read_key
    from pytest_repro.records.files import replacing

    password = os.environ.get(options.password_variable) if options.password_variable else None
    files = sign_bundle(options.bundle, read_key(options.key), password.encode() if password else None)
    for name, data in files.items():
        with replacing(options.bundle / name) as file:
            file.write(data)
    key = json.loads(files[ENVELOPE])["signatures"][0]["keyid"]
    document = {"signed": True, "keyid": key, "files": list(files)}
    return SAME, document, f"signed with the key {key[:16]}: {' and '.join(files)}"


def _verify(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.comparing.elements import escape
    from pytest_repro.errors import RecordError
    from pytest_repro.records.attestation import check_signature, find_signatures
    from pytest_repro.records.bundle import read_bundle
    from pytest_repro.records.bundle_files import BundleFiles
    from pytest_repro.records.envelope import count_others, load_public_key, read_key
    from pytest_repro.reporting.evidence_texts import TEXTS

    check_bundle_folder(options.bundle)
    key = read_key(options.key) if options.key is not None else None
    if key is not None:
        # First: an unreadable key is an error, and says nothing about the bundle.
        load_public_key(key)
    document: dict[str, Any] = {"whole": False, "signed_by": None, "result": None, "unnamed": [], "problem": None}
    try:
        files = BundleFiles(options.bundle)
        # First: digests in a statement that is not the signed one say nothing about the other files.
        signed_by = check_signature(files, key) if key is not None else None
        bundle = read_bundle(files, TEXTS)
        document |= {"whole": True, "result": bundle.result, "unnamed": bundle.unnamed, "notes": bundle.notes}
        document["signed_by"] = signed_by
        others = (
            {} if key is None else {n: count_others(files.read(n), n, key) for n in find_signatures(files.directory)}
        )
        document["other_signatures"] = {name: count for name, count in others.items() if count}
        if bundle.unnamed and options.strict:
            raise RecordError(f"the statement does not name {list_names(bundle.unnamed)}")
    except RecordError as error:
        document["problem"] = str(error)
        return DIFFERENT, document, f"not verified: {escape(str(error))}"
    signature = "it is not signed"
    if document["signed_by"]:
        signature = f"it is signed with the key {document['signed_by'][:16]}"
    elif find_signatures(options.bundle):
        signature = "its signature was not checked: add --key"
    intact = f"all {len(bundle.subjects)} files match the digests in the statement"
    lines = [f"{intact}; {signature}; result of the tests: {document['result']}", *bundle.notes]
    lines += [
        f"not checked, since another key made it: {count} more signature{'s' * (count != 1)} in {name}"
        for name, count in document["other_signatures"].items()
    ]
    if bundle.unnamed:
        lines.append(f"not checked, since the statement does not name it: {list_names(bundle.unnamed)}")
    if key is None:
        lines.append(
            f"intact, but not authenticated: whoever can write it can write another (exit status {NOT_AUTHENTICATED})"
        )
    return (SAME if key is not None else NOT_AUTHENTICATED), document, "\n".join(lines)


def list_names(names: Sequence[str]) -> str:
    from pytest_repro.comparing.elements import escape

    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return escape(", ".join(names[:20])) + more


def _log_mlflow(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.errors import RecordError, UsageError
    from pytest_repro.records.envelope import read_key
    from pytest_repro.records.tracking import Target, log_bundle

    if (options.model is None) != (options.version is None):
        raise UsageError("--model and --version require each other: a bundle is evidence of one version")
    check_bundle_folder(options.bundle)
    key = read_key(options.key) if options.key is not None else None
    target = Target(options.run_id, options.experiment, options.model, options.version)
    try:
        logged = log_bundle(options.bundle, target, key=key, tracking_uri=options.tracking_uri)
    except RecordError as error:
        return DIFFERENT, {"problem": str(error)}, f"not logged: {error}"
    place = f"run {logged['run_id']}" if options.model is None else f"version {options.version} of {options.model}"
    files = f"files logged as artifacts of run {logged['run_id']} in {logged['artifacts']}"
    if logged["artifacts"] is None:
        files = "files not logged, since the version has no run"
    return SAME, logged, f"{len(logged['tags'])} tags set on {place}; {files}"


def check_bundle_folder(bundle: Path) -> None:
    from pytest_repro.errors import RecordError
    from pytest_repro.records.attestation import STATEMENT
    from pytest_repro.records.bundle import is_bundle_folder

    if bundle.exists() and not bundle.is_dir():
        raise RecordError(f"{bundle} is a file; name the directory of the bundle")
    if not bundle.is_dir():
        raise RecordError(f"the directory {bundle} does not exist")
    if not is_bundle_folder(bundle):
        raise RecordError(f"{bundle} is not a bundle of evidence: it has no {STATEMENT}")
