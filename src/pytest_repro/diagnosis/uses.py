"""Where the user's source uses a name, and for what."""

from __future__ import annotations

import ast
import linecache
import tokenize
from contextlib import suppress
from pathlib import Path

from pytest_repro.model import Location


def location_at(file: str, line: int, function: str = "") -> Location:
    """Return a place with its line of source."""
    return Location(file, line, function, linecache.getline(file, line).strip())


def code_in(source: str) -> str:
    """Return a statement without its comments, in which somebody may have written about anything."""
    lines = source.strip().splitlines()
    found = list(lines)
    # What ends in the midst of a statement, as a compound one's first line may, gives its tokens up to there.
    with suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(iter([f"{line}\n" for line in lines]).__next__):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                found[row - 1] = lines[row - 1][:column].rstrip()
    return "\n".join(found)


def find_uses(file: str, name: str) -> list[Location]:
    """Return the lines inside functions of a file that use a global name or an attribute so called."""
    found: list[Location] = []
    for node in ast.walk(_parse(file)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if node.name == name:
                found.append(location_at(file, node.lineno, node.name))
            inside = [use for part in node.body for use in ast.walk(part) if isinstance(use, ast.expr)]
            lines = {use.lineno for use in inside if _is_named(use, name)}
            found += [location_at(file, line, node.name) for line in sorted(lines)]
    return found


def is_looked_up(file: str, name: str) -> bool:
    """Tell whether a mapping is asked, somewhere in its file, for what it may not hold yet, as a cache is."""
    for node in ast.walk(_parse(file)):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            asked: ast.expr = node.comparators[0]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr not in ("get", "setdefault"):
                continue
            asked = node.func.value
        else:
            continue
        if _is_named(asked, name):
            return True
    return False


def _is_named(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Name):
        return node.id == name
    return isinstance(node, ast.Attribute) and node.attr == name


def _parse(file: str) -> ast.Module:
    """Return what a file holds; nothing if it cannot be read."""
    if file:
        try:
            return ast.parse(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError, SyntaxError):
            pass
    return ast.Module([], [])
