"""Markers of tests that are misspelt, and axes in them that do not exist."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator

from pytest_repro.adopting.findings import Finding
from pytest_repro.adopting.names import argument, dotted_name
from pytest_repro.axes.parse import parse_across
from pytest_repro.errors import UsageError

MARKER = "reproducible"


def find_markers(tree: ast.AST, aliases: dict[str, str], file: str) -> Iterator[Finding]:
    """Yield markers whose name is nearly right, and markers whose axes are wrong."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            head, _, name = dotted_name(node).rpartition(".")
            if head == "pytest.mark" and name != MARKER and difflib.get_close_matches(name, [MARKER], cutoff=0.8):
                text = f"the marker {name!r} does nothing"
                yield Finding(file, node.lineno, "misspelt_marker", "mend", text, f"write pytest.mark.{MARKER}")
        elif isinstance(node, ast.Call) and dotted_name(node.func) == f"pytest.mark.{MARKER}":
            across = argument(node, "across")
            try:
                value = ast.literal_eval(across) if across is not None else None
            except (ValueError, TypeError, SyntaxError, RecursionError):
                continue  # assertions and Axis(...) are checked by pytest
            try:
                parse_across(value)
            except UsageError as error:
                yield Finding(file, node.lineno, "wrong_axis", "mend", str(error))
