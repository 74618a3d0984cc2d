"""The published schemas accept a bundle of a real session with every verdict, and reject wrong ones."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

# Imported before any session in this process, which would otherwise import them again.
import pytest_repro.session.evidence  # noqa: F401
from pytest_repro.records.audit import read_installed
from tests.plugin.helpers import Sessions
from tests.quality.test_documentation import EVERY_VERDICT

pytestmark = pytest.mark.needs("jsonschema")

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
FILES = {"evidence.json": "evidence-1", "record.json": "session-record-1"}


def validator(file: str) -> Any:
    import jsonschema

    schema = json.loads((FOLDER / f"{FILES[file]}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def bundle(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(sessions.folder)
    entries = [{"name": n, "version": v, "vulns": []} for n, v in read_installed().items()]
    Path("audit.json").write_text(json.dumps({"dependencies": entries}), encoding="utf-8")
    options = ["--repro-evidence=bundle", "--repro-audit-report=audit.json", "--repro-across=timezone,threads=1:2"]
    sessions.run(EVERY_VERDICT, *options, json_report=False)
    return {name: json.loads((Path("bundle") / name).read_bytes()) for name in FILES}


def test_the_schemas_accept_a_bundle_with_every_verdict(bundle: dict[str, Any]) -> None:
    for name, document in bundle.items():
        assert [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(document)] == []
    verdicts = validator("evidence.json").schema["$defs"]["verdict"]["enum"]
    assert set(bundle["evidence.json"]["verdicts"].values()) == set(verdicts)
    evidence = bundle["evidence.json"]
    assert {test["nodeid"]: test["verdict"] for test in evidence["tests"]} == evidence["verdicts"]
    # Without an audit as well.
    assert validator("evidence.json").is_valid({**evidence, "audit": None})
    for file, changes in WRONG.items():
        for place, value in changes:
            changed = put(bundle[file], place, value)
            assert not validator(file).is_valid(changed), (file, place, value)


CLEAN = {"status": "clean", "packages": 2, "audited": 2, "advisories": {}, "not_audited": {}}
WRONG: dict[str, list[tuple[list[Any], Any]]] = {
    "evidence.json": [
        (["version"], "2.0"),
        (["format"], "pytest-repro record"),
        (["circumstances", "started"], "yesterday"),
        (["verdicts", "x"], "passed"),
        (["tests", 0, "verdict"], "clean"),
        (["tests", 0, "runs", 0, "duration_s"], 0.5),
        (["tests", 0, "runs", 0, "digest"], "md5:1"),
        (["limitations"], []),
        (["audit", "status"], "fine"),
        (["audit", "status"], "not_audited"),
        (["audit", "status"], "vulnerable"),
        (["audit"], {**CLEAN, "reason": "", "source": {"kind": "guess"}}),
        (["audit", "advisories"], {"numpy 1": []}),
    ],
    "record.json": [
        (["version"], "2.0"),
        (["environment", "packages"], {"numpy": "2.4"}),
        (["environment", "packages"], None),
        (["tests", 0, "seed"], -1),
        (["tests", 0, "digests"], ["sha256:1"]),
        (["tests", 0, "test"], ""),
    ],
}


def put(document: dict[str, Any], place: list[Any], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    inner: Any = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


@pytest.mark.parametrize(
    "change",
    [{"advisories": {"numpy 1": ["PYSEC-1"]}}, {"not_audited": {"torch": "skipped"}}, {"packages": 0}, {"audited": 0}],
    ids=str,
)
def test_the_schema_rejects_a_clean_audit_with_findings_or_gaps(change: dict[str, Any]) -> None:
    schema = validator("evidence.json").schema
    import jsonschema

    audit = jsonschema.Draft202012Validator({"$ref": "#/$defs/audit", "$defs": schema["$defs"]})
    clean = {**CLEAN, "reason": "", "source": {"kind": "run", "tool": None, "command": None}}
    assert audit.is_valid(clean)
    assert not audit.is_valid({**clean, **change})
