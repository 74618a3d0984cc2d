"""The changes of the code since its commit, as a patch that ``git apply`` reads."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_repro.capturing.budget import Unavailable
from pytest_repro.capturing.code import describe_nested, find_changes
from pytest_repro.capturing.git import ask_git, find_root, printable, split_entries, try_git
from pytest_repro.model.redaction import redact_assignments

#: Largest patch [bytes].
MAX_BYTES = 16 * 2**20
#: Largest untracked file that it contains [bytes].
MAX_FILE_BYTES = 4 * 2**20
_BINARY = re.compile(rb"^GIT binary patch\n", re.MULTILINE)
_FILE = re.compile(rb"^(?=diff --git )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch, and what it lacks.

    Attributes
    ----------
    data : bytes
    notes : tuple of str
        Changes that it does not contain, and whether secrets were removed, so that it does not restore the files.
    """

    data: bytes
    notes: tuple[str, ...] = ()


def make_patch(
    directory: Path, used: Iterable[str], *, excluded: Sequence[Path] = (), records: Path | None = None
) -> Patch:
    """Return the changes of the tracked files, and the untracked and ignored files that were used.

    Parameters
    ----------
    directory : Path
        A directory of the checkout.
    used : iterable of str
        Absolute paths.
    excluded, records
        As for :func:`pytest_repro.capturing.code.describe_code`.

    Raises
    ------
    Unavailable
        If there is no commit, or the patch is too large.
    """
    root = find_root(directory).resolve()
    if try_git(root, "rev-parse", "--verify", "--quiet", "HEAD") is None:
        raise Unavailable("there is no commit that a patch could be made for")
    notes: list[str] = []
    pathspec, changes = find_changes(root, excluded, records)
    nested = _find_nested(root, changes)
    notes += [f"{printable(path)}: {describe_nested(root / path)}" for path in nested]
    inside = tuple(f"{path}/" for path in nested)
    # The user's index has files that the commit has not: added, added with `-N`, or the new names of files.
    known = set(split_entries(ask_git(root, "ls-files", "-z", "--cached", *pathspec)))
    committed = set(split_entries(ask_git(root, "ls-tree", "-r", "-z", "--name-only", "HEAD")))
    tracked = [root / name for name in known - committed if name not in nested]
    files = _choose(root, [*used, *map(str, tracked)], inside, notes)
    chosen = {*files, *nested}
    left = [entry[3:] for entry in changes if entry.startswith("?? ") and entry[3:].rstrip("/") not in chosen]
    if left:
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        notes.append(f"untracked and not seen in use: {', '.join(map(printable, left[:5]))}{more}")
    data = _diff(root, files, [*pathspec, *(f":(exclude,top,literal){path}" for path in nested)])
    if len(data) > MAX_BYTES:
        raise Unavailable(f"the patch has {len(data):,} bytes; {MAX_BYTES:,} are allowed")
    parts = [(part, _redact(part)) for part in _FILE.split(data)]
    hidden = [_name_of(part) for part, shown in parts if shown != part]
    notes += [f"{name}: secrets were removed from it, so that it is not restored as it was" for name in hidden]
    return Patch(b"".join(shown for _, shown in parts), tuple(notes))


def _find_nested(root: Path, changes: Iterable[str]) -> list[str]:
    """Return the repositories inside this one that have changes or are untracked."""
    paths = {entry[3:].rstrip("/") for entry in changes}
    return sorted(path for path in paths if not (root / path).is_symlink() and (root / path / ".git").exists())


def _name_of(part: bytes) -> str:
    """Return the name of the file that a part of a patch is about."""
    first = part.partition(b"\n")[0]
    return printable(first.rpartition(b" b/")[2].rstrip(b'"'))


def _choose(root: Path, used: Iterable[str], nested: tuple[str, ...], notes: list[str]) -> list[str]:
    inside = sorted({Path(file).resolve() for file in used if Path(file).resolve().is_relative_to(root)})
    chosen = []
    for path in inside:
        name = path.relative_to(root).as_posix()
        if nested and name.startswith(nested):
            continue
        if not path.is_file() or name.startswith(".git/"):
            continue
        if path.stat().st_size > MAX_FILE_BYTES:
            notes.append(f"too large: {printable(name)}")
        else:
            chosen.append(name)
    return chosen


def _diff(root: Path, files: list[str], pathspec: list[str]) -> bytes:
    """Return the difference between HEAD and the work tree, through an index and objects that are not the user's."""
    objects = root / (try_git(root, "rev-parse", "--git-path", "objects") or "")
    with tempfile.TemporaryDirectory(prefix="pytest-repro-patch-") as folder:
        own = {
            "GIT_INDEX_FILE": str(Path(folder, "index")),
            "GIT_OBJECT_DIRECTORY": folder,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(objects),
        }
        ask_git(root, "read-tree", "HEAD", extra=own)
        for start in range(0, len(files), 200):
            part = files[start : start + 200]
            ask_git(root, "--literal-pathspecs", "add", "--intent-to-add", "--force", "--", *part, extra=own)
        plain = ("--no-ext-diff", "--no-textconv", "--no-color", "--binary", "--full-index", "--no-renames")
        return ask_git(root, "diff", *plain, "--ignore-submodules=none", "HEAD", *pathspec, extra=own)


def _redact(part: bytes) -> bytes:
    if _BINARY.search(part):
        return part  # encoded bytes, in which a rule would find false secrets
    # As a whole: a private key has many lines.
    return redact_assignments(part.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
