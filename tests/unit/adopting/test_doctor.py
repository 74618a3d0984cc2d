"""The command `pytest-repro doctor`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from pytest_repro.adopting import axes_here, doctor
from pytest_repro.adopting.axes_here import describe_axes
from pytest_repro.adopting.extras import GIVES, OTHERS
from pytest_repro.axes.machine import Machine
from pytest_repro.axes.spec import BUILT_IN_NAMES
from pytest_repro.cli import main

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "measure_start", lambda: 0.5)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main(["doctor", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_project_without_faults_ends_with_success_and_no_promise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "code.py").write_text("def f():\n    return 1\n")
    status, text, _ = run(capsys, tmp_path)
    assert status == 0
    assert "nothing to mend was found; that is no proof" in text


def test_faults_are_told_with_their_place_and_the_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "code.py").write_text("import random\nR = random.Random()\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nrepro_run = 3\n")
    status, text, _ = run(capsys, tmp_path)
    assert status == 1
    assert "code.py:2 random.Random() takes its seed from the operating system" in text
    assert "pytest.ini:2 pytest knows no key 'repro_run'" in text
    assert "2 things to mend" in text
    status, text, _ = run(capsys, tmp_path, "--json")
    document = json.loads(text)
    assert (status, document["is_well"]) == (1, False)
    assert {each["code"] for each in document["findings"] if each["weight"] == "mend"} == {
        "unseeded_generator",
        "unknown_key",
    }


def test_a_file_that_cannot_be_parsed_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "code.py").write_text("def f(:\n")
    status, text, _ = run(capsys, tmp_path)
    assert (status, "not read\n  code.py: line 1" in text) == (1, True)


def test_names_of_files_cannot_control_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a\x1b[2Jb.py").write_text("import random\nrandom.random()\n")
    _, text, _ = run(capsys, tmp_path)
    assert "\x1b" not in text
    assert "b.py:2" in text


@pytest.mark.parametrize("name", ["none", "notes.txt"])
def test_what_is_no_project_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / "notes.txt").touch()
    status, text, error = run(capsys, tmp_path / name)
    assert (status, text, name in error) == (2, "", True)


def test_every_axis_is_there_with_its_cost_or_the_reason() -> None:
    machine = Machine("linux", "x86_64", 4, frozenset({"avx2", "fma"}), ("glibc", "2.36"), True, ("C", "C.utf8"))
    axes = {each.name: each for each in describe_axes(["prod"], machine)}
    assert tuple(axes) == BUILT_IN_NAMES
    assert (axes["threads"].starts, axes["threads"].runs > 0) == (0, True)
    assert (axes["hash_seed"].starts, axes["hash_seed"].is_each_test) == (axes["hash_seed"].runs + 1, False)
    assert axes["process"].is_each_test
    assert "the project names prod" in axes["host"].why_not
    assert all(axis.why_not or axis.runs for axis in axes.values())


def test_without_forks_each_test_starts_its_own_interpreters() -> None:
    machine = Machine("darwin", "arm64", 4)
    axes = {each.name: each for each in describe_axes((), machine)}
    assert axes["hash_seed"].is_each_test


def test_every_extra_of_the_package_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["optional-dependencies"]) == set(GIVES) | set(OTHERS)


def test_the_start_of_an_interpreter_is_measured() -> None:
    assert (axes_here.measure_start() or 0) > 0


def test_the_documentation_shows_what_the_commands_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "how-to" / "get-started-in-a-project.md").read_text(encoding="utf-8")
    source = page.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "__init__.py").touch()
    (tmp_path / "digits" / "training.py").write_text(source, encoding="utf-8")
    settings = '[project]\nname = "digits"\nversion = "1.0"\n\n[tool.pytest.ini_options]\n'
    (tmp_path / "pyproject.toml").write_text(f"{settings}repro_run = 3\n", encoding="utf-8")
    outputs = [part.partition("```")[0] for part in page.split("```text\n")[1:]]
    assert run(capsys, tmp_path)[1].partition("\n")[2].startswith(outputs[0])
    (tmp_path / "pyproject.toml").write_text(f'{settings}addopts = "-ra"\n', encoding="utf-8")
    assert main(["init", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(outputs[2])
