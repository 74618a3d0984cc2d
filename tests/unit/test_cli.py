"""What the commands print and write has no secrets, whatever the files hold that they read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.cli import main
from pytest_repro.model import secret_values
from pytest_repro.model.merged import without_secrets
from pytest_repro.model.reported import Omission
from tests.unit.records.folders import Test, collect, merge
from tests.unit.reporting.html.reading import case, document

REASON = "cannot log in as 'me' with password='PLANTED-assigned' and PLANTED-variable"
CAUSE = {
    "code": "rng.os_entropy",
    "axis": None,
    "confidence": "probed",
    "location": {"file": "a.py", "line": 3, "function": "f", "source": "login(password='PLANTED-assigned')"},
    "evidence": f"{'a long text ' * 8}{REASON}",
    "fix": "give it a seed",
}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_values, "_remembered", secret_values.Remembered())
    monkeypatch.setenv("DB_PASSWORD", "PLANTED-variable")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Write a report that another tool, or an older release, has written with secrets."""
    diagnosis: dict[str, Any] = {"causes": [CAUSE], "first_divergence": None, "ruled_out": [], "seconds": 1.0}
    tests = [
        case("t.py::test_plain", "inconclusive", reason=REASON),
        case("t.py::test_named[PLANTED-variable]", "diverged", diagnosis={**diagnosis, "complete": True}),
        case("t.py::test_quoted", "error", reason="PLANTED-assigned"),
    ]
    path = tmp_path / "report.json"
    path.write_text(json.dumps(document(*tests)), encoding="utf-8")
    return path


def read(folder: Path) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in folder.iterdir() if path.is_file())


def test_the_page_of_a_report_has_no_secrets(tmp_path: Path, report: Path) -> None:
    assert main(["html", str(report), "-o", str(tmp_path / "out" / "page.html")]) == 0
    text = read(tmp_path / "out")
    assert "PLANTED" not in text
    assert "test_named[[hidden " in text
    assert "cannot log in" in text


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_explanation_has_no_secrets(report: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    assert main(["explain", str(report), *options]) == 1
    text = capsys.readouterr().out
    assert "PLANTED" not in text
    assert "test_named[[hidden " in text


@pytest.mark.parametrize("form", ["github", "gitlab", "markdown"])
def test_findings_have_no_secrets(tmp_path: Path, report: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    assert main(["annotate", str(report), f"--format={form}"]) == 0
    assert main(["annotate", str(report), f"--format={form}", "-o", str(tmp_path / "out" / "findings")]) == 0
    text = capsys.readouterr().out + read(tmp_path / "out")
    assert "PLANTED" not in text
    assert "rng.os" in text


def test_a_merge_has_no_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = Test(status="failed", reason=f"{'a long text ' * 8}{REASON}")
    named = Test(1.0, not_compared=[Omission("model.client", "Client", REASON)])
    for label, test in (("a", Test(1.0)), ("b", failed)):
        tests = {"t.py::test_it": test, "t.py::test_named[PLANTED-variable]": named}
        collect(tmp_path / label, {**tests, "t.py::test_named[PLANTED-variable-2]": Test(float(label == "a"))})
    out = tmp_path / "out"
    written = [f"--{name}={out / f'merge.{name}'}" for name in ("html", "markdown", "json")]
    assert main(["merge", str(tmp_path / "a"), str(tmp_path / "b"), *written]) == 1
    shown = capsys.readouterr().out
    assert "PLANTED" not in shown
    assert "PLANTED" not in read(out)
    assert len(list(out.iterdir())) == 3
    for text in (shown, *(path.read_text(encoding="utf-8") for path in out.iterdir())):
        assert "cannot log in" in " ".join(text.replace("\\", "").split())
    merged = json.loads((out / "merge.json").read_text(encoding="utf-8"))
    names = [test["nodeid"] for test in merged["tests"]]
    assert len(set(names)) == 3
    assert {name for split in merged["splits"] for name in split["tests"]} <= set(names)


def test_a_text_has_as_few_secrets_as_a_document(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    collect(tmp_path / "a", {"t.py::test_it": Test("api_key='PLANTED-in-result'")})
    record = str(next((tmp_path / "a").glob("t.py*.json")))
    for options in ([], ["--json"]):
        monkeypatch.setattr(secret_values, "_remembered", secret_values.Remembered())
        assert main(["show", record, *options]) == 0
        assert "PLANTED" not in capsys.readouterr().out


def test_what_has_no_secrets_stays_as_it_is(tmp_path: Path) -> None:
    for label, value in (("a", 1.0), ("b", 2.0)):
        collect(
            tmp_path / label, {"t.py::test_it": Test(value), "t.py::test_other": Test(status="failed", reason="why")}
        )
    merged = merge(tmp_path / "a", tmp_path / "b")
    assert merged.splits
    assert without_secrets(merged) == merged
