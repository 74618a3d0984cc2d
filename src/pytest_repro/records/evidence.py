"""The bundle of ``--repro-evidence``: what was run, with which result, for someone who must be convinced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_repro.errors import RecordError
from pytest_repro.model import JSON
from pytest_repro.records.attestation import SIGNATURES, STATEMENT, make_statement
from pytest_repro.records.canonical import as_document, canonical_bytes
from pytest_repro.records.files import replacing

VERSION = "1.0"
#: What pip-audit wrote, as it wrote it.
AUDIT_REPORT = "pip-audit.json"
#: What no file can prove of itself.
LIMITATIONS = (
    "The bundle shows what the tool wrote, not that the run took place: whoever can write it can write another.",
    "A signature shows who holds the key and that nothing was changed since; not when: no authority stamped the time.",
    "Names of hosts, users, processors and accelerators are as the machine told them.",
    "A digest of results covers what the tests returned or captured, and nothing else that the code did.",
    "Agreeing runs bound the chance of a differing one; they do not exclude it.",
    "The environment is that of the process that controlled the session; a remote worker may have another.",
)
_AUDIT_LIMITATION = (
    "The audit tells which advisories a service knew of when it was asked, by names and versions of packages; a report "
    "that was imported tells what its maker left in it."
)
_KINDS = {"identical": "passed", "within_tolerance": "warned"}


def make_bundle(
    tests: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
    circumstances: Mapping[str, Any],
    summarise: Any,
    *,
    audit: Mapping[str, Any] | None = None,
    attached: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """Return the bundle's files by name.

    Parameters
    ----------
    tests : sequence of dict
        Results as ``--repro-json`` writes them.
    facts : mapping
        Environment and code: what the same machine would tell again, in ``record.json``.
    circumstances : mapping
        Times, user, host, command, in ``evidence.json``.
    summarise : callable (evidence, record) -> str
        Makes the summary in Markdown.
    audit : mapping or None
        What an audit of the installed packages found; None where none was asked for.
    attached : mapping, optional
        More files by name, which become subjects of the statement as well.
    """
    record: JSON = {
        "format": "pytest-repro session record",
        "version": VERSION,
        **{name: as_document(value) for name, value in facts.items()},
        "tests": [
            {
                "test": test["nodeid"],
                "seed": test["seed"],
                "digests": [run["digest"] for run in test["runs"]],
                "conditions": [as_document(run["condition"]) for run in test["runs"]],
                "settings": as_document(test["runs"][0]["settings"]) if test["runs"] else {},
            }
            for test in tests
        ],
    }
    evidence: JSON = {
        "format": "pytest-repro evidence",
        "version": VERSION,
        "circumstances": as_document(circumstances),
        "verdicts": {test["nodeid"]: test["verdict"] for test in tests},
        "tests": [as_document(test) for test in tests],
        "audit": as_document(audit),
        "limitations": [*LIMITATIONS, *([_AUDIT_LIMITATION] if audit is not None else [])],
    }
    files = {"record.json": canonical_bytes(record), "evidence.json": canonical_bytes(evidence)}
    files |= attached or {}
    files["summary.md"] = str(summarise(evidence, record)).encode("utf-8", "backslashreplace")
    statement = make_statement(files, sort_verdicts(tests))
    return {**files, STATEMENT: canonical_bytes(statement)}


def sort_verdicts(tests: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Sort tests as a test-result predicate does: inconclusive is a failure, within tolerance a pass with a warning.

    A test that was skipped in its first run was not run, and stands nowhere.
    """
    found: dict[str, list[str]] = {"passed": [], "warned": [], "failed": []}
    for test in tests:
        if not test["runs"] or test["runs"][0]["outcome"] != "skipped":
            found[_KINDS.get(test["verdict"], "failed")].append(test["nodeid"])
    return found


def write_bundle(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle, the statement last; what an older one had, its signature above all, goes first.

    Raises
    ------
    RecordError
        If the disk is full or the directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in (*SIGNATURES, STATEMENT, AUDIT_REPORT):
            (directory / name).unlink(missing_ok=True)
        for name, data in files.items():
            with replacing(directory / name) as file:
                file.write(data)
    except OSError as error:
        raise RecordError(f"cannot write the evidence to {directory}: {error}") from error
