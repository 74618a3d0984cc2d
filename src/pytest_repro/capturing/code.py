"""State of the code in its git checkout: commit, tree, and the changes since."""

from __future__ import annotations

import datetime
import fnmatch
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_repro.capturing.budget import Unavailable, collect
from pytest_repro.capturing.git import ask_git, find_root, printable, split_entries, try_git
from pytest_repro.errors import StoreError
from pytest_repro.model import JSON
from pytest_repro.model.reading import opened

BUDGET_S = 15.0
#: Changed files that are listed. All count for the digest.
MAX_FILES = 200
#: Untracked content [bytes] that is digested. Of further files only the size is.
_MAX_BYTES = 256 * 2**20
#: Marks, in addition to those of git's status, a change that git is configured to ignore.
_HIDDEN = "hM"
#: In `git ls-files -v`: assume-unchanged (with skip-worktree too), skip-worktree.
_FLAGS = "hsS"
_FILES_A_COMMAND = 200
_HEX = "[0-9a-f]" * 12
#: Names of records and their arrays (:func:`pytest_repro.records.files.record_path`), as git's patterns.
_RECORDS = (f"*-{_HEX}.json", f"*-{_HEX}-{_HEX}.safetensors")
#: Manifest of a collection (:mod:`pytest_repro.records.collection`), and the files next to it, which are no code.
_MANIFEST = "collection.json"
_COLLECTED = (_MANIFEST, "tests.jsonl", *_RECORDS)
#: Files that running tests leaves behind.
_LEFTOVERS = ("__pycache__/", ".pytest_cache/", ".hypothesis/")


def describe_code(directory: Path, *, excluded: Sequence[Path] = (), records: Path | None = None) -> JSON:
    """Describe the git checkout of a directory.

    Parameters
    ----------
    directory : Path
    excluded : sequence of Path
        Files that do not count as a change while git does not track them, since the session writes them.
    records : Path, optional
        Directory of records, which do not count either, by the form of their names. All other files in it do.

    Returns
    -------
    dict
        ``commit`` and ``tree`` (None before the first commit), ``dirty``, ``changed`` (paths), ``changed_count``,
        ``diff`` (digest of all changes, untracked files included; None if clean), ``submodules``, and ``project`` (the
        directory within the checkout, where it is not all of it); or ``{"unavailable": reason}``. Without branch and
        depth of the clone, which do not change the code.
    """
    return collect(lambda: _describe(directory, excluded, records), BUDGET_S)


def find_commit_time(directory: Path, code: Any) -> str:
    """Return when the commit of a described checkout was made, in UTC by ISO 8601, or "" if that is not known."""
    commit = code.get("commit") if isinstance(code, dict) else None
    if not isinstance(commit, str):
        return ""
    try:
        seconds = int(ask_git(directory, "show", "-s", "--format=%ct", commit))
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
    except (Unavailable, ValueError, OverflowError, OSError):
        return ""


def _describe(directory: Path, excluded: Sequence[Path], records: Path | None) -> JSON:
    root = find_root(directory)
    head = try_git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    pathspec, entries = find_changes(root, excluded, records)
    changed = sorted(printable(entry[3:]) for entry in entries)
    project = directory.resolve().relative_to(root.resolve()).as_posix()
    return {
        **({"project": printable(project)} if project != "." else {}),
        "commit": head,
        "tree": try_git(root, "rev-parse", "--verify", "--quiet", "HEAD^{tree}") if head else None,
        "dirty": bool(entries),
        "changed": list(changed[:MAX_FILES]),
        "changed_count": len(changed),
        "lines": _describe_lines(root, entries, pathspec, has_commit=bool(head)),
        "diff": _digest_changes(root, entries, bool(head), pathspec) if entries else None,
        "submodules": _read_submodules(root),
    }


def find_changes(root: Path, excluded: Sequence[Path], records: Path | None) -> tuple[list[str], list[str]]:
    """Return git's arguments that leave out the records, and the changed files, each after its status and a space."""
    specs = [_exclude(root, records / name) for name in _RECORDS] if records is not None else []
    pathspec = ["--", ".", *filter(None, specs)]
    written = {_within(root, path) for path in excluded}
    # A file that git tracks counts, even if the session writes it: it may be code.
    return pathspec, [e for e in _read_status(root, pathspec) if e[:2] != "??" or e[3:] not in written]


def _read_status(root: Path, pathspec: list[str]) -> list[str]:
    # Submodules too, whatever their configuration: `ignore = dirty` would hide a change in one.
    options = ("--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=none")
    status = ask_git(root, "status", *options, *pathspec)
    entries = [e for e in split_entries(status) if not _is_leftover(e) and not _is_collected(root, e)]
    return [*entries, *(f"{_HIDDEN} {path}" for path in _find_hidden(root, pathspec))]


def _find_hidden(root: Path, pathspec: list[str]) -> list[str]:
    """Return changed files that git is configured to assume unchanged (``git update-index``)."""
    flagged = [
        entry[2:] for entry in split_entries(ask_git(root, "ls-files", "-v", "-z", *pathspec)) if entry[0] in _FLAGS
    ]
    here = [path for path in flagged if (root / path).is_file()]  # a sparse checkout omits files
    found: list[str] = []
    for start in range(0, len(here), _FILES_A_COMMAND):
        paths = here[start : start + _FILES_A_COMMAND]
        staged = {
            entry.split("\t", 1)[1]: entry.split()[1]
            for entry in split_entries(ask_git(root, "--literal-pathspecs", "ls-files", "-s", "-z", "--", *paths))
        }
        now = ask_git(root, "hash-object", "--", *paths).decode("ascii").split()
        found += [path for path, digest in zip(paths, now, strict=True) if staged.get(path) != digest]
    return found


def _within(root: Path, path: Path) -> str | None:
    """Return a path as git names it, or None if it is outside of the work tree."""
    try:
        return (path.parent.resolve().relative_to(root.resolve()) / path.name).as_posix()
    except ValueError:
        return None


def _exclude(root: Path, pattern: Path) -> str | None:
    inside = _within(root, pattern)
    if inside is None:
        return None
    folder, _, name = inside.rpartition("/")
    folder = re.sub(r"([*?\[\\])", r"\\\1", folder)
    return f":(exclude,top,glob){f'{folder}/' if folder else ''}{name}"


def _describe_lines(root: Path, entries: list[str], pathspec: list[str], *, has_commit: bool) -> dict[str, JSON]:
    """Say of each changed file how it differs from the commit."""
    if not entries:
        return {}
    kinds = {"??": "untracked", _HIDDEN: "changed, although git is told to assume it unchanged"}
    found: dict[str, JSON] = {
        printable(e[3:]): describe_nested(root / e[3:]) if e.endswith("/") else kinds[e[:2]]
        for e in entries[:MAX_FILES]
        if e[:2] in kinds
    }
    return {**found, **(_count_lines(root, pathspec) if has_commit else {})}


def describe_nested(root: Path) -> str:
    """Say of a repository inside this one which commit it is at, and whether it has changes."""
    head = try_git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    is_dirty = bool(try_git(root, "status", "--porcelain=v1", "--untracked-files=all", "--ignore-submodules=none"))
    return (
        f"another repository, {f'commit {head}' if head else 'without a commit'}{' with changes' if is_dirty else ''}"
    )


def _count_lines(root: Path, pathspec: list[str]) -> dict[str, JSON]:
    """Return the lines added to and removed from each changed file that git has, such as ``+3 -1``."""
    text = ask_git(root, "diff", "HEAD", "--numstat", "-z", "--no-ext-diff", "--no-textconv", "--no-renames", *pathspec)
    found: dict[str, JSON] = {}
    for entry in split_entries(text)[:MAX_FILES]:
        added, removed, path = entry.split("\t", 2)
        name = printable(path)
        found[name] = "binary" if added == "-" else f"+{added} -{removed}"
    if "+0 -0" in found.values():
        raw = split_entries(ask_git(root, "diff", "HEAD", "--raw", "-z", "--no-renames", *pathspec))
        for entry, path in zip(raw[::2], raw[1::2], strict=True):
            old, new = entry.lstrip(":").split()[:2]
            if found.get(printable(path)) == "+0 -0" and "000000" not in (old, new) and old != new:
                found[printable(path)] = f"mode {old} -> {new}"
    return found


def _is_leftover(entry: str) -> bool:
    return entry.startswith("?? ") and any(f"/{left}" in f"/{entry[3:]}" for left in _LEFTOVERS)


def _is_collected(root: Path, entry: str) -> bool:
    """Return whether an untracked file belongs to a collection, which another environment may have left here."""
    path = root / entry[3:]
    is_named_so = any(fnmatch.fnmatchcase(path.name, pattern) for pattern in _COLLECTED)
    return entry.startswith("??") and is_named_so and (path.parent / _MANIFEST).is_file()


def _digest_changes(root: Path, entries: list[str], has_commit: bool, pathspec: list[str]) -> str:
    """Digest the diff to HEAD and each untracked file, without configured diff drivers and text conversions."""
    hasher = hashlib.sha256()
    if has_commit:
        plain = ("--no-ext-diff", "--no-textconv", "--no-color", "--binary", "--full-index", "--no-renames")
        hasher.update(ask_git(root, "diff", "HEAD", *plain, "--ignore-submodules=none", *pathspec))
    left = _MAX_BYTES
    for entry in sorted(entries):
        hasher.update(os.fsencode(entry) + b"\0")
        if entry.startswith(("??", _HIDDEN)) or not has_commit:
            left -= _add_file(hasher, root / entry[3:], left)
    # Of a repository inside this one git only says that it is there, or that it has changes of its own.
    nested = {entry[3:] for entry in entries if entry.startswith("?? ") and entry.endswith("/")}
    for path in sorted(nested | (_read_submodules(root).keys() & {entry[3:] for entry in entries})):
        if (root / path / ".git").exists():
            hasher.update(os.fsencode(path) + b"\0" + _digest_nested(root / path).encode())
    return f"sha256:{hasher.hexdigest()}"


def _digest_nested(root: Path) -> str:
    """Digest the commit and the changes of a repository inside another one."""
    inside = ["--", "."]
    head = try_git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    entries = _read_status(root, inside)
    return f"{head} {_digest_changes(root, entries, bool(head), inside) if entries else 'clean'}"


def _add_file(hasher: hashlib._Hash, path: Path, max_bytes: int) -> int:
    """Add a file's content, or only its size if it is too large, and return the bytes read."""
    try:
        if path.is_symlink():
            hasher.update(b"link " + os.fsencode(path.readlink()))
            return 0
        if not path.is_file():
            hasher.update(b"no file")
            return 0
        size = path.stat().st_size
        hasher.update(f"{size} ".encode())
        if size > max_bytes:
            return 0
        with opened(path, max_bytes=max_bytes) as file:
            for block in file.iterate():
                hasher.update(block)
    except OSError as error:
        hasher.update(f"unreadable {error.errno}".encode())
        return 0
    except StoreError:  # it was replaced, or changed while it was read
        hasher.update(b"unreadable")
        return 0
    return size


def _read_submodules(root: Path) -> dict[str, JSON]:
    """Return the commit of each submodule by its path, with ``-`` before one that is not checked out."""
    if not (root / ".gitmodules").is_file():
        return {}
    found: dict[str, JSON] = {}
    for line in ask_git(root, "submodule", "status").decode("utf-8", "backslashreplace").splitlines():
        commit, _, rest = line[1:].partition(" ")
        path = rest.partition(" (")[0]
        found[path] = f"-{commit}" if line[0] == "-" else commit
    return found
