"""`tools/audit.py`: silence, skipping, crashing and hanging are never "clean"."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from tools import audit

EXPECTED = {"numpy": "2.4.6", "torch": "2.13.0"}


def entry(name: str, version: str, *advisories: str) -> dict[str, object]:
    return {"name": name, "version": version, "vulns": [{"id": a, "fix_versions": ["9.9"]} for a in advisories]}


def report(*entries: dict[str, object]) -> dict[str, object]:
    return {"dependencies": list(entries), "fixes": []}


def test_every_package_audited_without_advisories_is_clean():
    found = audit.reconcile(report(entry("numpy", "2.4.6"), entry("torch", "2.13.0")), EXPECTED)
    assert (found.status, found.unaudited, found.found) == (audit.CLEAN, {}, {})


def test_names_are_compared_in_their_one_spelling():
    found = audit.reconcile(report(entry("Ruamel.YAML_clib", "1.0")), {"ruamel-yaml-clib": "1.0"})
    assert found.status == audit.CLEAN


def test_an_advisory_is_vulnerable_and_names_the_mending_release():
    found = audit.reconcile(report(entry("numpy", "2.4.6", "PYSEC-1"), entry("torch", "2.13.0")), EXPECTED)
    assert found.status == audit.VULNERABLE
    assert "numpy 2.4.6: PYSEC-1 (mended in: 9.9)" in audit.render(found, "")


def test_an_advisory_outweighs_a_package_that_was_not_audited():
    found = audit.reconcile(report(entry("numpy", "2.4.6", "PYSEC-1")), EXPECTED)
    assert found.status == audit.VULNERABLE
    assert found.unaudited == {"torch": "absent from the report"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "absent from the report"),
        ([], "absent from the report"),
        ({}, "absent from the report"),
        ({"dependencies": None}, "absent from the report"),
        (report(entry("numpy", "2.4.6")), "absent from the report"),
        (report(entry("numpy", "2.4.6"), {"name": "torch", "skip_reason": "no network"}), "no network"),
        (report(entry("numpy", "2.4.6"), entry("torch", "2.12.0")), "version 2.12.0 was audited, not 2.13.0"),
        (report(entry("numpy", "2.4.6"), {"name": "torch", "version": "2.13.0"}), "holds no list of advisories"),
    ],
)
def test_a_package_that_was_not_audited_is_never_clean(answer, reason):
    found = audit.reconcile(answer, EXPECTED)
    assert found.status == audit.NOT_AUDITED
    assert reason in found.unaudited["torch"]
    assert audit.render(found, "").startswith("NOT AUDITED: ")


def test_one_reason_for_many_packages_is_told_once():
    skipped = [{"name": n, "skip_reason": f"not found: {n} ({v})"} for n, v in EXPECTED.items()]
    text = audit.render(audit.reconcile(report(*skipped), EXPECTED), "")
    assert text.splitlines()[1:] == ["  not audited: not found: numpy, torch"]


def test_an_empty_set_of_packages_is_not_clean():
    assert audit.reconcile(report(), {}).status == audit.NOT_AUDITED


def write_stub(folder: Path, body: str) -> list[str]:
    """A program that takes pip-audit's arguments, of which the last is the file to write."""
    stub = folder / "stub.py"
    stub.write_text(
        f"import sys, time, subprocess, pathlib\nout = pathlib.Path(sys.argv[-1])\n{body}\n", encoding="utf-8"
    )
    return [sys.executable, str(stub)]


def test_the_report_counts_whatever_the_exit_status(tmp_path):
    text = json.dumps(report(entry("numpy", "2.4.6")))
    answer, why = audit.run_pip_audit(write_stub(tmp_path, f"out.write_text({text!r}); sys.exit(1)"), 60)
    assert (answer, why) == (json.loads(text), "")


def test_exit_0_without_a_report_is_no_report(tmp_path):
    body = "print('No known vulnerabilities found', file=sys.stderr)"
    assert audit.run_pip_audit(write_stub(tmp_path, body), 60) == (None, "No known vulnerabilities found")


def test_a_truncated_report_is_no_report(tmp_path):
    answer, why = audit.run_pip_audit(write_stub(tmp_path, "out.write_text('{\"dependencies\": [')"), 60)
    assert answer is None
    assert "no report" in why


def test_a_process_that_hangs_is_killed_at_the_deadline_with_its_children(tmp_path):
    # The child holds the pipe: waiting for the parent alone would wait for the child's 60 s.
    body = "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    start = time.monotonic()
    assert audit.run_pip_audit(write_stub(tmp_path, body), 1) == (None, "killed after 1 s")
    assert time.monotonic() - start < 20


def test_a_requirement_without_a_pin_is_refused_with_its_line(tmp_path):
    file = tmp_path / "locked.txt"
    file.write_text("# header\nnumpy==2.4.6  # why\n\ntorch>=2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"locked\.txt:4: not a pinned requirement .*torch>=2"):
        audit.read_pins(file)


def test_the_locked_file_is_pinned_throughout_and_holds_the_hard_needs():
    pins = audit.read_pins(Path(__file__).parents[2] / "requirements" / "locked.txt")
    assert {"numpy", "pytest", "torch", "sphinx", "ruff"} <= pins.keys()


def test_what_is_installed_holds_pytest_at_its_version():
    assert audit.read_installed()["pytest"] == pytest.__version__


def test_without_pip_audit_nothing_was_audited(tmp_path, monkeypatch, capsys):
    file = tmp_path / "locked.txt"
    file.write_text("numpy==2.4.6\n", encoding="utf-8")
    broken = tmp_path / "pip_audit.py"
    broken.write_text("raise SystemExit('boom')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert audit.main(["--requirement", str(file)]) == audit.NOT_AUDITED
    shown = capsys.readouterr().out
    assert "NOT AUDITED: 0 of 1 packages audited" in shown
    assert "pip-audit: boom" in shown
