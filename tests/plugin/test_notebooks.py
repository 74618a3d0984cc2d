"""Notebooks: `%%reproducible` and `examine` in a real IPython shell, and in a notebook that a kernel executes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.quality.test_documentation import skeleton
from tools import notebook_outputs

CELLS = Path(notebook_outputs.__file__).with_name("notebook_cells.py")
BEGIN = """
import random, time
import numpy as np
cache, count, X = {}, 0, np.arange(6.0)
stream = iter(range(100))
generator = np.random.default_rng(0)
password = "hunter2-of-nobody"
def cached():
    if "value" not in cache:
        cache["value"] = time.perf_counter_ns()
    return cache["value"]
def kept(x, seen=[]):
    seen.append(x)
    return len(seen)
"""


def run_cells(folder: Path, *cells: str, **variables: str) -> list[dict[str, Any]]:
    """Run cells one after the other in one shell, after the extension and some definitions."""
    file = folder / "cells.json"
    file.write_text(json.dumps(["%load_ext pytest_repro", BEGIN, *cells]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(CELLS), str(file)], capture_output=True, text=True, cwd=folder, env=_environment(variables)
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    for each in found:  # messages are wrapped
        each.update({key: " ".join(each[key].split()) for key in ("text", "error")})
    assert [each["error"] for each in found[:2]] == ["", ""]
    return found[2:]


def _environment(variables: dict[str, str]) -> dict[str, str]:
    import os

    return {**os.environ, "IPYTHONDIR": "ipython", **variables}


TOKEN = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
QUICK = {
    "equal": "%%reproducible\na = random.random()\nb = X * a\nprint('shown once')\nb",
    "cached": "%%reproducible\nv = cached()",
    "default": "%%reproducible\nn = kept(1)",
    "stream": "%%reproducible --no-diagnose\nx = next(stream)",
    "generator": "%%reproducible\nr = generator.random()",
    "counted": "%%reproducible --no-diagnose\ncount += 1",
    "nothing": "%%reproducible\nimport os\ndef f(): pass",
    "refused": "%%reproducible\ng = (i for i in range(3))",
    "partly": "%%reproducible\ng = (i for i in range(3)); h = 1",
    "clock": "%%reproducible --no-diagnose\nt = time.perf_counter_ns()",
    "named": "%%reproducible a --no-diagnose\na = 1\nt = time.perf_counter_ns()",
    "missing": "%%reproducible zz\na = 1",
    "unknown": "%%reproducible --bogus\na = 1",
    "axis": "%%reproducible --across=thraeds=1:2\na = 1",
    "one": "%%reproducible --runs=1\na = 1",
    "tolerated": "%%reproducible --rtol=1 --no-diagnose\nt = float(time.perf_counter_ns())",
    "threads": "%%reproducible --across=threads=1:2\na = X @ X",
    "broken": "%%reproducible\nq = 1 / 0",
    "breaks later": "%%reproducible\nif cache.get('again'): 1 / 0\ncache['again'] = True\nq = 1",
    "unsendable": "%%reproducible --across=hash_seed\nq = next(stream)",
    "secret": "%%reproducible password --no-diagnose\npassword = f'token={time.perf_counter_ns()}-sekret'",
    "token": "%%reproducible --no-diagnose\nimport os\ntext = os.environ['SOME_API_TOKEN'] + f'{time.time_ns()}'",
    "hostile": "%%reproducible --no-diagnose\nmark = f'<script>{time.perf_counter_ns()}</script>'",
    "shell": "%%reproducible --no-diagnose\nlisted = !echo listed\ncount_of = len(listed)",
    "elsewhere": "%%reproducible --across=process --no-diagnose\nz = random.random()\ntext = '''a\n b'''\n\"last\"",
    "again": "%%reproducible --no-diagnose\nz2 = random.random()",
    "seeded": "(z == z2, text)",
    "after": "(count, 't' in globals(), 'q' in globals())",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The results of QUICK, by their names."""
    variables = {"SOME_API_TOKEN": TOKEN}
    return dict(zip(QUICK, run_cells(tmp_path_factory.mktemp("shell"), *QUICK.values(), **variables), strict=True))


pytestmark = pytest.mark.needs("IPython")


def test_a_cell_that_is_reproducible_says_so_and_shows_its_output_once(found: dict[str, dict[str, Any]]) -> None:
    assert found["equal"]["verdict"] == "identical"
    assert found["equal"]["printed"].count("shown once") == 1
    assert "all runs were in this kernel" in found["equal"]["text"]
    assert "identical" in found["equal"]["html"]


@pytest.mark.parametrize("name, changed", [("cached", "cache"), ("default", "the defaults of kept")])
def test_a_cell_that_passes_by_what_run_1_left_is_never_identical(
    found: dict[str, dict[str, Any]], name: str, changed: str
) -> None:
    assert found[name]["verdict"] != "identical"
    assert f"the cell changes {changed}, which it reads" in found[name]["text"]


def test_a_pass_that_rests_on_a_cache_is_inconclusive(found: dict[str, dict[str, Any]]) -> None:
    assert found["cached"]["verdict"] == "inconclusive"


@pytest.mark.parametrize("name", ["stream", "generator"])
def test_a_cell_that_uses_up_what_it_reads_diverges_and_says_why(found: dict[str, dict[str, Any]], name: str) -> None:
    assert found[name]["verdict"] == "diverged"
    assert f"the cell changes {name}, which it reads" in found[name]["text"]


def test_a_cell_that_reads_what_it_assigns_says_so(found: dict[str, dict[str, Any]]) -> None:
    assert found["counted"]["verdict"] == "identical"
    assert "of what it reads and assigns: count" in found["counted"]["text"]


def test_what_cannot_be_compared_is_never_a_pass_and_never_silent(found: dict[str, dict[str, Any]]) -> None:
    assert found["nothing"]["verdict"] == found["refused"]["verdict"] == found["one"]["verdict"] == "inconclusive"
    assert "assigns no variable" in found["nothing"]["text"]
    assert "g (generator)" in found["refused"]["text"]
    assert found["partly"]["verdict"] == "identical"
    assert "not compared: g (generator)" in found["partly"]["text"]
    assert "not compared" in found["partly"]["html"]


def test_only_the_variables_that_are_named_are_compared(found: dict[str, dict[str, Any]]) -> None:
    assert found["clock"]["verdict"] == "diverged"
    assert found["named"]["verdict"] == "identical"
    assert found["tolerated"]["verdict"] == "within_tolerance"
    assert found["threads"]["verdict"] == "identical"


@pytest.mark.parametrize(
    "name, message",
    [
        ("missing", "UsageError: the cell is to be compared by 'zz'"),
        ("unknown", "unrecognized arguments: --bogus"),
        ("axis", "'thraeds' is not an axis"),
        ("broken", "ZeroDivisionError"),
        ("breaks later", "ZeroDivisionError"),
        ("unsendable", "reads 'stream', a builtins.range_iterator, which cannot be sent"),
    ],
)
def test_a_wrong_option_or_an_error_of_the_cell_is_shown_as_such(
    found: dict[str, dict[str, Any]], name: str, message: str
) -> None:
    assert message in found[name]["error"]
    assert found[name]["verdict"] == ""


def test_a_cell_with_a_command_of_the_shell_is_compared(found: dict[str, dict[str, Any]]) -> None:
    assert found["shell"]["verdict"] == "identical"


def test_a_cell_that_was_run_elsewhere_is_executed_here_with_the_same_seed(found: dict[str, dict[str, Any]]) -> None:
    assert found["elsewhere"]["verdict"] == "identical"
    assert found["elsewhere"]["printed"].count("last") == 1
    assert "all runs were in this kernel" not in found["elsewhere"]["text"]
    assert found["seeded"]["text"] == "(True, 'a\\n b')"


def test_the_variables_are_those_of_run_1_afterwards(found: dict[str, dict[str, Any]]) -> None:
    assert found["after"]["text"] == "(1, True, True)"


def test_a_table_is_escaped_and_has_no_script_and_no_secret(found: dict[str, dict[str, Any]]) -> None:
    assert {found[name]["verdict"] for name in ("hostile", "secret", "token")} == {"diverged"}
    for each in found.values():
        assert not re.search(r"<script|javascript:|\son\w+=", each["html"])
        assert "sekret" not in each["html"] + each["text"]
        assert TOKEN not in each["html"] + each["text"]
    assert "&lt;script&gt;" in found["hostile"]["html"]


def test_a_cell_is_diagnosed_in_processes_of_its_own(tmp_path: Path) -> None:
    cell = "%%reproducible\ne: float = np.random.default_rng().random()\nz = X + e"
    (found,) = run_cells(tmp_path, cell)
    assert found["verdict"] == "diverged"
    assert "rng.os_entropy" in found["text"]
    assert "`e` differs first" in found["text"]
    assert "test_examined" not in found["text"] + found["html"]


@pytest.mark.needs("IPython", "nbclient", "ipykernel")
def test_a_notebook_that_a_kernel_executes_shows_tables(tmp_path: Path) -> None:
    import nbclient
    import nbformat

    cells = [
        "%load_ext pytest_repro\nfrom pytest_repro import examine",
        "LETTERS = 'abcdef'\ndef vocabulary():\n    return list(set(LETTERS))",
        "examine(vocabulary)",
        "%%reproducible --across=hash_seed --no-diagnose\nletters = vocabulary()",
        "letters == sorted(letters) or len(letters)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    first, second = (cell.outputs[-1].data for cell in notebook.cells[2:4])
    assert "identical" in first["text/html"]
    assert first["text/plain"] == "2 runs: identical"
    assert "axis hash_seed" in second["text/html"]
    assert "diverged" in second["text/html"]
    assert "hash.str_hashseed" in second["text/plain"]


def test_the_page_about_notebooks_shows_what_its_cells_print() -> None:
    cells = notebook_outputs.cells_of(notebook_outputs.PAGE.read_text(encoding="utf-8"))
    found = notebook_outputs.execute([cell for cell, _ in cells])
    shown = [skeleton(text) for _, text in cells]
    assert len([each for each in shown if each]) >= 5
    assert [skeleton(each) for each in found] == shown, "run python tools/notebook_outputs.py"
