"""The scan parses what it is given, runs none of it, says what it could not read, and ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_repro.adopting import scan as scanning
from pytest_repro.adopting.scan import scan_project
from tests.unit.adopting.helpers import codes, scan_source


def test_nothing_of_the_project_is_run(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n")
    (tmp_path / "test_it.py").write_text("raise SystemExit\n")
    assert scan_project(tmp_path).files == 2
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"def f(:\n", "line 1"),
        (b"\xff\xfe\x00", ""),
        (b"x = 1\x00\n", ""),
        (b"# coding: nothing\nx = 1\n", "nothing"),
        (b"x = " + b"(" * 5000 + b")" * 5000, ""),
        (b"x = " + b"-" * 100_000 + b"1\n", ""),
        (b"#" * 1_000_001, "more than 1,000,000 bytes"),
    ],
)
def test_a_file_that_cannot_be_parsed_is_told(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "bad.py").write_bytes(data)
    (tmp_path / "good.py").write_text("import random\nrandom.random()\n")
    scan = scan_project(tmp_path)
    assert [file for file, _ in scan.unread] == ["bad.py"]
    assert reason in scan.unread[0][1]
    assert [each.place for each in scan.findings] == ["good.py:2"]


def test_environments_builds_and_scripts_are_left_out_and_scripts_are_told(tmp_path: Path) -> None:
    for folder in ("venv", "my_env", "build", ".tox", "docs", "src/examples", "src"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "code.py").write_text("import random\nrandom.random()\n")
    (tmp_path / "my_env" / "pyvenv.cfg").touch()
    scan = scan_project(tmp_path)
    assert [each.file for each in scan.findings] == ["src/code.py"]
    assert scan.left_out == ["docs/", "src/examples/"]


def test_a_scan_that_reaches_its_bound_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "MAX_FILES", 2)
    for number in range(4):
        (tmp_path / f"a{number}.py").touch()
    scan = scan_project(tmp_path)
    assert (scan.files, "the rest was not read" in scan.notes[0]) == (2, True)


def test_a_misspelt_marker_and_a_wrong_axis_are_found(tmp_path: Path) -> None:
    source = """
        import pytest

        @pytest.mark.reproducable
        def test_a(): ...

        @pytest.mark.reproducible(across=["hash_sed"])
        def test_b(): ...

        @pytest.mark.reproducible(across=["hash_seed"], runs=3)
        def test_c(): ...

        @pytest.mark.slow
        def test_d(): ...
    """
    assert codes(tmp_path, source) == [(4, "misspelt_marker"), (7, "wrong_axis")]
    scan = scan_project(tmp_path)
    assert (scan.tests, scan.marked) == (4, 2)


def test_settings_of_determinism_are_noted_and_a_benchmark_of_kernels_is_to_be_mended(tmp_path: Path) -> None:
    source = """
        import os
        import torch

        torch.backends.cudnn.benchmark = True
        torch.use_deterministic_algorithms(True)
        os.environ["OMP_NUM_THREADS"] = "1"
        os.environ.setdefault("PYTHONHASHSEED", "0")
    """
    found = scan_source(tmp_path, source)
    assert [(each.line, each.weight) for each in found] == [(5, "mend"), (6, "note"), (7, "note"), (8, "note")]
    assert "reaches only interpreters that are started later" in found[3].text
