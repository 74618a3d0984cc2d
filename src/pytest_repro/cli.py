"""The command ``pytest-repro``: records, diagnoses, reports for a reader, and bundles of evidence."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_repro.errors import ReproError

#: Of every subcommand: done and nothing differs; something differs (or would be removed); it could not be done.
SAME, DIFFERENT, FAILED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Returns
    -------
    int
        0 for success, 1 where records differ, 2 where something could not be done.
    """
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        status, document, text = options.run(options)
        print(json.dumps(document, indent=1, ensure_ascii=True) if options.json else text)
        sys.stdout.flush()
    except (ReproError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # The reader went away (`| head`); what stands in the buffer must not be tried again at exit.
            sys.stdout = None
            return FAILED
        if options.json:
            print(json.dumps({"error": str(error)}))
        print(f"pytest-repro: {error}", file=sys.stderr)
        return FAILED
    return int(status)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pytest-repro", description="Look at records and evidence of reproducible tests."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = _add(commands, "show", _show, "tell what a record holds, and check that it is whole")
    show.add_argument("record", type=Path)
    diff = _add(
        commands, "diff", _diff, "compare two records: results, then circumstances; ends with 1 if results differ"
    )
    diff.add_argument("expected", type=Path)
    diff.add_argument("actual", type=Path)
    explain = _add(commands, "explain", _explain, "tell again why tests diverged; ends with 1 if any did")
    explain.add_argument("report", type=Path, help="what --repro-json wrote")
    explain.add_argument(
        "nodeid", nargs="?", help="the test; the end of its name will do; all that diverged by default"
    )
    prune = _add(commands, "prune", _prune, "list records and payloads that no test has; ends with 1 if there are any")
    prune.add_argument("directory", type=Path)
    prune.add_argument("--delete", action="store_true", help="remove them; without it nothing is changed")
    prune.add_argument(
        "paths", nargs="*", metavar="TESTS", help="where pytest collects; by default as it does by itself"
    )
    sign = _add(commands, "sign", _sign, "sign a bundle of evidence that is whole")
    sign.add_argument("bundle", type=Path)
    sign.add_argument("--key", type=Path, required=True, help="PEM file of an ECDSA P-256 or Ed25519 private key")
    sign.add_argument("--password-variable", metavar="NAME", help="environment variable with the key's password")
    verify = _add(
        commands, "verify", _verify, "check a bundle's files and signatures; ends with 1 if anything was changed"
    )
    verify.add_argument("bundle", type=Path)
    verify.add_argument("--key", type=Path, help="PEM file of the public key that must have signed it")
    log = _add(commands, "log-mlflow", _log_mlflow, "log a bundle of evidence that is whole to MLflow")
    log.add_argument("bundle", type=Path)
    where = log.add_mutually_exclusive_group(required=True)
    where.add_argument("--run-id", metavar="ID", help="a run that there is")
    where.add_argument("--experiment", metavar="NAME", help="a new run of this experiment, which is made if need be")
    where.add_argument("--model", metavar="NAME", help="a registered model; with --version")
    log.add_argument("--version", metavar="N", help="the model's version")
    log.add_argument("--tracking-uri", metavar="URI", help="the server; by default as MLflow finds it")
    log.add_argument("--key", type=Path, help="PEM file of the public key that must have signed the bundle")
    html = _add(commands, "html", _html, "make the report for a reader out of a report of --repro-json")
    html.add_argument("report", type=Path)
    html.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the page to write")
    return parser


def _add(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.set_defaults(run=run)
    return parser


def _show(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.records.files import read_record
    from pytest_repro.records.inspecting import is_here, record_to_json
    from pytest_repro.reporting.record_pages import describe_record

    stored = read_record(options.record)
    document = {**record_to_json(stored.record), "arrays_are_here": is_here(stored)}
    return SAME, document, describe_record(document)


def _diff(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.records.files import read_record
    from pytest_repro.records.inspecting import diff_records
    from pytest_repro.reporting.record_pages import describe_diff, diff_to_json

    found = diff_records(read_record(options.actual), read_record(options.expected))
    return (SAME if found.is_same else DIFFERENT), diff_to_json(found), describe_diff(found)


def _explain(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.reporting.explanation import explain_tests, find_diverged, read_report

    tests = find_diverged(read_report(options.report), options.nodeid)
    document = [{"nodeid": test["nodeid"], "diagnosis": test.get("diagnosis")} for test in tests]
    return (DIFFERENT if tests else SAME), document, explain_tests(tests)


def _prune(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.records.pruning import find_orphans, remove
    from pytest_repro.session.collecting import collect_nodeids

    orphans = find_orphans(options.directory, collect_nodeids(options.paths))
    if options.delete:
        remove(orphans)
    word = "removed" if options.delete else "without a test"
    lines = [f"{word}: {path.name} ({reason})" for path, reason in orphans]
    if orphans and not options.delete:
        lines.append("nothing was changed; --delete removes them")
    document = {
        "removed" if options.delete else "orphans": [{"path": path.name, "reason": reason} for path, reason in orphans]
    }
    status = DIFFERENT if orphans and not options.delete else SAME
    return status, document, "\n".join(lines) or "every record has a test"


def _sign(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.records.attestation import ENVELOPE, sign_bundle
    from pytest_repro.records.files import replacing

    password = os.environ.get(options.password_variable) if options.password_variable else None
    files = sign_bundle(options.bundle, options.key.read_bytes(), password.encode() if password else None)
    for name, data in files.items():
        with replacing(options.bundle / name) as file:
            file.write(data)
    key = json.loads(files[ENVELOPE])["signatures"][0]["keyid"]
    document = {"signed": True, "keyid": key, "files": list(files)}
    return SAME, document, f"signed as {' and '.join(files)} by the key {key[:16]}"


def _verify(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.errors import RecordError
    from pytest_repro.records.attestation import check_public_key, check_signature, find_signatures
    from pytest_repro.records.bundle import read_bundle

    if not options.bundle.is_dir():
        raise RecordError(f"there is no directory {options.bundle}")
    key = options.key.read_bytes() if options.key is not None else None
    if key is not None:
        # First: without a key nothing can be said of the bundle, and least of all that it was changed.
        check_public_key(key)
    document: dict[str, Any] = {"whole": False, "signed_by": None, "result": None, "problem": None}
    try:
        bundle = read_bundle(options.bundle)
        document |= {"whole": True, "result": bundle.result}
        if key is not None:
            document["signed_by"] = check_signature(options.bundle, key)
    except RecordError as error:
        document["problem"] = str(error)
        return DIFFERENT, document, f"not verified: {error}"
    signature = "it is not signed"
    if document["signed_by"]:
        signature = f"signed by the key {document['signed_by'][:16]}"
    elif find_signatures(options.bundle):
        signature = "its signature was not checked: give --key"
    text = f"{len(bundle.subjects)} files are as the statement names them; {signature}; the tests' result is"
    return SAME, document, f"{text} {document['result']}"


def _log_mlflow(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.errors import RecordError, UsageError
    from pytest_repro.records.tracking import Target, log_bundle

    if (options.model is None) != (options.version is None):
        raise UsageError("--model and --version go together: a bundle is evidence of one version")
    if not options.bundle.is_dir():
        raise RecordError(f"there is no directory {options.bundle}")
    key = options.key.read_bytes() if options.key is not None else None
    target = Target(options.run_id, options.experiment, options.model, options.version)
    try:
        logged = log_bundle(options.bundle, target, key=key, tracking_uri=options.tracking_uri)
    except RecordError as error:
        return DIFFERENT, {"problem": str(error)}, f"not logged: {error}"
    place = f"run {logged['run_id']}" if options.model is None else f"version {options.version} of {options.model}"
    files = f"its files are artifacts of run {logged['run_id']} in {logged['artifacts']}"
    if logged["artifacts"] is None:
        files = "its files were not logged, since the version has no run"
    return SAME, logged, f"{len(logged['tags'])} tags of {place}; {files}"


def _html(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.reporting.html import read_document, render_report
    from pytest_repro.reporting.json_report import write_whole

    page = render_report(read_document(options.report))
    write_whole(options.output, page)
    return SAME, {"written": str(options.output), "bytes": len(page.encode())}, f"written to {options.output}"


if __name__ == "__main__":
    sys.exit(main())
