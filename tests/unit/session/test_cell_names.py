"""What a cell reads from earlier cells: everything that it may, and not what it has certainly assigned before."""

from __future__ import annotations

import ast

import pytest

from pytest_repro.session.cell_names import find_assigned, find_read


@pytest.mark.parametrize(
    "text, expected",
    [
        ("y = x", ["x"]),
        ("x = 1\ny = x", []),
        ("x += 1", ["x"]),
        ("if a: x = 1\ny = x", ["a", "x"]),
        ("if a: x = 1\nelse: x = 2\ny = x", ["a"]),
        ("for i in r:\n    l = i\n    t = l\ny = t", ["r", "t"]),
        ("with f() as h:\n    z = h", ["f"]),
        ("try:\n    x = 1\nexcept E as e:\n    print(e)\ny = x", ["print", "E", "x"]),
        ("def f(d=g): return h, x\nx = 1", ["g", "h"]),
        ("y = [v * k for v in w]", ["w", "k"]),
        ("import os\np = os.sep", []),
        ("x: int = y", ["int", "y"]),
        ("data.append(1)", ["data"]),
    ],
)
def test_the_names_that_a_cell_reads(text: str, expected: list[str]) -> None:
    assert sorted(find_read(ast.parse(text))) == sorted(expected)


def test_functions_classes_and_modules_are_no_results() -> None:
    text = "import os.path, json as j\ndef f():\n    global g\n    g = 1\nclass C: k = 2\n"
    text += "a, (b, *c) = v\nfor i in c: d = i\nx: int = 1"
    assert find_assigned(ast.parse(text)) == ["a", "b", "c", "i", "d", "x", "g"]
