"""The recorded data in a checkout: what the commit has, what DVC fetches, and what lies in the user's repository."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_repro.capturing.budget import Unavailable
from pytest_repro.capturing.data import describe_data
from pytest_repro.capturing.git import ask_git, split_entries
from pytest_repro.errors import DataError
from pytest_repro.model.redaction import redact
from pytest_repro.reproducing.subject import RecordedTest, mapping

#: Files of the user's repository that are looked at.
MAX_FILES = 500_000
_PULL_S = 24 * 3600.0
_LIST_S = 120.0


def list_data(tests: Iterable[RecordedTest]) -> dict[str, dict[str, Any]]:
    """Return the files and folders that tests name as their data: digest -> name, kind, size, number of files."""
    found = {}
    for test in tests:
        for name, fact in test.data.items():
            if mapping(fact).get("kind") in ("file", "directory") and isinstance(fact.get("sha256"), str):
                found[fact["sha256"]] = {"name": name, **fact}
    return found


def has_remote(checkout: Path) -> bool:
    """Return whether DVC is configured with a remote in the commit."""
    try:
        return "remote" in (checkout / ".dvc" / "config").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def pull_data(checkout: Path) -> str:
    """Fetch data with DVC where the commit names a remote, and return why it could not be, or an empty text."""
    if not has_remote(checkout):
        return ""
    tool = shutil.which("dvc")
    if tool is None:
        return "the commit has a DVC remote, and dvc is not installed: what lies on disk is used"
    try:
        done = subprocess.run(
            [tool, "pull", "--quiet"],
            cwd=checkout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PULL_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"dvc pull: {type(error).__name__}"
    lines = redact(done.stderr.decode("utf-8", "replace")).strip().splitlines()
    why = lines[-1][:200] if lines else f"exit code {done.returncode}"
    return f"dvc pull failed, and what lies on disk is used: {why}" if done.returncode else ""


def copy_data(wanted: dict[str, dict[str, Any]], repository: Path, checkout: Path) -> list[str]:
    """Copy data that git does not have from the user's repository, each to the same place in the checkout.

    Only a digest and a size are recorded, so files of that size are digested. Copies, because a test may write to its
    data.

    Returns
    -------
    list of str
        The copied paths, relative to the checkout.
    """
    files = _list_untracked(repository)
    by_kind = {"file": files, "directory": _sum_up(files)}
    copied = []
    for sha256, fact in wanted.items():
        for path, extent in by_kind[fact["kind"]].items():
            if extent != (fact.get("files"), fact.get("size")) or (checkout / path).exists():
                continue
            if _digest(repository / path) == sha256:
                _copy(repository / path, checkout / path)
                copied.append(path)
    return copied


def _list_untracked(repository: Path) -> dict[str, tuple[int, int]]:
    """Return the files that git does not track, ignored ones too, as path -> (1, size)."""
    try:
        names = split_entries(ask_git(repository, "ls-files", "-z", "--others", timeout_s=_LIST_S))
    except Unavailable:
        return {}
    found = {}
    for name in names[:MAX_FILES]:
        path = repository / name
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                found[name] = (1, path.stat().st_size)
    return found


def _sum_up(files: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Return the number and the size of the files below each folder."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, (_, size) in files.items():
        for folder in PurePosixPath(name).parents:
            sums[str(folder)][0] += 1
            sums[str(folder)][1] += size
    return {folder: (count, size) for folder, (count, size) in sums.items() if folder != "."}


def _digest(path: Path) -> str | None:
    try:
        return mapping(describe_data(path.name, path)).get("sha256")
    except (DataError, OSError):
        return None


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=False)
    else:
        shutil.copy2(os.fspath(source), os.fspath(target))
