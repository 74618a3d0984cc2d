"""No code that runs what it reads (docs/adr/0009-no-pickle.md), read from the syntax tree of every source file."""

from __future__ import annotations

import ast
from importlib.resources import files
from pathlib import Path

import pytest

MODULES = {"cloudpickle", "dill", "marshal", "pickle", "shelve"}
CALLS = {"eval", "exec"}
ARGUMENTS = {("allow_pickle", True), ("weights_only", False)}
#: A notebook's cell, which its user has just typed, is executed again as IPython executes it.
ALLOWED = {"session-cells.py": ["exec()", "eval()"]}
SOURCES = sorted(Path(str(files("pytest_repro"))).rglob("*.py"))


def offences(source: str) -> list[str]:
    """Say where a source imports, calls or asks for what it must not."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in CALLS:
                found.append(f"line {node.lineno}: {node.func.id}()")
            for keyword in node.keywords:
                value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                if (keyword.arg, value) in ARGUMENTS:
                    found.append(f"line {node.lineno}: {keyword.arg}={value}")
        found += [f"line {node.lineno}: import {name}" for name in names if name.partition(".")[0] in MODULES]
    return found


def name_of(path: Path) -> str:
    """Return a source's path within the package, as the name of its test."""
    return "-".join(path.parts[path.parts.index("pytest_repro") + 1 :])


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_source_file_runs_nothing_that_it_reads(path):
    found = [offence.partition(": ")[2] for offence in offences(path.read_text(encoding="utf-8"))]
    assert found == ALLOWED.get(name_of(path), [])


def test_there_are_sources():
    assert len(SOURCES) > 10


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, dill as d",
        "from pickle import loads",
        "def f():\n    import shelve",
        "eval('1')",
        "np.load(f, allow_pickle=True)",
        "torch.load(f, weights_only=False)",
    ],
)
def test_each_offence_is_seen(source):
    assert len(offences(source)) == 1


def test_other_names_that_look_alike_are_let_be():
    assert offences("model.eval()\nspec.loader.exec_module(m)\nnp.load(f, allow_pickle=False)\nimport pickleball") == []
