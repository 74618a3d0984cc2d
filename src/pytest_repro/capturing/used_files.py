"""Files that a session used and that the commit and its changes do not contain: ignored by git, or elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pytest_repro.capturing.budget import Unavailable, collect
from pytest_repro.capturing.git import ask_git, find_root, printable, split_entries
from pytest_repro.errors import StoreError
from pytest_repro.model import JSON
from pytest_repro.model.reading import opened

T = TypeVar("T")

BUDGET_S = 20.0
#: Files that are listed; the rest are counted.
MAX_FILES = 500
#: Longest file that is read [bytes].
MAX_BYTES = 2**30
_FILES_A_COMMAND = 200


def describe_used(directory: Path, files: Iterable[str]) -> JSON:
    """Describe those of the used files that the state of the code does not cover.

    Parameters
    ----------
    directory : Path
        A directory of the checkout.
    files : iterable of str
        Absolute paths: the user's modules that were imported, data and settings that were read.

    Returns
    -------
    dict
        ``ignored`` (path in the checkout -> digest), ``outside`` (path from `directory`, or its last three parts ->
        digest), and ``left_out`` (a count); or ``{"unavailable": reason}``. Without a checkout every file is outside.
    """
    return collect(lambda: _describe(directory, files), BUDGET_S)


def _describe(directory: Path, files: Iterable[str]) -> JSON:
    try:
        root: Path | None = find_root(directory).resolve()
    except Unavailable:
        root = None
    inside: dict[str, Path] = {}
    outside: list[Path] = []
    # Of a link, git has the name of its target, and not what is read.
    for path in sorted({_find_file(Path(file).resolve()) for file in files}):
        if not path.is_file():
            continue
        if root is not None and path.is_relative_to(root):
            inside[path.relative_to(root).as_posix()] = path
        else:
            outside.append(path)
    known = _find_known(root, sorted(inside)) if root is not None else set()
    ignored = [(printable(name), path) for name, path in sorted(inside.items()) if name not in known]
    elsewhere = name_apart((_name(path, directory.resolve()), path) for path in outside)
    left = max(0, len(ignored) + len(elsewhere) - MAX_FILES)
    ignored, elsewhere = ignored[:MAX_FILES], elsewhere[: max(0, MAX_FILES - len(ignored))]
    return {
        "ignored": {name: _digest(path) for name, path in ignored},
        "outside": {name: _digest(path) for name, path in elsewhere},
        "left_out": left,
    }


def _find_file(path: Path) -> Path:
    """Return a file, or the archive that it is in: Python imports from zip files too."""
    return next((place for place in (path, *path.parents) if place.is_file()), path)


def _name(path: Path, directory: Path) -> str:
    """Return a name without what only this machine has of the path."""
    if path.is_relative_to(directory):
        return printable(path.relative_to(directory).as_posix())
    return "/".join(printable(str(path)).split("/")[-3:]).lstrip("/")


def name_apart(named: Iterable[tuple[str, T]]) -> list[tuple[str, T]]:
    """Return values with their names, of which equal ones get apostrophes: short names of two files may be equal."""
    found: dict[str, T] = {}
    for name, value in named:
        while name in found:
            name += "'"
        found[name] = value
    return list(found.items())


def _find_known(root: Path, names: list[str]) -> set[str]:
    """Return the files that git tracks, or would list as untracked."""
    found: set[str] = set()
    for start in range(0, len(names), _FILES_A_COMMAND):
        part = names[start : start + _FILES_A_COMMAND]
        answer = ask_git(
            root, "--literal-pathspecs", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *part
        )
        found.update(split_entries(answer))
    return found


def _digest(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            return f"{path.stat().st_size:,} bytes, not read"
        hasher = hashlib.sha256()
        with opened(path, max_bytes=MAX_BYTES, follows_links=True) as file:
            for block in file.iterate():
                hasher.update(block)
        return f"sha256:{hasher.hexdigest()}"
    except OSError as error:
        return f"unreadable: {error.strerror or type(error).__name__}"
    except StoreError as error:
        return f"unreadable: {error}"
