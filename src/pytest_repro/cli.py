"""The command ``pytest-repro``: records, diagnoses, reports, bisections, and bundles of evidence."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_repro.errors import ReproError
from pytest_repro.model.redaction import redact_assignments, redact_name, redact_texts
from pytest_repro.model.text import escape, escape_lines

#: Exit status of every subcommand: nothing differs; something differs (or would be removed); an error.
SAME, DIFFERENT, FAILED = 0, 1, 2
#: Exit status of `verify` without a key: no file was changed, and nothing shows who wrote them.
NOT_AUTHENTICATED = 3
#: Exit status after Ctrl-C, as a shell has it.
INTERRUPTED = 130
#: Exit status of `reproduce` where something could not be had, so that the recorded test was not repeated.
INCOMPLETE = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Returns
    -------
    int
        0 for success, 1 where something differs, 2 for an error, 3 for a bundle that was checked without a key, and
        for a result that could not be redone.
    """
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        status, document, text = options.run(options)
        # A report or a record may be older than the rules, or another's, and name its tests and artifacts as it likes.
        # The document first: what it gives to the name of a secret is hidden in the text, too.
        document = redact_texts(document)
        print(json.dumps(document, indent=1) if options.json else escape_lines(redact_assignments(text)))
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("pytest-repro: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ReproError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # The reader went away (`| head`): do not flush the rest of the buffer at exit.
            sys.stdout = None
            return FAILED
        message = redact_assignments(str(error))
        if options.json:
            print(json.dumps({"error": message}))
        print(f"pytest-repro: {escape(message)}", file=sys.stderr)
        return FAILED
    return int(status)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pytest-repro",
        description="Inspect, compare, sign and publish records and evidence of reproducible tests.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = _add(commands, "show", _show, "show the content of a record and check it against its digests")
    show.add_argument("record", type=Path)
    diff = _add(
        commands, "diff", _diff, "compare two records: results, then circumstances; exit status 1 if results differ"
    )
    diff.add_argument("expected", type=Path)
    diff.add_argument("actual", type=Path)
    explain = _add(commands, "explain", _explain, "show again why tests diverged; exit status 1 if any did")
    explain.add_argument("report", type=Path, help="a file written by --repro-json")
    explain.add_argument("nodeid", nargs="?", help="the test, or the end of its name; default: all that diverged")
    prune = _add(
        commands, "prune", _prune, "list records and payloads that belong to no test; exit status 1 if there are any"
    )
    prune.add_argument("directory", type=Path)
    prune.add_argument("--delete", action="store_true", help="remove them; without it nothing is changed")
    prune.add_argument(
        "paths", nargs="*", metavar="TESTS", help="files or directories that pytest collects; default: pytest's own"
    )
    sign = _add(commands, "sign", _sign, "check a bundle of evidence and sign it")
    sign.add_argument("bundle", type=Path)
    sign.add_argument("--key", type=Path, required=True, help="PEM file of an ECDSA P-256 or Ed25519 private key")
    sign.add_argument("--password-variable", metavar="NAME", help="environment variable with the key's password")
    verify = _add(
        commands, "verify", _verify, "check a bundle's files and signatures; exit status 1 if anything was changed"
    )
    verify.add_argument("bundle", type=Path)
    verify.add_argument(
        "--key", type=Path, help="PEM file of the public key that must have signed it; without it the exit status is 3"
    )
    verify.add_argument("--strict", action="store_true", help="fail also for files that the statement does not name")
    log = _add(commands, "log-mlflow", _log_mlflow, "check a bundle of evidence and log it to MLflow")
    log.add_argument("bundle", type=Path)
    where = log.add_mutually_exclusive_group(required=True)
    where.add_argument("--run-id", metavar="ID", help="an existing run")
    where.add_argument("--experiment", metavar="NAME", help="a new run of this experiment, which is created if needed")
    where.add_argument("--model", metavar="NAME", help="a registered model; requires --version")
    log.add_argument("--version", metavar="N", help="the model's version")
    log.add_argument("--tracking-uri", metavar="URI", help="the server; default: as MLflow is configured")
    log.add_argument("--key", type=Path, help="PEM file of the public key that must have signed the bundle")
    merge = _add(
        commands,
        "merge",
        _merge,
        "compare collections (pytest --repro-collect) of several environments; exit status 1 unless all tests have one "
        "result everywhere",
        prints_json=False,
    )
    merge.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="a collection")
    merge.add_argument(
        "--baseline", metavar="LABEL", help="environment to compare with; default: the first of the largest group"
    )
    merge.add_argument("--html", type=Path, metavar="FILE", help="write a page without other files")
    merge.add_argument("--markdown", type=Path, metavar="FILE", help="write Markdown, for a pull request")
    merge.add_argument("--json", dest="document", type=Path, metavar="FILE", help="write every verdict and figure")
    made = _add(
        commands, "environments", _environments, "list the environments made for the axis python, or clear them"
    )
    made.add_argument(
        "--clear", nargs="*", metavar="NAME", help="remove those named, by the first column; without a name, all"
    )
    _add_reproduce(commands)
    html = _add(commands, "html", _html, "make an HTML report from a file written by --repro-json")
    html.add_argument("report", type=Path)
    html.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the page to write")
    _add_bisect(commands)
    return parser


def _add_bisect(commands: Any) -> None:
    bisect = _add(
        commands,
        "bisect",
        _bisect,
        "find the release of a package, or the commit, that changed a test's result; exit status 1 if there is one",
    )
    bisect.add_argument("nodeid", help="the test, as pytest names it: tests/test_train.py::test_fit")
    what = bisect.add_mutually_exclusive_group(required=True)
    what.add_argument("--package", metavar="NAME", help="bisect the releases of this package")
    what.add_argument("--commits", metavar="A..B", help="bisect the commits from A, which is good, to B, which is bad")
    bisect.add_argument("--good", metavar="RELEASE", help="a release with the old result; required without --releases")
    bisect.add_argument("--bad", metavar="RELEASE", help="a later one with the new result; default: the installed one")
    bisect.add_argument("--releases", metavar="LIST", help="try only these, as in 2.2.6,2.3.5,2.4.0, oldest first")
    bisect.add_argument(
        "--with", dest="extra", metavar="REQUIREMENT", action="append", default=[],
        help="also install this in each environment",
    )  # fmt: skip
    bisect.add_argument("--runs", type=int, default=2, metavar="N", help="runs of the test in each (default: 2)")
    bisect.add_argument(
        "--exact", action="store_true", help="compare bit for bit, whatever the test's tolerance allows"
    )
    bisect.add_argument(
        "--no-diagnose",
        dest="diagnose",
        action="store_false",
        help="do not search for the first operation that differs",
    )
    bisect.add_argument("--timeout", type=float, default=3600.0, metavar="S", help="for one session (default: 3600 s)")


def _add_reproduce(commands: Any) -> None:
    parser = _add(
        commands,
        "reproduce",
        _reproduce,
        "redo a recorded result from nothing: its commit, packages, data and seeds; this runs the recorded code, as "
        "pytest does; exit status 0 if it was reproduced, 1 if not, 3 if something that it needs could not be had",
    )
    parser.add_argument(
        "evidence", type=Path, metavar="BUNDLE|RECORD", help="a bundle of evidence, a record, or a folder of records"
    )
    parser.add_argument(
        "--repo", default=".", metavar="PATH|URL", help="a repository that has the recorded commit (default: this one)"
    )
    parser.add_argument(
        "--environment",
        metavar="NAME",
        help="run in this environment of [tool.pytest_repro.environments], not in a new one with the recorded packages",
    )
    parser.add_argument(
        "--test", action="append", default=[], metavar="NODEID", help="redo only this test; may be repeated"
    )
    parser.add_argument("--key", type=Path, help="PEM file of the public key that must have signed the bundle")
    parser.add_argument("--dry-run", action="store_true", help="list what would be done, and do nothing")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="the bundle to write (default: BUNDLE-reproduced, next to it)"
    )


def _add(commands: Any, name: str, run: Any, text: str, *, prints_json: bool = True) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    if prints_json:
        parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.set_defaults(run=run, json=False)
    return parser


def _show(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.records.files import read_record
    from pytest_repro.records.inspecting import has_arrays, record_to_json
    from pytest_repro.reporting.record_text import describe_record

    stored = read_record(options.record)
    document = {**record_to_json(stored.record), "arrays_are_here": has_arrays(stored)}
    return SAME, document, describe_record(document)


def _diff(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.records.files import read_record
    from pytest_repro.records.inspecting import diff_records
    from pytest_repro.reporting.record_text import describe_diff, diff_to_json

    found = diff_records(read_record(options.actual), read_record(options.expected))
    return (SAME if found.is_same else DIFFERENT), diff_to_json(found), describe_diff(found)


def _explain(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.model.codec import encode
    from pytest_repro.model.reported import without_secrets
    from pytest_repro.reporting.explanation import explain_tests, find_diverged
    from pytest_repro.reporting.json_report import read_report

    tests = find_diverged(without_secrets(read_report(options.report)).tests, options.nodeid)
    document = [{"nodeid": test.nodeid, "diagnosis": encode(test.diagnosis)} for test in tests]
    return (DIFFERENT if tests else SAME), document, explain_tests(tests)


def _prune(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.records.pruning import find_orphans, remove
    from pytest_repro.session.collecting import collect_nodeids

    orphans = find_orphans(options.directory, {*map(redact_name, collect_nodeids(options.paths))})
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


def _merge(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.model.codec import encode
    from pytest_repro.model.merged import without_secrets
    from pytest_repro.records.collection import check_files, read_collection
    from pytest_repro.records.merging import merge_collections
    from pytest_repro.reporting.json_report import write_atomically
    from pytest_repro.reporting.merged_text import merge_lines

    collections = [read_collection(folder) for folder in options.folders]
    absent = {collection.label: check_files(collection) for collection in collections}
    merged = without_secrets(merge_collections(collections, baseline=options.baseline, absent=absent))
    if options.html is not None:
        from pytest_repro.reporting.html.merged import render_merge

        write_atomically(options.html, render_merge(merged))
    if options.markdown is not None:
        from pytest_repro.reporting.merged_markdown import merge_markdown

        write_atomically(options.markdown, merge_markdown(merged))
    if options.document is not None:
        write_atomically(options.document, json.dumps(encode(merged), indent=1, ensure_ascii=True) + "\n")
    width = max(60, min(160, shutil.get_terminal_size((80, 24)).columns))
    return (SAME if merged.is_same else DIFFERENT), None, "\n".join(merge_lines(merged, width=width))


def _environments(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.environments.made import EnvironmentStore
    from pytest_repro.model.codec import encode
    from pytest_repro.reporting.environment_text import describe_made

    store = EnvironmentStore()
    if options.clear is not None:
        removed = store.remove(options.clear)
        return SAME, {"removed": removed}, f"removed: {', '.join(removed)}" if removed else "there are none"
    made = [(each, store.size_of(each.digest)) for each in store.list_made()]
    document = [{**encode(each), "bytes": size} for each, size in made]
    return SAME, {"folder": str(store.folder), "environments": document}, describe_made(str(store.folder), made)


def _reproduce(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.records.envelope import read_key
    from pytest_repro.reporting.evidence_texts import TEXTS
    from pytest_repro.reproducing.findings import Outcome
    from pytest_repro.reproducing.plan import Request, make_plan, plan_to_json
    from pytest_repro.reproducing.report import describe_plan, describe_reproduction
    from pytest_repro.reproducing.reproduce import Reproducer, check_output
    from pytest_repro.reproducing.subject import read_subject

    evidence = options.evidence
    folder = evidence.parent if evidence.is_file() else evidence
    # `.` has no name.
    folder = folder if folder.name not in ("", "..") else folder.resolve()
    output = options.output or folder.with_name(f"{folder.name}-reproduced")
    key = read_key(options.key) if options.key is not None else None
    subject = read_subject(evidence, TEXTS, key=key, chosen=tuple(options.test))
    check_output(output, evidence)
    plan = make_plan(subject, Request(options.repo, options.environment, output))
    if options.dry_run:
        return SAME, plan_to_json(plan), describe_plan(plan)
    reproducer = Reproducer(plan, TEXTS, _announce)
    found = reproducer.reproduce()
    written = output if reproducer.has_written else None
    status = {Outcome.NOT: DIFFERENT, Outcome.INCOMPLETE: INCOMPLETE}.get(found.outcome, SAME)
    document = {**found.to_json(), "bundle": None if written is None else str(written)}
    return status, document, describe_reproduction(found, written)


def _announce(text: str) -> None:
    """Say on the other stream what takes long."""
    print(f"pytest-repro: {escape(redact_assignments(text))} ...", file=sys.stderr, flush=True)


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

    _check_directory(options.bundle)
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
            raise RecordError(f"the statement does not name {_list(bundle.unnamed)}")
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
        lines.append(f"not checked, since the statement does not name it: {_list(bundle.unnamed)}")
    if key is None:
        lines.append(
            f"intact, but not authenticated: whoever can write it can write another (exit status {NOT_AUTHENTICATED})"
        )
    return (SAME if key is not None else NOT_AUTHENTICATED), document, "\n".join(lines)


def _list(names: Sequence[str]) -> str:
    from pytest_repro.comparing.elements import escape

    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return escape(", ".join(names[:20])) + more


def _log_mlflow(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.errors import RecordError, UsageError
    from pytest_repro.records.envelope import read_key
    from pytest_repro.records.tracking import Target, log_bundle

    if (options.model is None) != (options.version is None):
        raise UsageError("--model and --version require each other: a bundle is evidence of one version")
    _check_directory(options.bundle)
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


def _check_directory(bundle: Path) -> None:
    from pytest_repro.errors import RecordError
    from pytest_repro.records.attestation import STATEMENT
    from pytest_repro.records.documents import EVIDENCE

    if bundle.exists() and not bundle.is_dir():
        raise RecordError(f"{bundle} is a file; name the directory of the bundle")
    if not bundle.is_dir():
        raise RecordError(f"the directory {bundle} does not exist")
    # A bundle without its statement was changed, which its reader says.
    if not any((bundle / name).exists() for name in (STATEMENT, EVIDENCE)):
        raise RecordError(f"{bundle} is not a bundle of evidence: it has no {STATEMENT}")


def _html(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.model.reported import without_secrets
    from pytest_repro.reporting.html import render_report
    from pytest_repro.reporting.json_report import read_report, write_atomically

    page = render_report(without_secrets(read_report(options.report)))
    write_atomically(options.output, page)
    return SAME, {"written": str(options.output), "bytes": len(page.encode())}, f"written to {options.output}"


def _bisect(options: argparse.Namespace) -> tuple[int, Any, str]:
    from pytest_repro.bisecting.command import bisect
    from pytest_repro.bisecting.describing import describe_bisected
    from pytest_repro.model.codec import encode

    def say(text: str) -> None:
        print(escape_lines(redact_assignments(text)), file=sys.stderr if options.json else sys.stdout, flush=True)

    found = bisect(options, say)
    return (SAME if found.status == "same" else DIFFERENT), encode(found), describe_bisected(found)


if __name__ == "__main__":
    sys.exit(main())
