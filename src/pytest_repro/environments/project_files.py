"""The files of a project that an environment is sent where it does not see them."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_repro.capturing.budget import Unavailable
from pytest_repro.capturing.git import ask_git, split_entries
from pytest_repro.environments.environment import EnvironmentUnusableError

#: Limits of what is sent.
MAX_FILES, MAX_BYTES = 100_000, 2 * 2**30
_GIT_S = 60
_NOT_SENT = {".git", ".hg", ".tox", ".nox", ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache"}


def list_project_files(root: Path) -> list[Path]:
    """Return the files that git tracks in a folder, and those that it neither tracks nor ignores.

    Without git, all files except those of environments and caches.

    Raises
    ------
    EnvironmentUnusableError
        If they are too many or too large.
    """
    names = _ask_git(root)
    files = [root / name for name in names] if names is not None else list(_walk(root))
    kept = [path for path in files if path.is_file() and not path.is_symlink()]
    size = sum(path.stat().st_size for path in kept)
    if len(kept) > MAX_FILES or size > MAX_BYTES:
        raise EnvironmentUnusableError(
            f"the project has {len(kept)} files with {size / 2**20:.0f} MB, more than can be sent ({MAX_FILES} files, "
            f"{MAX_BYTES // 2**20} MB): have git ignore what the tests do not need"
        )
    return kept


def _ask_git(root: Path) -> list[str] | None:
    try:
        answer = ask_git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", timeout_s=_GIT_S)
    except Unavailable:
        return None
    return sorted(set(split_entries(answer)))


def _walk(root: Path) -> list[Path]:
    found: list[Path] = []
    for base, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _NOT_SENT)
        folders[:] = [name for name in folders if not Path(base, name, "pyvenv.cfg").exists()]
        found.extend(Path(base, name) for name in sorted(names))
        if len(found) > MAX_FILES:
            break
    return found
