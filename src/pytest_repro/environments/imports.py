"""The modules that a test's file imports, read from its source: what an environment must have before anything runs."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

#: Files of the user's own that are followed.
MAX_FILES = 500


def find_imports(path: Path, root: Path) -> list[str]:
    """Return the top-level modules that a test's file imports when it is itself imported.

    Files of the project that it imports are followed, and the ``conftest.py`` files on the way to it. Modules of the
    standard library, of the project and of this package are left out, as are imports within functions, and those that
    the file guards against a failure.

    Parameters
    ----------
    path : Path
        The test's file.
    root : Path
        The project's folder.
    """
    folders = [path.parent, *(each for each in path.parents if each.is_relative_to(root))]
    searched = list(dict.fromkeys([*folders, root, root / "src"]))
    waiting = [path, *(folder / "conftest.py" for folder in dict.fromkeys(folders))]
    seen: set[Path] = set()
    found: dict[str, None] = {}
    while waiting and len(seen) < MAX_FILES:
        file = waiting.pop()
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        for name in _read_imports(file):
            own = _find_own(name, file, searched)
            if own is not None:
                waiting.extend(own)
            elif not name.startswith(".") and (top := name.partition(".")[0]) not in sys.stdlib_module_names:
                found[top] = None
    return sorted(set(found) - {"pytest_repro", "__future__"})


def _read_imports(file: Path) -> Iterator[str]:
    """Yield the names of the modules, with leading dots where an import is relative."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    yield from _walk(tree.body)


def _walk(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            base = "." * statement.level + (statement.module or "")
            yield base
            # A submodule is imported by the same words as an attribute.
            separator = "" if base.endswith(".") else "."
            yield from (f"{base}{separator}{alias.name}" for alias in statement.names if alias.name != "*")
        elif isinstance(statement, ast.If) and not _may_be_skipped(statement.test):
            yield from _walk(statement.body)
            yield from _walk(statement.orelse)
        elif isinstance(statement, (ast.With, ast.ClassDef)) or _is_unguarded(statement):
            yield from _walk(statement.body)


def _is_unguarded(statement: ast.stmt) -> TypeGuard[ast.Try]:
    return isinstance(statement, ast.Try) and not statement.handlers


def _may_be_skipped(test: ast.expr) -> bool:
    """Return whether a condition holds only for a type checker, or depends on something that is not known here."""
    return not (isinstance(test, ast.Constant) and bool(test.value))


def _find_own(name: str, file: Path, folders: list[Path]) -> list[Path] | None:
    """Return the project's files of a module. None if it is not the project's."""
    if name.startswith("."):
        level = len(name) - len(name.lstrip("."))
        folder = file.parent
        for _ in range(level - 1):
            folder = folder.parent
        return _files_of(folder, name.lstrip(".").split(".") if name.strip(".") else [])
    parts = name.split(".")
    for folder in folders:
        if (folder / parts[0]).is_dir() or (folder / f"{parts[0]}.py").is_file():
            return _files_of(folder, parts)
    return None


def _files_of(folder: Path, parts: list[str]) -> list[Path]:
    found: list[Path] = []
    for part in parts:
        if (file := folder / f"{part}.py").is_file():
            return [*found, file]
        folder = folder / part
        if not folder.is_dir():
            break
        if (package := folder / "__init__.py").is_file():
            found.append(package)
    return found
