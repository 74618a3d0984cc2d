"""pytest-repro bisect: releases in environments that are made without an installer, and commits of a repository."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import textwrap
import time
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from pytest_repro.cli import main
from pytest_repro.environments import made

TEST = """
import numpy as np
import pytest
import tinylib


def compute(x):
    scaled = tinylib.scale(x)
    return scaled + 1


@pytest.mark.reproducible
def test_value(repro):
    return {"w": compute(np.arange(4.0))}


def test_several():
    pass


@pytest.mark.parametrize("x", [1, 2])
def test_parametrized(x):
    pass
"""
OLD = "def scale(x):\n    return x * 2\n"
NEW = "def scale(x):\n    return x * 3\n"
RELEASES = {"1.0": OLD, "1.1": "import no_such_module\n", "1.2": OLD, "1.3": NEW, "1.4": NEW}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a project, for which environments have this one's packages and a release of tinylib."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (folder / "test_it.py").write_text(TEST, encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTEST_REPRO_ENVIRONMENTS", str(tmp_path / "environments"))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    nothing = [sys.executable, "-c", ""]
    monkeypatch.setattr(made, "_find_installers", lambda folder, base: [("pip", nothing, nothing)])
    monkeypatch.setattr(made, "_install", install(RELEASES))
    return folder


def install(releases: Mapping[str, str]) -> Any:
    """Return what makes an environment of the files of this one and of a release of tinylib."""

    def _install(folder: Path, command: object, lines: Sequence[str], constraints: object) -> str | None:
        wanted = next(Requirement(line) for line in lines if line.startswith("tinylib"))
        found = [release for release in releases if release in wanted.specifier]
        if not found:
            return "    ERROR: No matching distribution found"
        venv.create(folder, symlinks=os.name != "nt", with_pip=False)
        place = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
        here = [path for path in sys.path if path.endswith("site-packages")]
        (place / "here.pth").write_text("\n".join(here), encoding="utf-8")
        (place / "tinylib.py").write_text(releases[found[0]], encoding="utf-8")
        info = place / f"tinylib-{found[0]}.dist-info"
        info.mkdir()
        text = f"Metadata-Version: 2.1\nName: tinylib\nVersion: {found[0]}\n"
        (info / "METADATA").write_text(text, encoding="utf-8")
        return None

    return _install


def bisect(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["bisect", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_release_and_the_operation_are_named(project: Path, capsys: pytest.CaptureFixture[str]):
    # 1.1 cannot be imported, and of 1.2.5 there is no wheel.
    arguments = "test_it.py::test_value", "--package=tinylib", "--releases=1.0,1.1,1.2,1.2.5,1.3,1.4"
    status, text, errors = bisect(capsys, *arguments)
    assert (status, errors) == (1, "")
    assert "tinylib 1.2 -> 1.3 changed the result of" in text
    assert "no result in 1.2.5" in text
    assert "where test_it.py:8 in compute: `scaled` differs first" in " ".join(text.split())
    assert "scaled = tinylib.scale(x)" in text
    assert max(map(len, text.splitlines())) <= 80
    steps = [line.split()[:2] for line in text.splitlines() if line.startswith("  1.")]
    assert steps[:2] == [["1.0", "same"], ["1.4", "differs"]]
    assert steps[-2:] == [["1.2", "same"], ["1.3", "differs"]]
    assert ["1.2.5", "skipped"] in steps


def test_json_has_the_border_and_progress_goes_to_the_error_stream(project: Path, capsys: pytest.CaptureFixture[str]):
    status, text, errors = bisect(
        capsys, "test_it.py::test_value", "--package=tinylib", "--releases=1.2,1.3", "--no-diagnose", "--json"
    )
    found = json.loads(text)
    assert (status, found["status"], found["last_same"], found["first_different"]) == (1, "found", "1.2", "1.3")
    assert found["differences"][0]["artifact"] == "w"
    assert [step["name"] for step in found["steps"]] == ["1.2", "1.3", "1.2", "1.3"]
    assert "1.3" in errors


def test_equal_ends_have_exit_status_0(project: Path, capsys: pytest.CaptureFixture[str]):
    status, text, _ = bisect(capsys, "test_it.py::test_value", "--package=tinylib", "--releases=1.0,1.2")
    assert (status, "nothing to bisect" in text) == (0, True)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "    return {'w': np.random.default_rng().random(3)}",
            "the test is unstable: in 1.0, the good end, its 2 runs",
        ),
        (
            "    pytest.skip('not today')",
            "there is no result to compare with: in 1.0, the good end, the test is skipped",
        ),
        ("    import no_such_module", "there is no result to compare with: in 1.0, the good end, ModuleNotFoundError"),
    ],
)
def test_a_test_without_a_result_cannot_be_bisected(
    project: Path, capsys: pytest.CaptureFixture[str], body: str, message: str
):
    head = TEST.partition("@pytest.mark.repro")[0]
    source = f"{head}\n@pytest.mark.reproducible\ndef test_value():\n{body}\n"
    (project / "test_it.py").write_text(source, encoding="utf-8")
    status, text, errors = bisect(capsys, "test_it.py::test_value", "--package=tinylib", "--releases=1.0,1.3")
    assert (status, message in errors) == (2, True), errors
    assert "1.0        skipped" in text


def test_a_release_that_another_one_hides_is_not_taken_for_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    info = tmp_path / "hiding" / "tinylib-9.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tinylib\nVersion: 9.0\n", encoding="utf-8")
    (info.parent / "tinylib.py").write_text(NEW, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(info.parent))
    status, _, errors = bisect(capsys, "test_it.py::test_value", "--package=tinylib", "--releases=1.0,1.3")
    assert (status, "the session imported tinylib 9.0: is it on PYTHONPATH?" in errors) == (2, True), errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["test_it.py", "--package=tinylib", "--releases=1.0,1.3"], "a bisection follows one test"),
        (["no.py::test_value", "--package=tinylib", "--releases=1.0,1.3"], "there is no file 'no.py' here"),
        (["test_it.py::test_parametrized", "--package=tinylib", "--releases=1.0,1.3"], "names 2 tests"),
        (["test_it.py::test_value", "--package=tinylib==1", "--releases=1.0,1.3"], "must be the name of a package"),
        (["test_it.py::test_value", "--package=tinylib", "--releases=1.3"], "must be older"),
        (["test_it.py::test_value", "--commits=HEAD"], "must be GOOD..BAD"),
        (["test_it.py::test_value", "--commits=a..b"], "not in a git repository"),
        (["test_it.py::test_value", "--commits=a..b", "--good=1"], "--good is for --package"),
        (["test_it.py::test_value", "--package=tinylib", "--releases=1.0,1.3", "--runs=1"], "--runs must be"),
        (["test_it.py::test_value", "--package=tinylib", "--releases=1.0,1.3", "--with=/x"], "is no requirement"),
    ],
)
def test_wrong_arguments_are_explained(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    status, _, errors = bisect(capsys, *arguments)
    assert (status, message in errors) == (2, True), errors


MODEL = """
import numpy as np

STEPS = {steps}


def fit():
    return np.full(3, STEPS / 7)
"""


@pytest.fixture
def repository(project: Path) -> Path:
    """Make a repository in whose history the result changes once, and the file is broken before that."""
    (project / "src").mkdir()
    (project / "test_it.py").write_text(
        textwrap.dedent("""
        import pytest
        from model import fit

        @pytest.mark.reproducible
        def test_value():
            return {"w": fit()}
        """),
        encoding="utf-8",
    )
    git(project, "init", "--quiet", ".")
    for name, steps in {"Begin": "5", "Break": "5 +", "Mend": "5  # mended", "Change": "6", "Comment": "6  #"}.items():
        (project / "src" / "model.py").write_text(MODEL.format(steps=steps), encoding="utf-8")
        git(project, "add", "--all")
        git(project, "commit", "--quiet", f"--message={name}")
    # Not a part of any commit.
    (project / "src" / "model.py").write_text("broken(", encoding="utf-8")
    return project


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_first_commit_with_another_result_is_named(repository: Path, capsys: pytest.CaptureFixture[str]):
    status, text, errors = bisect(capsys, "test_it.py::test_value", "--commits=HEAD~4..")
    assert (status, errors) == (1, "")
    name = git(repository, "rev-parse", "HEAD~1")[:10]
    assert f"{name} is the first commit that changed the result of" in text
    assert f"commit  {name} Change" in text
    assert "files   src/model.py" in text
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_a_commit_without_the_test_is_no_end(repository: Path, capsys: pytest.CaptureFixture[str]):
    git(repository, "rm", "--cached", "--quiet", "test_it.py")
    git(repository, "commit", "--quiet", "--message=Remove")
    status, _, errors = bisect(capsys, "test_it.py::test_value", "--commits=HEAD..HEAD")
    assert (status, "there is no commit after HEAD" in errors) == (2, True)
    git(repository, "commit", "--quiet", "--allow-empty", "--message=Nothing")
    status, _, errors = bisect(capsys, "test_it.py::test_value", "--commits=HEAD~1..HEAD")
    assert (status, "the good end, it has no test_it.py" in errors) == (2, True), errors
    status, _, errors = bisect(capsys, "test_it.py::test_value", "--commits=HEAD..HEAD~1")
    assert (status, "not an ancestor" in errors) == (2, True), errors


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is a signal")
def test_ctrl_c_leaves_no_work_tree(repository: Path):
    # The runner of this test may ignore the signal, which a child would inherit.
    command = [sys.executable, "-m", "pytest_repro.cli", "bisect", "test_it.py::test_value", "--commits=HEAD~4.."]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    deadline = time.monotonic() + 60
    while len(git(repository, "worktree", "list").splitlines()) == 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert (process.returncode, "interrupted" in text) == (130, True), text
    assert len(git(repository, "worktree", "list").splitlines()) == 1
