"""Places in the user's code: of sightings, of names, of statements."""

from __future__ import annotations

import ast
import linecache
import tokenize
from contextlib import suppress
from pathlib import Path

from pytest_repro.model import Location
from pytest_repro.sources.base import Sighting


def location_at(file: str, line: int, function: str = "") -> Location:
    """Return a place with its line of source."""
    return Location(file, line, function, linecache.getline(file, line).strip())


def code_in(source: str) -> str:
    """Return a statement without its comments, which may mention anything."""
    lines = source.strip().splitlines()
    found = list(lines)
    # Source that ends in the middle of a statement, such as a compound one's first line, yields its tokens up to there.
    with suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(iter([f"{line}\n" for line in lines]).__next__):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                found[row - 1] = lines[row - 1][:column].rstrip()
    return "\n".join(found)


def choose_place(sightings: list[Sighting], first: Location | None) -> Location | None:
    """Return where a source was reached: at the first value that differs, else in its function, else anywhere."""
    placed = [entry for entry in sightings if entry["file"]]
    if not placed:
        return first
    if first is not None:
        # A global generator that was drawn from has no line of its own, so another line proves nothing.
        for key in ("line",) if len(placed) < len(sightings) else ("line", "function"):
            for entry in placed:
                if entry["file"] == first.file and entry[key] == getattr(first, key):
                    return location_at(entry["file"], entry["line"], entry["function"])
        if len(placed) < len(sightings):
            return first
    entry = placed[0]
    return location_at(entry["file"], entry["line"], entry["function"])


def find_library(sightings: list[Sighting], location: Location | None) -> str:
    """Return the library inside which a line reaches a source, or "" if the user's own code reaches it there."""
    if location is None:
        return ""
    found = [
        str(entry.get("library", ""))
        for entry in sightings
        if (entry["file"], entry["line"]) == (location.file, location.line)
    ]
    return found[0] if found and all(found) else ""


def find_uses(file: str, name: str) -> list[Location]:
    """Return the lines inside functions of a file that use a global name or an attribute of that name."""
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
    """Return whether its file asks a mapping for keys that it may not have yet, as a cache is asked."""
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
    """Parse a file, or return an empty module if it cannot be read."""
    if file:
        try:
            return ast.parse(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError, SyntaxError):
            pass
    return ast.Module([], [])
