"""`pytest-repro annotate` on reports of real sessions: each annotation is at the line that causes the difference."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from pytest_repro.cli import main

ROOT = Path(__file__).parents[2]
DATA = """
import os

def load():
    return os.urandom(4)
"""
TESTS = """
import pytest
from data import load

@pytest.mark.reproducible
def test_a(): return list(load())

@pytest.mark.reproducible
def test_b(): return sum(load())

@pytest.mark.reproducible
def test_same(): return 1
"""


@pytest.fixture
def report(pytester, monkeypatch):
    """Run a session in a folder of a repository, and return its report."""
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    subprocess.run(["git", "init", "-q"], cwd=pytester.path, check=True)
    package = pytester.mkdir("package")
    (package / "data.py").write_text(DATA, encoding="utf-8")
    (package / "test_it.py").write_text(TESTS, encoding="utf-8")
    (package / "pytest.ini").write_text("[pytest]\npythonpath = .\n", encoding="utf-8")
    monkeypatch.chdir(package)
    pytester.runpytest_subprocess("-pno:randomly", "--rootdir=.", "--repro-json=report.json")
    return package / "report.json"


def test_annotations_are_at_the_causes_line_relative_to_the_repository(report, capsys, monkeypatch):
    assert main(["annotate", str(report)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("::error file=package/data.py,line=5,title=Not reproducible%3A rng.os_entropy::")
    assert "2 tests: test_it.py::test_a, test_it.py::test_b%0A" in line

    # From the repository's folder, pytest's folder has to be named. Without it no wrong file is shown.
    monkeypatch.chdir(report.parent.parent)
    assert main(["annotate", str(report), "--root=package"]) == 0
    assert capsys.readouterr().out == f"{line}\n"
    assert main(["annotate", str(report)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("::error title=Not reproducible%3A rng.os_entropy::in data.py:5, which is not a file of")

    # Where git cannot be asked, the CI system knows the checkout.
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(report.parent.parent))
    assert main(["annotate", str(report), "--root=package"]) == 0
    assert capsys.readouterr().out == f"{line}\n"

    assert main(["annotate", str(report), "--format=gitlab", "--root=package"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["location"] == {"path": "package/data.py", "lines": {"begin": 5}}
    page = report.parent / "out" / "summary.md"
    assert main(["annotate", str(report), "--format=markdown", f"--output={page}"]) == 0
    assert capsys.readouterr().out == f"written to {page}\n"
    assert page.read_text(encoding="utf-8").startswith("### Reproducibility\n\n**FAILED**: 2 tests failed in pytest\n")
    written = report.parent / "quality.json"
    assert main(["annotate", str(report), "--format=gitlab", "--root=package", "-o", str(written)]) == 0
    assert json.loads(written.read_text(encoding="utf-8")) == [entry]


def test_files_outside_of_the_repository_are_never_shown_as_its_own(tmp_path, capsys, monkeypatch):
    document = json.loads((ROOT / "docs" / "outputs" / "first-test.json").read_text(encoding="utf-8"))
    place = document["tests"][0]["diagnosis"]["causes"][0]["location"]
    repository = tmp_path / "repository"
    repository.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=repository, check=True)
    outside = tmp_path / "outside.py"
    outside.write_text("x = 1", encoding="utf-8")
    (repository / "link.py").symlink_to(outside)
    (repository / "inside.py").write_text("x = 1", encoding="utf-8")
    monkeypatch.chdir(repository)
    files = ("../outside.py", str(outside), "link.py", "inside.py\0", "d" * 5000, "nothing.py", "", ".", "inside.py")
    shown = {}
    for file in files:
        place["file"] = file
        (tmp_path / "report.json").write_text(json.dumps(document), encoding="utf-8")
        assert main(["annotate", str(tmp_path / "report.json")]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        shown[file] = line.startswith("::error title=")
    assert shown == {file: file != "inside.py" for file in files}


def test_a_session_without_findings_says_so(pytester, capsys):
    pytester.makepyfile("import pytest\n@pytest.mark.reproducible\ndef test_same(): return 1")
    pytester.runpytest_subprocess("-pno:randomly", "--repro-json=report.json")
    capsys.readouterr()
    assert main(["annotate", "report.json"]) == 0
    assert capsys.readouterr().out == "no findings: 1 identical\n"
    assert main(["annotate", "report.json", "--format=gitlab"]) == 0
    assert capsys.readouterr().out == "[]\n"


def test_what_cannot_be_read_is_an_error_with_status_2(tmp_path, capsys):
    assert main(["annotate", str(tmp_path / "none.json")]) == 2
    file = tmp_path / "report.json"
    file.write_text("{}", encoding="utf-8")
    assert main(["annotate", str(file)]) == 2
    assert "not a report of --repro-json" in capsys.readouterr().err
    assert main(["annotate", str(file), "--root", str(tmp_path / "none")]) == 2
    assert "give the folder that pytest shows as rootdir" in capsys.readouterr().err
