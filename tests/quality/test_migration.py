"""The migration guide: its counts of lines are those of the tests, and each test has a fault that it finds."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
GUIDE = (PAGES / "migrate-hand-written-tests.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \|.*\| `(test_\w+)` \| (\d+) \|$", GUIDE, re.MULTILINE)
SHOWN = re.findall(r"\{literalinclude\} migration/(\w+\.py)\n:language: python\n:pyobject: (\w+)", GUIDE)
FILES = ("test_trainings.py", "test_predictions.py")
FUNCTIONS = {
    node.name: node
    for name in FILES
    for node in ast.parse((PAGES / "migration" / name).read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef)
}


def test_there_are_twelve():
    assert [number for number, *_ in ROWS] == [str(number) for number in range(1, 13)]


@pytest.mark.parametrize(("number", "name", "lines"), ROWS)
def test_a_new_test_has_as_many_lines_as_the_table_says(number, name, lines):
    node = FUNCTIONS[name]
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    assert node.end_lineno - first + 1 == int(lines)


def test_each_section_shows_the_way_by_hand_and_the_new_test():
    sections = GUIDE.split("\n## ")[1:13]
    for section, (number, name, _) in zip(sections, ROWS, strict=True):
        assert section.startswith(f"{number}. ")
        shown = [function for _, function in SHOWN if f":pyobject: {function}\n" in section]
        assert len(shown) == 2
        assert shown[0].startswith("check_")
        assert shown[1] == name
        assert "**Missed:**" in section


def test_each_way_by_hand_is_run_on_a_fault_that_it_does_not_see():
    for _, function in SHOWN[::2]:
        users = [
            node
            for node in FUNCTIONS.values()
            if function in {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} and node.name.startswith("test_")
        ]
        assert len(users) == 1, function
        assert "pytest.raises(DivergenceError" in ast.unparse(users[0])
