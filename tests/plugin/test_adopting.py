"""What `pytest-repro init` writes works: the test runs, the CI files parse, their commands run."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.adopting.ci_files import find_install_command
from pytest_repro.adopting.init import make_plan, write_plan
from pytest_repro.cli import main
from pytest_repro.records.labels import describe_label_problem
from tests.plugin.helpers import Sessions

TRAINING = """
import numpy as np

def train(X, y, epochs=100, seed=0, output_dir=None):
    weights = np.random.default_rng(seed).normal(size=X.shape[1])
    for _ in range(epochs):
        weights -= 0.1 * (X * (X * weights).sum(axis=1, keepdims=True)).mean(axis=0)
    return weights
"""


@pytest.mark.parametrize("source", ["", TRAINING], ids=["example", "found"])
@pytest.mark.parametrize("layout", ["flat", "src"])
def test_the_first_test_runs_and_compares_something(sessions: Sessions, source: str, layout: str) -> None:
    folder = sessions.folder / "src" if layout == "src" else sessions.folder
    (folder / f"model_{layout}").mkdir(parents=True)
    (folder / f"model_{layout}" / "__init__.py").touch()
    (folder / f"model_{layout}" / "training.py").write_text(source, encoding="utf-8")
    write_plan(make_plan(sessions.folder, "none"))
    session = sessions.run(None, "-Werror", apart=True)
    assert session.outcomes == {"passed": 1}, session.text
    assert session.report is not None
    (test,) = session.report["tests"]
    assert (test["verdict"], len(test["runs"])) == ("identical", 3)
    assert test["compared"]["elements"] > 1
    assert ("test_reproducible_train.py" in test["nodeid"]) == bool(source)


def test_a_first_test_with_a_todo_is_skipped_with_its_reason(sessions: Sessions) -> None:
    sessions.write("def train(config):\n    return config\n", "code_of_mine.py")
    write_plan(make_plan(sessions.folder, "none"))
    session = sessions.run(None, "-rs", apart=True)
    assert session.outcomes == {"skipped": 1}, session.text
    assert "TODO: give the argument config" in session.text


def commands_of(document: Any) -> list[str]:
    """Return the shell commands of a CI file, in order."""
    if isinstance(document, dict):
        here = [document["run"]] if isinstance(document.get("run"), str) else list(document.get("script", ()))
        return here + [each for value in document.values() for each in commands_of(value)]
    return [each for value in document for each in commands_of(value)] if isinstance(document, list) else []


@pytest.mark.needs("yaml")
@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_the_ci_files_parse_and_their_commands_run(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, ci: str
) -> None:
    write_plan(make_plan(sessions.folder, ci))
    name = {"github": ".github/workflows/reproducibility.yml", "gitlab": ".gitlab-ci.yml"}[ci]
    text = (sessions.folder / name).read_text(encoding="utf-8")
    document = importlib.import_module("yaml").safe_load(text)
    monkeypatch.chdir(sessions.folder)
    labels = iter(("one", "two"))
    ran = []
    for command in commands_of(document):
        words = shlex.split(re.sub(r"\$\{\{.*?\}\}", "x", command))  # which GitHub replaces before the shell runs
        if words[:2] == ["pip", "install"] or words[0] == "cat":
            continue
        if words[0] == "pytest":
            nightly = words[1:]
            _run_pytest(sessions, words[1:], labels)
        else:
            assert words[:2] == ["pytest-repro", "merge"]
            _run_pytest(sessions, nightly, labels)  # in a second environment
            folders = sorted(map(str, Path().glob(words[2])))
            assert len(folders) == 2
            assert main([words[1], *folders, *words[3:]]) == 0
            assert Path("merge.md").read_text(encoding="utf-8")
        ran.append(words[0])
    assert ran == ["pytest", "pytest", "pytest-repro"]


def _run_pytest(sessions: Sessions, words: list[str], labels: Any) -> None:
    # All axes would take minutes: one of them shows that the option is right.
    words = [word.replace("--repro-across=all", "--repro-across=timezone") for word in words]
    words = [re.sub(r"(--repro-collect=collected/).*", lambda match: match[1] + next(labels), word) for word in words]
    session = sessions.run(None, *words, apart=True, json_report=False)
    assert session.outcomes == {"passed": 1}, session.text


@pytest.mark.parametrize("label", ["ubuntu-24.04-arm-python-3.13", "python-3.12"])
def test_the_labels_of_the_nightly_jobs_are_allowed(label: str) -> None:
    assert not describe_label_problem(label)


def test_the_install_command_is_for_what_the_project_has(tmp_path: Path) -> None:
    assert find_install_command(tmp_path) == "pip install pytest 'pytest-repro[threads]'"
    (tmp_path / "requirements.txt").touch()
    assert find_install_command(tmp_path).startswith("pip install -r requirements.txt pytest ")
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'p'\n")
    assert find_install_command(tmp_path).startswith("pip install -e . pytest ")
