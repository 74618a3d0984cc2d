"""The GitHub Action: its steps are run as the runner runs them, with a gh that only writes down what it is asked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.records.collection import read_collection
from tools import action

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = ACTION["runs"]["steps"]
SCRIPTS = {step["run"].rpartition(" ")[2]: step for step in STEPS if "run" in step}

#: Answers with the comments in GH_COMMENTS, and writes down each request with what it was given.
GH = """#!{python}
import json, os, pathlib, sys
if os.environ.get("GH_REFUSES"):
    sys.exit("HTTP 403: Resource not accessible by integration\\n::error::injected")
given = json.loads(sys.stdin.read() or "null") if "--input" in sys.argv else None
with pathlib.Path(os.environ["GH_LOG"]).open("a") as file:
    file.write(json.dumps([sys.argv[1:], given, bool(os.environ.get("GH_TOKEN"))]) + "\\n")
nodes = json.loads(os.environ.get("GH_COMMENTS", "[]"))
if "graphql" in sys.argv:
    print(json.dumps([{"data": {"repository": {"pullRequest": {"comments": {"nodes": nodes}}}}}]))
"""
TESTS = """
import itertools, os, pytest
count = itertools.count()
assert "GH_TOKEN" not in os.environ

@pytest.mark.reproducible(across={"size": [1, 2]})  # so that there is a matrix
def test_same(size): return 1

@pytest.mark.reproducible
def test_other(): return next(count)
"""


class Job:
    """A job that runs the action's shell steps in a project, with the variables that its YAML gives them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project, self.programs = folder / "project", folder / "bin"
        for place in (self.project, self.programs):
            place.mkdir()
        # Not a link: it would be a Python outside of the virtual environment.
        for name, text in {"python": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', "gh": GH}.items():
            (self.programs / name).write_text(text.replace("{python}", sys.executable), encoding="utf-8")
            (self.programs / name).chmod(0o755)
        event = folder / "event.json"
        event.write_text(json.dumps({"pull_request": {"number": 7}}), encoding="utf-8")
        self.log, self.summary, self.output = folder / "gh.log", folder / "summary.md", folder / "output"
        for name, value in {
            "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_REPOSITORY": "someone/project",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GH_LOG": str(self.log),
            "RUNNER_TEMP": str(folder),
        }.items():
            monkeypatch.setenv(name, value)
        self.inputs = {name: str(each.get("default", "")) for name, each in ACTION["inputs"].items()}
        self.inputs |= {"label": "tests-0", "token": "made-up"}

    def run(self, name: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a step with its own variables only: what another step got is not there."""
        step = SCRIPTS[name]
        variables = {key: self.evaluate(text) for key, text in step.get("env", {}).items()}
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.project,
            env={**os.environ, **variables, **more},
            capture_output=True,
            text=True,
            check=False,
        )

    def evaluate(self, text: str) -> str:
        """Return the value of an expression of action.yml."""
        (kind, name) = re.fullmatch(r"\$\{\{ (inputs|steps\.prepare\.outputs)\.([\w-]+) \}\}", text).groups()  # type: ignore[union-attr]
        return self.inputs[name] if kind == "inputs" else self.outputs[name]

    @property
    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.output.read_text(encoding="utf-8").splitlines())

    @property
    def out(self) -> Path:
        return Path(self.outputs["out"])

    @property
    def requests(self) -> list[Any]:
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    return Job(tmp_path, monkeypatch)


@pytest.fixture
def reported(job: Job) -> Job:
    """Return a job whose report exists: that of the tutorial."""
    assert job.run("prepare").returncode == 0
    report = (ROOT / "docs" / "outputs" / "first-test.json").read_text(encoding="utf-8")
    (job.out / "report.json").write_text(report, encoding="utf-8")
    return job


def test_no_shell_code_has_an_expression_and_only_the_comment_has_the_token() -> None:
    assert set(SCRIPTS) == set(action.STEPS)
    for name, step in SCRIPTS.items():
        assert "${{" not in step["run"]
        assert step["shell"] == "bash"
        assert any("inputs.token" in text for text in step.get("env", {}).values()) == (name == "comment")


def test_every_input_is_described_and_used_and_no_other_is_used() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8").partition("\nruns:")[2]
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(ACTION["inputs"])
    assert all(each["description"] and "default" in each for each in ACTION["inputs"].values())


def test_actions_of_others_are_those_that_the_workflows_use() -> None:
    used = {step["uses"].partition("@")[0]: step["uses"] for step in STEPS if "uses" in step}
    workflows = "".join(p.read_text(encoding="utf-8") for p in (ROOT / ".github" / "workflows").glob("*.yml"))
    known = {name: full for full, name in re.findall(r"uses: ((\S+)@\S+)", workflows)}
    assert [full for name, full in used.items() if known.get(name, full) != full] == []
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", full) for full in used.values())


def test_a_run_reports_collects_annotates_and_keeps_pytests_exit_status(job: Job) -> None:
    (job.project / "test_it.py").write_text(TESTS, encoding="utf-8")
    job.inputs |= {"label": "linux numpy==2.*", "collect": "true", "options": "-p no:randomly --no-repro-diagnose"}
    assert job.run("prepare").returncode == 0
    assert job.outputs["label"] == "linux-numpy-2"
    done = job.run("run")
    assert done.returncode == 1, done.stdout + done.stderr
    assert {path.name for path in job.out.iterdir()} == {"report.json", "report.html", "collection"}
    assert read_collection(job.out / "collection" / "linux-numpy-2").manifest.is_finished
    assert not job.summary.exists()
    shown = job.run("annotate")
    assert shown.returncode == 0
    assert shown.stdout.startswith("::error ")
    assert "1 diverged, 1 identical" in job.summary.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text", ["; touch pwned", "$(touch pwned)", "`touch pwned`", '"; touch pwned; "', "\ntouch pwned"]
)
def test_no_input_is_run_as_code(job: Job, text: str) -> None:
    job.inputs |= {"label": f"a{text}", "options": f"--collect-only {text.replace(chr(34), '')}", "root": text}
    assert job.run("prepare").returncode == 0
    assert job.run("run").returncode != 0
    job.run("annotate")
    assert not (job.project / "pwned").exists()
    assert re.fullmatch(r"[\w.-]+", job.outputs["label"])


def test_install_is_one_call_of_pip_with_the_words_as_a_shell_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(action, "_call", lambda command: called.append(command) or 0)
    monkeypatch.setenv("INPUT_INSTALL", "-e '.[test]' \"numpy == 2.*\"")
    monkeypatch.setenv("INPUT_PACKAGE", "pytest-repro")
    assert action.install() == 0
    assert called == [[sys.executable, "-m", "pip", "install", "-e", ".[test]", "numpy == 2.*", "pytest-repro"]]


def test_a_missing_report_is_an_error_in_every_step_that_shows_it(job: Job) -> None:
    assert job.run("prepare").returncode == 0
    for name in ("annotate", "comment"):
        done = job.run(name)
        assert (done.returncode, done.stdout.startswith("::error title=pytest-repro::there is no report")) == (1, True)


def test_the_first_comment_is_written_and_later_ones_replace_it(reported: Job) -> None:
    assert reported.run("comment").returncode == 0
    _, (command, given, has_token) = reported.requests
    assert command == ["api", "--method", "POST", "repos/someone/project/issues/7/comments", "--input", "-"]
    assert has_token
    assert given["body"].startswith("<!-- pytest-repro run tests-0 -->\n### Reproducibility\n\n**FAILED**")
    # Others may copy the mark. Their comments are not touched.
    mark = "<!-- pytest-repro run tests-0 -->"
    comments = [
        {"databaseId": 1, "viewerDidAuthor": False, "body": mark},
        {"databaseId": 2, "viewerDidAuthor": True, "body": "another tool's"},
        {"databaseId": 3, "viewerDidAuthor": True, "body": f"{mark}\nold"},
    ]
    assert reported.run("comment", GH_COMMENTS=json.dumps(comments)).returncode == 0
    assert reported.requests[-1][0][:4] == ["api", "--method", "PATCH", "repos/someone/project/issues/comments/3"]


def test_a_token_without_the_right_is_a_warning_and_no_failure(reported: Job) -> None:
    done = reported.run("comment", GH_REFUSES="1")
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    assert line.startswith("::warning title=pytest-repro::the comment was not written.")
    assert "HTTP 403" in line


def test_without_a_pull_request_nothing_is_written(reported: Job, tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text("{}", encoding="utf-8")
    done = reported.run("comment")
    assert (done.returncode, done.stdout.startswith("::notice"), reported.log.exists()) == (0, True, False)


def test_a_long_comment_is_cut_at_a_line_and_says_so() -> None:
    text = "".join(f"| row {number} |\n" for number in range(10_000))
    cut = action.cut_lines(text, action.MAX_COMMENT)
    assert len(cut) <= action.MAX_COMMENT
    assert re.search(r"\| row \d+ \|\n\nCut here: ", cut)
    assert action.cut_lines("short", 10) == "short"


@pytest.mark.parametrize(
    ("expected", "uploaded", "problem"),
    [
        ("3", ("a", "b"), "2 collections were uploaded and 3 are expected: a, b"),
        ("", (), "needs 2"),
        ("x", ("a",), "x"),
    ],
)
def test_a_merge_does_not_pass_over_a_job_that_uploaded_nothing(
    job: Job, expected: str, uploaded: tuple[str, ...], problem: str
) -> None:
    job.inputs |= {"mode": "merge", "expected": expected}
    assert job.run("prepare").returncode == 0
    for name in uploaded:
        (job.out / "collections" / name).mkdir(parents=True)
    done = job.run("merge")
    assert done.returncode == 1
    assert problem in done.stdout


@pytest.mark.parametrize(("second", "status"), [(1.0, 0), (2.0, 1)])
def test_a_merge_compares_the_collections_and_fills_the_summary(job: Job, second: float, status: int) -> None:
    from tests.unit.records.folders import Test, collect

    job.inputs |= {"mode": "merge", "expected": "2"}
    assert job.run("prepare").returncode == 0
    collect(job.out / "collections" / "a", {"t.py::test_it": Test(1.0)})
    collect(job.out / "collections" / "b", {"t.py::test_it": Test(second)})
    done = job.run("merge")
    assert done.returncode == status, done.stdout + done.stderr
    assert {path.name for path in job.out.glob("report.*")} == {"report.html", "report.json", "report.md"}
    assert job.run("annotate").returncode == 0
    assert job.summary.read_text(encoding="utf-8").startswith("### Reproducibility across environments")


def test_an_unknown_mode_is_an_error(job: Job) -> None:
    job.inputs["mode"] = "merge\n::error::"
    done = job.run("prepare")
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 1)
