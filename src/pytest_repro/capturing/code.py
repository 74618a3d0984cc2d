"""The state of the code: commit, tree, what is changed since, and the digest of that change."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from pytest_repro.capturing.budget import Unavailable, collect, run_tool
from pytest_repro.model import JSON

BUDGET_S = 15.0
_COMMAND_S = 8.0
#: Files told by name; the others count in the digest alone.
MAX_FILES = 200
#: Untracked content [bytes] that is read; beyond it sizes stand for contents.
_MAX_BYTES = 256 * 2**20
#: git is asked, not configured: no hooks, no file system monitor, no prompts, no locks on the index, no pager.
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false")
_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_PAGER": ""}
#: Marks among those of git's status a change that git was told not to see.
_HIDDEN = "hM"
#: In `git ls-files -v`: assume-unchanged (with skip-worktree too), skip-worktree.
_FLAGS = "hsS"
_FILES_A_COMMAND = 200
#: What running tests leaves behind is no change of the code.
_LEFTOVERS = ("__pycache__/", ".pytest_cache/", ".hypothesis/")


def describe_code(directory: Path, *, excluded: Sequence[Path] = ()) -> JSON:
    """Describe the git checkout that holds a directory.

    Parameters
    ----------
    directory : Path
    excluded : sequence of Path
        What does not count as a change: the records themselves.

    Returns
    -------
    dict
        ``commit`` and ``tree`` (None before the first commit), ``dirty``, ``changed`` (paths), ``changed_count``,
        ``diff`` (digest of all changes, untracked files included; None if clean), ``submodules``; or
        ``{"unavailable": reason}``. Neither branch nor depth of the clone: the same code is the same in each.
    """
    return collect(lambda: _describe(directory, excluded), BUDGET_S)


def _describe(directory: Path, excluded: Sequence[Path]) -> JSON:
    root = Path(os.fsdecode(_find_root(directory)))
    head = _try(root, "rev-parse", "--verify", "--quiet", "HEAD")
    pathspec = ["--", ".", *(spec for path in excluded if (spec := _exclude(root, path)))]
    entries = _read_status(root, pathspec)
    changed = sorted(os.fsencode(entry[3:]).decode("utf-8", "backslashreplace") for entry in entries)
    return {
        "commit": head,
        "tree": _try(root, "rev-parse", "--verify", "--quiet", "HEAD^{tree}") if head else None,
        "dirty": bool(entries),
        "changed": list(changed[:MAX_FILES]),
        "changed_count": len(changed),
        "diff": _digest_changes(root, entries, bool(head), pathspec) if entries else None,
        "submodules": _read_submodules(root),
    }


def _read_status(root: Path, pathspec: list[str]) -> list[str]:
    # Submodules whatever their configuration says: with `ignore = dirty` a change in one would not be seen.
    options = ("--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=none")
    status = _git(root, "status", *options, *pathspec)
    entries = [entry for entry in _split(status) if not _is_leftover(entry[3:])]
    return [*entries, *(f"{_HIDDEN} {path}" for path in _find_hidden(root, pathspec))]


def _find_hidden(root: Path, pathspec: list[str]) -> list[str]:
    """Return changed files of which git was told to assume that they are not (``git update-index``)."""
    flagged = [entry[2:] for entry in _split(_git(root, "ls-files", "-v", "-z", *pathspec)) if entry[0] in _FLAGS]
    here = [path for path in flagged if (root / path).is_file()]  # a sparse checkout leaves files out
    found: list[str] = []
    for start in range(0, len(here), _FILES_A_COMMAND):
        paths = here[start : start + _FILES_A_COMMAND]
        staged = {
            entry.split("\t", 1)[1]: entry.split()[1]
            for entry in _split(_git(root, "--literal-pathspecs", "ls-files", "-s", "-z", "--", *paths))
        }
        now = _git(root, "hash-object", "--", *paths).decode("ascii").split()
        found += [path for path, digest in zip(paths, now, strict=True) if staged.get(path) != digest]
    return found


def _find_root(directory: Path) -> bytes:
    try:
        return _git(directory, "rev-parse", "--show-toplevel").rstrip(b"\n")
    except Unavailable as error:
        reason = str(error)
    if "dubious ownership" in reason:
        # Not overridden: who owns a repository can run code through its configuration.
        raise Unavailable("git refuses a repository of another owner; allow it with `git config safe.directory`")
    if "not a git repository" in reason:
        raise Unavailable("not in a git repository")
    if "work tree" in reason:
        raise Unavailable("a bare git repository has no files")
    raise Unavailable(reason.replace(str(directory), "<directory>"))


def _git(directory: Path, *arguments: str) -> bytes:
    return run_tool([*_GIT, *arguments], timeout_s=_COMMAND_S, cwd=directory, env=_ENVIRONMENT)


def _try(root: Path, *arguments: str) -> str | None:
    """Return git's answer, or None where it has none (no commit yet, a detached head)."""
    try:
        return _git(root, *arguments).decode("utf-8", "backslashreplace").strip()
    except Unavailable as error:
        if "took longer" in str(error):
            raise
        return None


def _exclude(root: Path, path: Path) -> str | None:
    try:
        inside = path.resolve().relative_to(root.resolve())
    except ValueError:
        return None
    return f":(exclude,top,literal){inside.as_posix()}" if inside.parts else None


def _split(status: bytes) -> list[str]:
    return [os.fsdecode(entry) for entry in status.split(b"\0") if entry]


def _is_leftover(path: str) -> bool:
    return path.endswith(".pyc") or any(f"/{left}" in f"/{path}" for left in _LEFTOVERS)


def _digest_changes(root: Path, entries: list[str], has_commit: bool, pathspec: list[str]) -> str:
    """Digest the diff to HEAD, then each untracked file; without a diff driver or text conversion of the user's."""
    hasher = hashlib.sha256()
    if has_commit:
        plain = ("--no-ext-diff", "--no-textconv", "--no-color", "--binary", "--full-index", "--no-renames")
        hasher.update(_git(root, "diff", "HEAD", *plain, "--ignore-submodules=none", *pathspec))
    room = _MAX_BYTES
    for entry in sorted(entries):
        hasher.update(os.fsencode(entry) + b"\0")
        if entry.startswith(("??", _HIDDEN)) or not has_commit:
            room -= _add_file(hasher, root / entry[3:], room)
    for path in sorted(_read_submodules(root).keys() & {entry[3:] for entry in entries}):
        # Of a submodule with changes of its own git's diff says no more than that it has some.
        inside = ["--", "."]
        if (root / path / ".git").exists() and (nested := _read_status(root / path, inside)):
            has_one = _try(root / path, "rev-parse", "--verify", "--quiet", "HEAD") is not None
            hasher.update(os.fsencode(path) + b"\0" + _digest_changes(root / path, nested, has_one, inside).encode())
    return f"sha256:{hasher.hexdigest()}"


def _add_file(hasher: hashlib._Hash, path: Path, room: int) -> int:
    """Add a file's content, or its size where there is no room for more; return the bytes read."""
    try:
        if path.is_symlink():
            hasher.update(b"link " + os.fsencode(path.readlink()))
            return 0
        if not path.is_file():
            hasher.update(b"no file")
            return 0
        size = path.stat().st_size
        hasher.update(f"{size} ".encode())
        if size > room:
            return 0
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                hasher.update(block)
    except OSError as error:
        hasher.update(f"unreadable {error.errno}".encode())
        return 0
    return size


def _read_submodules(root: Path) -> dict[str, JSON]:
    """Return path -> commit of the submodules, as checked out (``-`` before one that is not)."""
    if not (root / ".gitmodules").is_file():
        return {}
    found: dict[str, JSON] = {}
    for line in _git(root, "submodule", "status").decode("utf-8", "backslashreplace").splitlines():
        commit, _, rest = line[1:].partition(" ")
        path = rest.partition(" (")[0]
        found[path] = f"-{commit}" if line[0] == "-" else commit
    return found
