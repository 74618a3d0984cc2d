"""--repro-audit: the bundle claims no more than pip-audit's report supports."""

from __future__ import annotations

import json
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

# Imported before any session in this process, which would otherwise import them again.
import pytest_repro.records.pip_audit
import pytest_repro.session.evidence  # noqa: F401
from pytest_repro.capturing.packages import find_local
from pytest_repro.records.attestation import check_files
from pytest_repro.records.audit import read_installed
from tests.plugin.helpers import Session, Sessions

SOURCE = "import pytest\n@pytest.mark.reproducible\ndef test_a(): return 1\n"


def put_replacement(sessions: Sessions, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Write a program with the name of pip-audit where this interpreter and its children find it first."""
    source = f"import json, pathlib, sys, time\nout = pathlib.Path(sys.argv[-1])\n{body}\n"
    folder = str(sessions.write(source, "replacement/pip_audit.py").parent)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", folder, prepend=":")


def run(sessions: Sessions, *options: str, ini: str = "") -> tuple[Session, dict[str, Any]]:
    session = sessions.run(SOURCE, "--repro-evidence=bundle", *options, ini=ini, json_report=False)
    directory = sessions.folder / "bundle"
    check_files(directory)
    audit = json.loads((directory / "evidence.json").read_bytes())["audit"]
    return session, audit


@pytest.fixture
def here(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    monkeypatch.chdir(sessions.folder)
    return sessions


def complete_report(**changed: Any) -> str:
    entries = [{"name": n, "version": v, "vulns": changed.get(n, [])} for n, v in read_installed().items()]
    return json.dumps({"dependencies": entries, "fixes": []})


def test_without_the_option_no_audit_is_claimed(here: Sessions) -> None:
    session, audit = run(here)
    assert audit is None
    assert "audit of the installed packages: not requested" in (here.folder / "bundle/summary.md").read_text()
    assert not (here.folder / "bundle/pip-audit.json").exists()
    assert session.exitcode == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("time.sleep(600)", "killed after 2 s"),
        ("for _ in range(2000): print('x' * 10_000)\nprint('end of flood')", "end of flood"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("print('No known vulnerabilities found', file=sys.stderr)", "No known vulnerabilities found"),
    ],
    ids=["hangs", "floods", "crashes", "silent"],
)
def test_a_program_that_writes_no_report_audits_nothing(
    here: Sessions, monkeypatch: pytest.MonkeyPatch, body: str, reason: str
) -> None:
    put_replacement(here, monkeypatch, body)
    session, audit = run(here, "--repro-audit", "--repro-audit-timeout=2")
    assert (audit["status"], audit["audited"], audit["packages"]) == ("not_audited", 0, len(read_installed()))
    assert reason in audit["reason"]
    assert "audit of the installed packages: NOT AUDITED: 0 of" in session.text
    assert not (here.folder / "bundle/pip-audit.json").exists()


def test_exit_0_with_everything_skipped_is_not_audited(here: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    skipped = [{"name": name, "skip_reason": "no network"} for name in read_installed()]
    body = f"out.write_text({json.dumps({'dependencies': skipped})!r})"
    put_replacement(here, monkeypatch, body)
    _, audit = run(here, ini="repro_audit = true")
    assert audit["status"] == "not_audited"
    assert set(audit["not_audited"].values()) == {"no network"}
    statement = check_files(here.folder / "bundle")
    assert "pip-audit.json" in {subject["name"] for subject in statement["subject"]}


def test_an_advisory_is_in_the_bundle_the_summary_and_the_terminal(here: Sessions) -> None:
    (here.folder / "report.txt").write_text(complete_report(numpy=[{"id": "PYSEC-1", "fix_versions": []}]))
    session, audit = run(here, "--repro-audit-report=report.txt")
    assert audit["status"] == "vulnerable"
    assert list(audit["advisories"].values()) == [["PYSEC-1 (fixed in: no release)"]]
    assert audit["source"]["kind"] == "report"
    assert "VULNERABLE" in session.text
    assert "PYSEC-1" in (here.folder / "bundle/summary.md").read_text()
    # The installed packages do not decide whether results are reproducible.
    assert (session.exitcode, check_files(here.folder / "bundle")["predicate"]["result"]) == (0, "PASSED")


def test_a_report_of_every_package_is_clean_except_for_local_packages(here: Sessions) -> None:
    (here.folder / "report.txt").write_text(complete_report())
    _, audit = run(here, "--repro-audit-report=report.txt")
    local = find_local(distributions())
    assert set(audit["not_audited"]) == local
    assert audit["status"] == ("partial" if local else "clean")


def test_a_report_of_another_environment_covers_only_matching_versions(here: Sessions) -> None:
    versions = {"numpy": "0.1", "pytest": pytest.__version__}
    entries = [{"name": name, "version": number, "vulns": []} for name, number in versions.items()]
    (here.folder / "report.txt").write_text(json.dumps({"dependencies": entries}))
    _, audit = run(here, "--repro-audit-report=report.txt")
    assert (audit["status"], audit["audited"]) == ("partial", 1)
    assert "version 0.1 was audited" in audit["not_audited"]["numpy"]


def test_a_file_of_another_form_audits_nothing_and_stays_outside_the_bundle(here: Sessions) -> None:
    (here.folder / "report.txt").write_bytes(b"{" * 10**5)
    _, audit = run(here, "--repro-audit-report=report.txt")
    assert audit["status"] == "not_audited"
    assert "not a report of pip-audit" in audit["reason"]
    assert not (here.folder / "bundle/pip-audit.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--repro-audit"], "--repro-audit goes into the bundle"),
        (["--repro-audit-report=x"], "--repro-audit-report goes into the bundle"),
        (["--repro-evidence=b", "--repro-audit-report=none"], "the file 'none' does not exist"),
        (["--repro-evidence=b", "--repro-audit", "--repro-audit-report=x"], "give one of them"),
        (["--repro-evidence=b", "--repro-audit", "--repro-audit-timeout=0"], "must be above 0"),
        (["--repro-evidence=b", "--repro-audit", "--repro-audit-timeout=nan"], "must be above 0"),
        (["--repro-evidence=b", "--repro-audit", "--repro-audit-timeout=soon"], "must be above 0"),
    ],
)
def test_contradictory_options_are_rejected_before_the_first_test(
    here: Sessions, options: list[str], message: str
) -> None:
    session = here.run(SOURCE, *options, json_report=False)
    assert session.exitcode == 4
    assert message in "\n".join(session.run.errlines)
    assert not Path("b").exists()
