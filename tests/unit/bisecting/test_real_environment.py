"""A bisection in environments that an installer makes: it takes a minute, and an index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_repro.cli import main
from tests.unit.bisecting.wheels import write_index

TEST = """
import numpy as np
import tinylib

def test_value():
    return {"w": tinylib.scale(np.arange(4.0))}
"""
OLD, NEW = (f"def scale(x):\n    return x * {factor}\n" for factor in (2, 3))


def test_releases_of_an_index_are_installed_but_for_withdrawn_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    index = tmp_path / "index"
    write_index(index, "tinylib", "1.0", OLD)
    write_index(index, "tinylib", "1.1", NEW, yanked=True)
    write_index(index, "tinylib", "1.2rc1", "broken(")
    write_index(index, "tinylib", "1.2", NEW)
    project = tmp_path / "project"
    project.mkdir()
    (project / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (project / "test_it.py").write_text(TEST, encoding="utf-8")
    monkeypatch.chdir(project)
    monkeypatch.setenv("PYTEST_REPRO_ENVIRONMENTS", str(tmp_path / "environments"))
    # uv has a variable of its own. NumPy and pytest come from where this machine has them.
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name, raising=False)
    for name in ("PIP_EXTRA_INDEX_URL", "UV_INDEX"):
        monkeypatch.setenv(name, index.as_uri())
    command = ["bisect", "test_it.py::test_value", "--package=tinylib", "--good=1.0", "--bad=1.2", "--no-diagnose"]
    status = main([*command, "--json"])
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (status, found.get("status")) == (1, "found"), captured
    assert (found["last_same"], found["first_different"], found["members"]) == ("1.0", "1.2", 2)
    assert found["other_packages"] == []
