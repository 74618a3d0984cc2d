"""The claims that a report of pip-audit supports: skipping, other versions and odd forms are never "clean"."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pytest_repro.errors import RecordError
from pytest_repro.records import audit as module
from pytest_repro.records.audit import judge_report, parse_report, read_installed, reconcile

EXPECTED = {"numpy": "2.4.6", "torch": "2.13.0"}


def entry(name, number, *advisories):
    return {"name": name, "version": number, "vulns": [{"id": a, "fix_versions": ["9.9"]} for a in advisories]}


def report(*entries):
    return {"dependencies": list(entries), "fixes": []}


def test_every_package_audited_without_advisories_is_clean():
    found = reconcile(report(entry("numpy", "2.4.6"), entry("torch", "2.13.0")), EXPECTED)
    assert (found.status, found.unaudited, found.found) == ("clean", {}, {})
    assert found.describe() == ["CLEAN: 2 of 2 packages audited, 0 with advisories"]


@pytest.mark.parametrize(
    ("name", "told", "installed"), [("Ruamel.YAML_clib", "1.0", "1.0"), ("ruamel-yaml-clib", "2024.1.1", "2024.01.1")]
)
def test_names_and_versions_are_compared_in_normalised_spelling(name, told, installed):
    assert reconcile(report(entry(name, told)), {"ruamel-yaml-clib": installed}).status == "clean"


def test_an_advisory_is_vulnerable_and_names_the_release_with_the_fix():
    found = reconcile(report(entry("numpy", "2.4.6", "PYSEC-1"), entry("torch", "2.13.0")), EXPECTED)
    assert found.status == "vulnerable"
    assert "  numpy 2.4.6: PYSEC-1 (fixed in: 9.9)" in found.describe()


def test_an_advisory_outweighs_a_package_that_was_not_audited():
    found = reconcile(report(entry("numpy", "2.4.6", "PYSEC-1")), EXPECTED)
    assert found.status == "vulnerable"
    assert found.unaudited == {"torch": "absent from the report"}


def test_no_second_entry_hides_the_advisory_or_the_skipping_of_the_first():
    twice = report(entry("numpy", "2.4.6", "PYSEC-1"), entry("numpy", "2.4.6"), entry("torch", "2.13.0"))
    assert reconcile(twice, EXPECTED).status == "vulnerable"
    skipped = {"name": "numpy", "skip_reason": "no network"}
    for entries in ([skipped, entry("numpy", "2.4.6")], [entry("numpy", "2.4.6"), skipped]):
        assert reconcile(report(*entries, entry("torch", "2.13.0")), EXPECTED).status == "partial"


def test_an_advisory_for_another_version_or_package_does_not_count():
    found = reconcile(report(entry("numpy", "1.0", "PYSEC-1"), entry("other", "1", "PYSEC-2")), EXPECTED)
    assert found.status == "not_audited"
    assert found.unaudited["numpy"] == "version 1.0 was audited, not 2.4.6"


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (None, "not_audited", "absent from the report"),
        ([], "not_audited", "absent from the report"),
        ({}, "not_audited", "absent from the report"),
        ({"dependencies": None}, "not_audited", "absent from the report"),
        (report(entry("numpy", "2.4.6")), "partial", "absent from the report"),
        (report(entry("numpy", "2.4.6"), {"name": "torch", "skip_reason": "no network"}), "partial", "no network"),
        (report(entry("numpy", "2.4.6"), entry("torch", "2.12.0")), "partial", "2.12.0 was audited, not 2.13.0"),
        (report(entry("numpy", "2.4.6"), {"name": "torch", "version": "2.13.0"}), "partial", "no list of advisories"),
        (report({"name": "torch", "vulns": []}), "not_audited", "version None was audited"),
        (report("torch", 1, None, {"name": 1}), "not_audited", "absent from the report"),
    ],
)
def test_a_package_that_was_not_audited_is_never_clean(answer, status, reason):
    found = reconcile(answer, EXPECTED)
    assert found.status == status
    assert reason in found.unaudited["torch"]
    assert found.describe()[0].startswith(status.replace("_", " ").upper() + ": ")


@pytest.mark.parametrize("vulns", [[None], ["x"], {"id": 1}, "x", [{"fix_versions": 1}], [[]]])
def test_advisories_in_an_odd_form_count(vulns):
    odd = {"name": "numpy", "version": "2.4.6", "vulns": vulns}
    assert reconcile(report(odd, entry("torch", "2.13.0")), EXPECTED).status == "vulnerable"


def test_a_package_installed_from_a_directory_is_not_audited_by_its_name():
    found = reconcile(report(entry("numpy", "2.4.6"), entry("torch", "2.13.0")), EXPECTED, local=["torch"])
    assert found.status == "partial"
    assert "installed from a directory" in found.unaudited["torch"]


def test_one_reason_for_many_packages_is_listed_once():
    skipped = [{"name": n, "skip_reason": f"not found: {n} ({v})"} for n, v in EXPECTED.items()]
    lines = reconcile(report(*skipped), EXPECTED).describe()
    assert lines[1:] == ["  not audited: not found: numpy, torch"]


def test_an_empty_set_of_packages_is_not_clean():
    assert reconcile(report(), {}).status == "not_audited"


def test_a_text_of_the_report_moves_no_cursor_and_fills_no_page():
    hostile = {"name": "torch", "skip_reason": "\x1b[2J" + "x" * 10**6}
    found = reconcile(report(hostile, entry("numpy", "2.4.6", "\x1b[31m" + "y" * 10**6)), EXPECTED)
    text = "\n".join(found.describe())
    assert "\x1b" not in text
    assert len(text) < 1000


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"dependencies": [', b'{"dependencies": {}}', b"[" * 10**5, b"\xff", b"PK\x03\x04",
     b'{"dependencies": [], "dependencies": []}', b'{"dependencies": [1e999]}', b"\x80\x04K\x01."],
)  # fmt: skip
def test_a_file_of_another_form_is_rejected_and_audits_nothing(data):
    with pytest.raises(RecordError, match=r"^not a report of pip-audit"):
        parse_report(data)
    found = judge_report(data, "", EXPECTED)
    assert found.status == "not_audited"
    assert "not a report of pip-audit" in found.why


def test_a_report_beyond_the_limit_is_rejected_unread(monkeypatch):
    monkeypatch.setattr(module, "MAX_REPORT_BYTES", 10)
    with pytest.raises(RecordError, match="the report has 11 bytes; at most 10 are read"):
        parse_report(b"x" * 11)


def test_a_report_of_bytes_is_judged_as_its_document():
    data = json.dumps(report(entry("numpy", "2.4.6"), entry("torch", "2.13.0"))).encode()
    assert judge_report(data, "", EXPECTED).status == "clean"
    assert judge_report(None, "killed after 1 s", EXPECTED).to_json()["reason"] == "killed after 1 s"


def test_the_installed_packages_are_those_that_are_imported():
    installed = read_installed()
    assert installed["pytest"] == pytest.__version__
    assert installed["numpy"] == np.__version__


def test_the_first_of_two_distributions_of_one_name_counts(tmp_path):
    from importlib.metadata import distributions

    for folder, number in (("a", "1.0"), ("b", "2.0")):
        info = tmp_path / folder / "Thing.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: Thing\nVersion: {number}\n", encoding="utf-8")
    found = distributions(path=[str(tmp_path / "a"), str(tmp_path / "b")])
    assert read_installed(found) == {"thing": "1.0"}


def test_a_version_of_thousands_of_digits_is_another_version():
    report = {"dependencies": [{"name": "numpy", "version": "1" * 5000, "vulns": []}]}
    audit = judge_report(json.dumps(report).encode(), "", {"numpy": "2.0"})
    assert audit.status == "not_audited"
    assert "was audited, not 2.0" in audit.unaudited["numpy"]
