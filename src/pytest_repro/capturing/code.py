"""State of the code in its git checkout: commit, tree, and the changes since."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from pytest_repro.capturing.budget import Unavailable, collect, run_tool
from pytest_repro.model import JSON

BUDGET_S = 15.0
_COMMAND_S = 8.0
#: Changed files that are listed. All count for the digest.
MAX_FILES = 200
#: Untracked content [bytes] that is digested. Of further files only the size is.
_MAX_BYTES = 256 * 2**20
#: No hooks, file system monitor, prompts, locks on the index or pager, whatever the repository configures.
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false")
_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_PAGER": ""}
#: Marks, in addition to those of git's status, a change that git is configured to ignore.
_HIDDEN = "hM"
#: In `git ls-files -v`: assume-unchanged (with skip-worktree too), skip-worktree.
_FLAGS = "hsS"
_FILES_A_COMMAND = 200
_HEX = "[0-9a-f]" * 12
#: Names of records and their arrays (:func:`pytest_repro.records.files.record_path`), as git's patterns.
_RECORDS = (f"*-{_HEX}.json", f"*-{_HEX}-{_HEX}.safetensors")
#: Files that running tests leaves behind.
_LEFTOVERS = ("__pycache__/", ".pytest_cache/", ".hypothesis/")


def describe_code(directory: Path, *, excluded: Sequence[Path] = (), records: Path | None = None) -> JSON:
    """Describe the git checkout of a directory.

    Parameters
    ----------
    directory : Path
    excluded : sequence of Path
        Files that do not count as a change, since the session writes them.
    records : Path, optional
        Directory of records, which do not count either, by the form of their names. All other files in it do.

    Returns
    -------
    dict
        ``commit`` and ``tree`` (None before the first commit), ``dirty``, ``changed`` (paths), ``changed_count``,
        ``diff`` (digest of all changes, untracked files included; None if clean), ``submodules``; or
        ``{"unavailable": reason}``. Without branch and depth of the clone, which do not change the code.
    """
    return collect(lambda: _describe(directory, excluded, records), BUDGET_S)


def _describe(directory: Path, excluded: Sequence[Path], records: Path | None) -> JSON:
    root = Path(os.fsdecode(_find_root(directory)))
    head = _try(root, "rev-parse", "--verify", "--quiet", "HEAD")
    specs = [_exclude(root, path) for path in excluded]
    specs += [_exclude(root, records / name, "glob") for name in _RECORDS] if records is not None else []
    pathspec = ["--", ".", *filter(None, specs)]
    entries = _read_status(root, pathspec)
    changed = sorted(os.fsencode(entry[3:]).decode("utf-8", "backslashreplace") for entry in entries)
    return {
        "commit": head,
        "tree": _try(root, "rev-parse", "--verify", "--quiet", "HEAD^{tree}") if head else None,
        "dirty": bool(entries),
        "changed": list(changed[:MAX_FILES]),
        "changed_count": len(changed),
        "lines": _count_lines(root, pathspec) if head and entries else {},
        "diff": _digest_changes(root, entries, bool(head), pathspec) if entries else None,
        "submodules": _read_submodules(root),
    }


def _read_status(root: Path, pathspec: list[str]) -> list[str]:
    # Submodules too, whatever their configuration: `ignore = dirty` would hide a change in one.
    options = ("--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=none")
    status = _git(root, "status", *options, *pathspec)
    entries = [entry for entry in _split(status) if not _is_leftover(entry[3:])]
    return [*entries, *(f"{_HIDDEN} {path}" for path in _find_hidden(root, pathspec))]


def _find_hidden(root: Path, pathspec: list[str]) -> list[str]:
    """Return changed files that git is configured to assume unchanged (``git update-index``)."""
    flagged = [entry[2:] for entry in _split(_git(root, "ls-files", "-v", "-z", *pathspec)) if entry[0] in _FLAGS]
    here = [path for path in flagged if (root / path).is_file()]  # a sparse checkout omits files
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
        # Not overridden: the owner of a repository can run code through its configuration.
        raise Unavailable("git rejects a repository of another owner; allow it with `git config safe.directory`")
    if "not a git repository" in reason:
        raise Unavailable("not in a git repository")
    if "work tree" in reason:
        raise Unavailable("a bare git repository has no files")
    raise Unavailable(reason.replace(str(directory), "<directory>"))


def _git(directory: Path, *arguments: str) -> bytes:
    return run_tool([*_GIT, *arguments], timeout_s=_COMMAND_S, cwd=directory, env=_ENVIRONMENT)


def _try(root: Path, *arguments: str) -> str | None:
    """Return git's answer, or None if it has none (no commit yet, a detached head)."""
    try:
        return _git(root, *arguments).decode("utf-8", "backslashreplace").strip()
    except Unavailable as error:
        if "took longer" in str(error):
            raise
        return None


def _exclude(root: Path, path: Path, form: str = "literal") -> str | None:
    try:
        inside = path.parent.resolve().relative_to(root.resolve()) / path.name
    except ValueError:
        return None
    folder = inside.parent.as_posix()
    if form == "glob":
        folder = re.sub(r"([*?\[\\])", r"\\\1", folder)
    return f":(exclude,top,{form}){'' if folder == '.' else f'{folder}/'}{inside.name}"


def _count_lines(root: Path, pathspec: list[str]) -> dict[str, JSON]:
    """Return the lines added to and removed from each changed file that git has, such as ``+3 -1``."""
    text = _git(root, "diff", "HEAD", "--numstat", "-z", "--no-ext-diff", "--no-textconv", "--no-renames", *pathspec)
    found: dict[str, JSON] = {}
    for entry in _split(text)[:MAX_FILES]:
        added, removed, path = entry.split("\t", 2)
        name = os.fsencode(path).decode("utf-8", "backslashreplace")
        found[name] = "binary" if added == "-" else f"+{added} -{removed}"
    return found


def _split(status: bytes) -> list[str]:
    return [os.fsdecode(entry) for entry in status.split(b"\0") if entry]


def _is_leftover(path: str) -> bool:
    return path.endswith(".pyc") or any(f"/{left}" in f"/{path}" for left in _LEFTOVERS)


def _digest_changes(root: Path, entries: list[str], has_commit: bool, pathspec: list[str]) -> str:
    """Digest the diff to HEAD and each untracked file, without configured diff drivers and text conversions."""
    hasher = hashlib.sha256()
    if has_commit:
        plain = ("--no-ext-diff", "--no-textconv", "--no-color", "--binary", "--full-index", "--no-renames")
        hasher.update(_git(root, "diff", "HEAD", *plain, "--ignore-submodules=none", *pathspec))
    left = _MAX_BYTES
    for entry in sorted(entries):
        hasher.update(os.fsencode(entry) + b"\0")
        if entry.startswith(("??", _HIDDEN)) or not has_commit:
            left -= _add_file(hasher, root / entry[3:], left)
    for path in sorted(_read_submodules(root).keys() & {entry[3:] for entry in entries}):
        # git's diff only says that a submodule has changes of its own.
        inside = ["--", "."]
        if (root / path / ".git").exists() and (nested := _read_status(root / path, inside)):
            has_one = _try(root / path, "rev-parse", "--verify", "--quiet", "HEAD") is not None
            hasher.update(os.fsencode(path) + b"\0" + _digest_changes(root / path, nested, has_one, inside).encode())
    return f"sha256:{hasher.hexdigest()}"


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
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                hasher.update(block)
    except OSError as error:
        hasher.update(f"unreadable {error.errno}".encode())
        return 0
    return size


def _read_submodules(root: Path) -> dict[str, JSON]:
    """Return the commit of each submodule by its path, with ``-`` before one that is not checked out."""
    if not (root / ".gitmodules").is_file():
        return {}
    found: dict[str, JSON] = {}
    for line in _git(root, "submodule", "status").decode("utf-8", "backslashreplace").splitlines():
        commit, _, rest = line[1:].partition(" ")
        path = rest.partition(" (")[0]
        found[path] = f"-{commit}" if line[0] == "-" else commit
    return found
