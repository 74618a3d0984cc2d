"""A bundle holds what it judges by, and each of its files says the same."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.cli import main
from pytest_repro.commands.base import DIFFERENT, NOT_AUTHENTICATED
from pytest_repro.records.attestation import make_configuration
from pytest_repro.records.canonical import canonical_bytes
from pytest_repro.records.documents import list_dependencies

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

SOURCE = """
    import numpy as np, pytest
    import helper, ignored_settings, model
    @pytest.mark.reproducible
    def test_fit(repro):
        repro.data("train", "data/train.csv")
        repro.data("private", "data/ignored_private.csv")
        repro.config({"lr": 0.1})
        return {"w": repro.rng.standard_normal(20000) * model.F, "a": 0.5}
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a checkout with a changed, an untracked and an ignored file that the test uses."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    folder = pytester.path
    pytester.makepyfile(test_it=SOURCE, model="F = 1.0\n", helper="", ignored_settings="S = 1\n", unused="")
    (folder / "data").mkdir()
    (folder / "data" / "train.csv").write_text("1,2\n")
    (folder / "data" / "ignored_private.csv").write_text("3,4\n")
    (folder / ".gitignore").write_text("ignored_*\nstdout\nstderr\nrunpytest*\n__pycache__\n")
    git(folder, "init", "-q")
    git(folder, "add", "test_it.py", "model.py", "data", ".gitignore")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
    (folder / "model.py").write_text("F = 1.5\nPASSWORD = 'hunter2-planted'\n")
    return folder


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def run(pytester: pytest.Pytester, *options: str) -> str:
    result = pytester.runpytest_subprocess(
        "-p", "no:randomly", "-p", "no:cacheprovider", "--repro-evidence=bundle", *options
    )
    return str(result.stdout.str())


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / "bundle" / name).read_bytes())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_inputs_records_and_code_are_in_the_bundle_and_subjects_of_its_statement(
    pytester: pytest.Pytester, project: Path
) -> None:
    run(pytester, "--repro-record=records", "--repro-evidence-patch")
    bundle = project / "bundle"
    (test,) = read(project, "record.json")["tests"]
    assert test["data"]["train"]["sha256"] == sha256(b"1,2\n")
    assert test["config"] == {"config": {"lr": float.hex(0.1)}}
    statement = read(project, "statement.json")
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    copies = {f"records/{path.name}" for path in (project / "records").iterdir()}
    assert len(copies) == 2
    assert copies | {"record.json", "evidence.json", "summary.md", "report.html", "changes.patch"} == set(subjects)
    assert all(sha256((bundle / name).read_bytes()) == digest for name, digest in subjects.items())
    assert subjects[test["record"]] == test["record_sha256"]
    dependencies = {entry["name"]: entry for entry in statement["predicate"]["configuration"]}
    assert dependencies["code"]["digest"] == {"gitCommit": git(project, "rev-parse", "HEAD").strip()}
    assert dependencies["data/private"]["digest"] == {"sha256": sha256(b"3,4\n")}
    assert dependencies["numpy"]["uri"].startswith("pkg:pypi/numpy@")
    code = read(project, "record.json")["code"]
    assert code["changed"] == ["helper.py", "model.py", "unused.py"]
    assert code["used"]["ignored"] == {
        "data/ignored_private.csv": f"sha256:{sha256(b'3,4' + bytes([10]))}",
        "ignored_settings.py": f"sha256:{sha256((project / 'ignored_settings.py').read_bytes())}",
    }
    summary = (bundle / "summary.md").read_text()
    assert " with 3 changed files" in summary
    assert "- model.py (+2 -1)" in summary
    assert "- helper.py (untracked)" in summary
    patch = (bundle / "changes.patch").read_text()
    assert "+F = 1.5" in patch
    assert "b/helper.py" in patch
    assert "b/ignored_settings.py" in patch
    assert "hunter2-planted" not in patch
    left_out = read(project, "evidence.json")["left_out"]
    assert left_out == [
        "changes.patch: untracked and not seen in use: unused.py",
        "changes.patch: model.py: secrets were removed from it, so that it is not restored as it was",
    ]
    assert git(project, "status", "--short").splitlines()[0] == " M model.py"


def test_a_record_that_was_changed_after_its_test_is_left_out_and_named(
    pytester: pytest.Pytester, project: Path
) -> None:
    run(pytester, "--repro-record=records")
    pytester.makeconftest(
        """
        import pathlib
        def pytest_runtest_logfinish(nodeid):
            for path in pathlib.Path("records").glob("*.json"):
                path.write_text(path.read_text() + " ")
        """
    )
    run(pytester, "--repro-verify=records")
    (name,) = (path.name for path in (project / "records").glob("*.json"))
    assert read(project, "evidence.json")["left_out"] == [f"records/{name}: the record was changed after the test"]


def put(*place: Any) -> Callable[[Any], None]:
    *path, key, value = place

    def change(document: Any) -> None:
        for step in path:
            document = document[step]
        document[key] = value

    return change


LIES: list[tuple[str, Callable[[Any], None], str]] = [
    ("record.json", put("tests", 0, "seed", 5), "disagree about seed"),
    ("evidence.json", put("tests", 0, "seed", 5), "disagree about seed"),
    ("record.json", put("tests", 0, "digests", 1, f"sha256:{1:064x}"), "disagree about digests"),
    ("evidence.json", put("tests", 0, "runs", 0, "digest", f"sha256:{1:064x}"), "disagree about digests"),
    ("record.json", put("tests", 0, "data", {}), "disagree about data"),
    ("evidence.json", put("tests", 0, "config", {"config": {"lr": 1}}), "disagree about config"),
    ("record.json", put("tests", 0, "conditions", 1, {"threads": 4}), "disagree about conditions"),
    ("record.json", put("tests", 0, "record_sha256", "0" * 64), "disagree about record_sha256"),
    ("record.json", put("code", "commit", "f" * 40), "does not say what"),
    ("evidence.json", put("circumstances", "host", "another"), "does not say what"),
    ("evidence.json", put("limitations", ["none"]), "does not say what"),
    ("evidence.json", put("is_finished", False), "contradicts"),
    ("evidence.json", put("pytest", "failed", 3), "contradicts"),
    ("statement.json", put("predicate", "configuration", 1, "digest", {"gitCommit": "f" * 40}), "contradicts record"),
    ("statement.json", put("predicate", "warnedTests", ["x"]), "contradicts evidence"),
]


def state_again(bundle: Path) -> None:
    """Correct the statement to files that were changed, as an attacker without a key would."""
    path = bundle / "statement.json"
    statement = json.loads(path.read_bytes())
    for subject in statement["subject"]:
        subject["digest"]["sha256"] = sha256((bundle / subject["name"]).read_bytes())
    record = (bundle / "record.json").read_bytes()
    statement["predicate"]["configuration"] = make_configuration(record, list_dependencies(json.loads(record)))
    path.write_bytes(canonical_bytes(statement))


def test_no_file_of_a_bundle_says_something_else_than_the_others(
    pytester: pytest.Pytester, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(pytester, "--repro-record=records")
    bundle = tmp_path / "forged"

    def verify(*options: str) -> tuple[int, str]:
        status = main(["verify", str(bundle), *options])
        return status, capsys.readouterr().out

    def restore() -> None:
        shutil.rmtree(bundle, ignore_errors=True)
        shutil.copytree(project / "bundle", bundle)

    restore()
    state_again(bundle)
    status, text = verify()
    assert (status, "intact, but not authenticated" in text) == (NOT_AUTHENTICATED, True)
    for name, change, message in LIES:
        restore()
        document = json.loads((bundle / name).read_bytes())
        change(document)
        (bundle / name).write_bytes(canonical_bytes(document))
        if name != "statement.json":
            state_again(bundle)
        status, text = verify()
        assert (status, message in text) == (DIFFERENT, True), (name, message, text)
    for name in ("summary.md", "report.html"):
        restore()
        path = bundle / name
        path.write_text(path.read_text().replace("identical", "IDENTICAL", 1))
        state_again(bundle)
        status, text = verify()
        assert (status, f"{name} does not say what" in text) == (DIFFERENT, True), text
    restore()
    (bundle / "unnamed.txt").write_text("more")
    (bundle / "records" / "more.json").write_text("{}")
    status, text = verify()
    assert (status, "does not name it: records/more.json, unnamed.txt" in text) == (NOT_AUTHENTICATED, True)
    assert verify("--strict")[0] == DIFFERENT
