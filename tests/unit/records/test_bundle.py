"""A bundle must be consistent in all its files, whoever wrote them."""

from __future__ import annotations

import json

import pytest

from pytest_repro.errors import RecordError
from pytest_repro.model import Verdict
from pytest_repro.model.reported import ReportedSession, ReportedTest
from pytest_repro.records.attestation import STATEMENT, make_statement
from pytest_repro.records.audit import reconcile
from pytest_repro.records.bundle import read_bundle
from pytest_repro.records.canonical import canonical_bytes
from pytest_repro.records.documents import Original, list_dependencies, read_session
from pytest_repro.records.evidence import sort_verdicts, write_bundle
from tests.unit.records.helpers import a_test, make_files, sign

MIXED = [a_test("a"), a_test("b", "diverged"), a_test("c", "within_tolerance"), a_test("d", "error", runs=[])]


def write(directory, tests, **options):
    write_bundle(directory, make_files(*tests, **options))
    return directory


def forge(directory, name, change):
    """Change a document as an attacker would, who corrects the statement."""
    document = json.loads((directory / name).read_bytes())
    change(document)
    (directory / name).write_bytes(canonical_bytes(document))
    state(directory)


def state(directory, names=("record.json", "evidence.json", "summary.md", "report.html")):
    """Write a statement about files as they are, by which the one test passed."""
    files = {name: (directory / name).read_bytes() for name in names}
    verdicts = sort_verdicts(ReportedSession((ReportedTest("test_a.py::test_fit", Verdict.IDENTICAL, 0),)))
    dependencies = list_dependencies(json.loads(files["record.json"]))
    statement = make_statement(files, verdicts, dependencies=dependencies)
    (directory / STATEMENT).write_bytes(canonical_bytes(statement))


def test_a_written_bundle_is_read(tmp_path):
    audit = reconcile({"dependencies": [{"name": "a", "version": "1", "vulns": []}]}, {"a": "1", "b": "2"})
    found = read_bundle(write(tmp_path, MIXED, audit=audit))
    assert found.verdicts == {"a": "identical", "b": "diverged", "c": "within_tolerance", "d": "error"}
    assert set(found.digests) == {"a", "b", "c"}
    assert (found.result, found.audit, found.commit) == ("FAILED", "partial", "c0ffee")
    assert set(found.files) == {"record.json", "evidence.json", "summary.md", "report.html", STATEMENT}


def test_signatures_are_files_of_the_bundle(bundle, keys):
    sign(bundle, keys[0])
    assert {"statement.dsse.json", "statement.sigstore.json"} <= set(read_bundle(bundle).files)


def test_the_worse_verdict_of_a_test_that_ran_twice_counts(tmp_path):
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
        ("record.json", set_item("format", "pytest-repro record"), "is not a pytest-repro session record"),
        ("evidence.json", set_item("tests", 0, "verdict", "diverged"), "do not belong to one session"),
        ("evidence.json", set_item("verdicts", {}), "do not belong to one session"),
        ("evidence.json", set_item("tests", []), "do not belong to one session"),
        ("evidence.json", set_item("tests", 0, "verdict", "fine"), r"evidence.json: tests\[0\].verdict must be one of"),
        ("evidence.json", set_item("tests", 0, "verdict", []), r"evidence.json: tests\[0\].verdict must be one of"),
        ("evidence.json", set_item("tests", 3), "evidence.json: tests must be a list, got 3"),
        ("evidence.json", set_item("tests", 0, "runs", 3), r"evidence.json: tests\[0\].runs must be a list, got 3"),
        ("evidence.json", set_item("audit", 3), "evidence.json: audit must be an object, got 3"),
        ("record.json", set_item("tests", 0, "digests", ["sha256:1"]), "record.json has a digest that is not sha256"),
        ("record.json", set_item("tests", 0, "digests", [1]), r"tests\[0\].digests\[0\] must be text, got 1"),
        ("record.json", set_item("tests", 0, "test", "other"), "do not belong to one session"),
        ("record.json", set_item("code", None), "record.json: code is missing"),
    ],
    ids=range(15),
)
def test_documents_that_disagree_or_have_another_form_are_rejected(bundle, name, change, message):
    forge(bundle, name, lambda document: None)
    read_bundle(bundle)
    forge(bundle, name, change)
    with pytest.raises(RecordError, match=message):
        read_bundle(bundle)


def test_a_statement_that_passes_a_failed_test_is_rejected(bundle):
    def fail(document):
        document["tests"][0]["verdict"] = document["verdicts"]["test_a.py::test_fit"] = "diverged"

    forge(bundle, "evidence.json", fail)
    with pytest.raises(RecordError, match=r"contradicts evidence\.json"):
        read_bundle(bundle)


def test_a_bundle_names_what_it_reproduces_in_its_evidence_and_in_its_statement(tmp_path):
    original = Original("statement.json", "5" * 64)
    bundle = write(tmp_path, [a_test()], reproduces=original)
    assert read_bundle(bundle).result == "PASSED"
    documents = [(bundle / name).read_bytes() for name in ("record.json", "evidence.json")]
    assert read_session(*documents)[1].reproduces == original
    (*_, last) = json.loads((bundle / STATEMENT).read_bytes())["predicate"]["configuration"]
    assert last == {"name": "reproduces/statement.json", "digest": {"sha256": "5" * 64}}
    assert all("5" * 64 in (bundle / name).read_text() for name in ("summary.md", "report.html"))


@pytest.mark.parametrize("there", [False, True])
def test_a_statement_that_names_another_original_than_the_evidence_is_rejected(tmp_path, there):
    bundle = write(tmp_path, [a_test()], **({"reproduces": Original("statement.json", "5" * 64)} if there else {}))
    forge(bundle, "evidence.json", set_item("reproduces", {"name": "statement.json", "sha256": "6" * 64}))
    with pytest.raises(RecordError, match="about what was reproduced"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    "original", [3, {"name": "s"}, {"name": "s", "sha256": "5"}, {"name": "s", "sha256": "x" * 64}]
)
def test_an_original_without_a_digest_is_rejected(bundle, original):
    forge(bundle, "evidence.json", set_item("reproduces", original))
    with pytest.raises(RecordError, match="reproduces"):
        read_bundle(bundle)


def test_a_statement_that_omits_the_evidence_is_rejected(bundle):
    files = {"record.json": (bundle / "record.json").read_bytes()}
    statement = make_statement(files, {"passed": ["a"], "warned": [], "failed": []})
    (bundle / STATEMENT).write_bytes(canonical_bytes(statement))
    with pytest.raises(RecordError, match=r"does not name evidence\.json"):
        read_bundle(bundle)


def test_a_statement_about_other_tests_is_rejected(bundle):
    files = {n: (bundle / n).read_bytes() for n in ("record.json", "evidence.json", "summary.md")}
    statement = make_statement(files, {"passed": ["another"], "warned": [], "failed": []})
    (bundle / STATEMENT).write_bytes(canonical_bytes(statement))
    with pytest.raises(RecordError, match=r"contradicts evidence\.json"):
        read_bundle(bundle)
