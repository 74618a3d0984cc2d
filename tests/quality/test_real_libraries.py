"""The page about real libraries shows whole examples, outputs of theirs, and a table that holds them all."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
from pathlib import Path

import pytest

from tools import real_libraries

CODE = real_libraries.CODE
PAGE = (CODE.parent / "real-libraries.md").read_text(encoding="utf-8")
NAMES = sorted(real_libraries.SHOWN)
TABLE = (CODE / "results.md").read_text(encoding="utf-8")


def functions_of(name: str) -> list[str]:
    tree = ast.parse((CODE / f"test_{name}.py").read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def row_of(name: str, test: str) -> list[str]:
    (row,) = [line for line in TABLE.splitlines() if line.startswith(f"| `test_{name}.py` | `{test}` |")]
    return [cell.strip() for cell in row.strip("|").split("|")][2:]


def test_every_example_is_known_and_every_known_one_is_there():
    assert sorted(path.stem.removeprefix("test_") for path in CODE.glob("test_*.py")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_shown_with_its_output(name):
    assert f"real_libraries/test_{name}.py" in PAGE
    assert f"real_libraries/{name}.txt" in PAGE


@pytest.mark.parametrize("name", NAMES)
def test_the_table_and_the_output_tell_the_same_of_each_test(name):
    text = (CODE / f"{name}.txt").read_text(encoding="utf-8")
    failed = re.findall(r"^_{3,} (\w+) _{3,}$", text, re.MULTILINE)
    found = {test: row_of(name, test) for test in functions_of(name)}
    assert failed == [test for test, (verdict, *_) in found.items() if verdict == "DIVERGED"]
    for cells in found.values():
        for code in re.findall(r"`([\w.]+)`", cells[1]):
            assert f"  cause   {code}: " in text


@pytest.mark.parametrize("name", NAMES)
def test_what_is_repaired_holds(name):
    for test in functions_of(name):
        if test.endswith(("_repaired", "_within_rounding")):
            assert row_of(name, test)[0] in ("IDENTICAL", "WITHIN_TOLERANCE")


def test_an_output_is_abridged_where_dots_stand_and_nowhere_else():
    text = "\n".join(
        [
            "==== test session starts ====",
            "",
            "____ test_a ____",
            "Run 2 differs",
            "",
            "  where   a.py:1",
            "          more",
            "==== reproducibility ====",
            "1 diverged",
            "==== short test summary info ====",
            "FAILED a",
        ]
    )
    expected = ["...", "____ test_a ____", "Run 2 differs", "", "  where   a.py:1", "          more"]
    assert real_libraries.abridge(text).splitlines() == [*expected, "==== reproducibility ====", "1 diverged", "..."]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_still_gives_the_verdicts_and_causes_of_the_table(name, tmp_path):
    """Takes minutes, and as many cores as the table was made with: on demand alone."""
    if not os.environ.get("REPRO_REAL_LIBRARIES"):
        pytest.skip("REPRO_REAL_LIBRARIES=1 runs it")
    if not real_libraries.is_installed(name) or importlib.util.find_spec("sklearn") is None:
        pytest.skip("a library is not installed")
    _, tests = real_libraries.run(name, Path(tmp_path))
    for test in tests:
        verdict, causes, _ = row_of(name, test["nodeid"].rpartition("::")[2])
        row = real_libraries.format_row(name, test).split("|")
        assert row[3:5] == [f" {verdict} ", f" {causes} " if causes else " "]
