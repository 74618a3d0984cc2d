"""A bundle that is read says one thing in all its files, whoever wrote them."""

from __future__ import annotations

import json

import pytest

from pytest_repro.errors import RecordError
from pytest_repro.records.attestation import STATEMENT, make_statement
from pytest_repro.records.audit import reconcile
from pytest_repro.records.bundle import read_bundle
from pytest_repro.records.canonical import canonical_bytes
from pytest_repro.records.evidence import make_bundle, sort_verdicts, write_bundle
from pytest_repro.reporting.evidence_summary import summarise_evidence
from tests.unit.records.helpers import SESSION, a_test, sign

MIXED = [a_test("a"), a_test("b", "diverged"), a_test("c", "within_tolerance"), a_test("d", "error", runs=[])]


def write(directory, tests, **options):
    write_bundle(directory, make_bundle(tests, SESSION, {"host": "h"}, summarise_evidence, **options))
    return directory


def forge(directory, name, change):
    """Change a document as an attacker would, who makes the statement fit."""
    document = json.loads((directory / name).read_bytes())
    change(document)
    (directory / name).write_bytes(canonical_bytes(document))
    files = {n: (directory / n).read_bytes() for n in ("record.json", "evidence.json", "summary.md")}
    verdicts = sort_verdicts([a_test(n) for n in ("test_a.py::test_fit",)])
    (directory / STATEMENT).write_bytes(canonical_bytes(make_statement(files, verdicts)))


def test_what_was_written_is_read(tmp_path):
    audit = reconcile({"dependencies": [{"name": "a", "version": "1", "vulns": []}]}, {"a": "1", "b": "2"}).to_json()
    found = read_bundle(write(tmp_path, MIXED, audit=audit))
    assert found.verdicts == {"a": "identical", "b": "diverged", "c": "within_tolerance", "d": "error"}
    assert set(found.digests) == {"a", "b", "c"}
    assert (found.result, found.audit, found.commit) == ("FAILED", "partial", "c0ffee")
    assert set(found.files) == {"record.json", "evidence.json", "summary.md", STATEMENT}


def test_signatures_are_files_of_the_bundle(bundle, keys):
    sign(bundle, keys[0])
    assert {"statement.dsse.json", "statement.sigstore.json"} <= set(read_bundle(bundle).files)


def test_of_a_test_that_ran_twice_the_worse_verdict_counts(tmp_path):
    for number, tests in enumerate(([a_test("a", "diverged"), a_test("a")], [a_test("a"), a_test("a", "diverged")])):
        assert read_bundle(write(tmp_path / str(number), tests)).verdicts == {"a": "diverged"}


def test_an_empty_session_is_read_as_failed(tmp_path):
    assert read_bundle(write(tmp_path, [])).result == "FAILED"


def set_item(*place):
    *path, key, value = place

    def change(document):
        for step in path:
            document = document[step]
        document[key] = value

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("evidence.json", set_item("version", "2.0"), "format version 2.0"),
        ("record.json", set_item("version", "12.0"), "format version 12.0"),
        ("record.json", set_item("format", "pytest-repro record"), "is no pytest-repro session record"),
        ("evidence.json", set_item("tests", 0, "verdict", "diverged"), "not of one session"),
        ("evidence.json", set_item("verdicts", {}), "not of one session"),
        ("evidence.json", set_item("tests", []), "not of one session"),
        ("evidence.json", set_item("tests", 0, "verdict", "fine"), "not of the form"),
        ("evidence.json", set_item("tests", 0, "verdict", []), "not of the form"),
        ("evidence.json", set_item("tests", 3), "not of the form"),
        ("evidence.json", set_item("tests", 0, "runs", 3), "not of the form"),
        ("evidence.json", set_item("audit", 3), "not of the form"),
        ("record.json", set_item("tests", 0, "digests", ["sha256:1"]), "not of the form"),
        ("record.json", set_item("tests", 0, "digests", [1]), "not of the form"),
        ("record.json", set_item("tests", 0, "test", "other"), "not of one session"),
        ("record.json", set_item("code", None), "not of the form"),
    ],
    ids=range(15),
)
def test_documents_that_disagree_or_have_another_form_are_refused(bundle, name, change, message):
    forge(bundle, name, lambda document: None)
    read_bundle(bundle)
    forge(bundle, name, change)
    with pytest.raises(RecordError, match=message):
        read_bundle(bundle)


def test_a_statement_that_passes_what_the_evidence_fails_is_refused(bundle):
    def fail(document):
        document["tests"][0]["verdict"] = document["verdicts"]["test_a.py::test_fit"] = "diverged"

    forge(bundle, "evidence.json", fail)
    with pytest.raises(RecordError, match="says otherwise"):
        read_bundle(bundle)


def test_a_statement_that_leaves_the_evidence_out_is_refused(bundle):
    files = {"record.json": (bundle / "record.json").read_bytes()}
    statement = make_statement(files, {"passed": ["a"], "warned": [], "failed": []})
    (bundle / STATEMENT).write_bytes(canonical_bytes(statement))
    with pytest.raises(RecordError, match=r"does not name evidence\.json"):
        read_bundle(bundle)
