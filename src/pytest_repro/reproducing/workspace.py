"""A folder for one reproduction: a clean checkout, the records, and what the session leaves. Nothing of it remains."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from pytest_repro.capturing.budget import Unavailable
from pytest_repro.capturing.git import ask_git, find_root, split_entries, try_git
from pytest_repro.errors import RecordError, UsageError

#: Time for a command of git that writes or fetches [s].
WRITE_S = 3600.0
_URL = re.compile(r"(https?|ssh|git|file)://\S+|[\w.\-]+@[\w.\-]+:\S+")
#: No transport that runs a command of its own (``ext::``).
_PROTOCOLS = {"GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}
CHECKOUT = "checkout"


@contextmanager
def open_workspace() -> Iterator[Path]:
    """Make a temporary folder, and remove it however the block ends, also by Ctrl-C or SIGTERM."""
    folder = Path(tempfile.mkdtemp(prefix="pytest-repro-")).resolve()
    try:
        with _ending_in_order():
            yield folder
    finally:
        _remove(folder)


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Have SIGTERM end the block as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: Any) -> NoReturn:
        raise SystemExit(128 + number)

    earlier = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _remove(folder: Path) -> None:
    """Remove a folder, also where a test took the right to write from a part of it."""
    for base, folders, _ in os.walk(folder):
        for name in folders:
            with contextlib.suppress(OSError):
                path = Path(base, name)
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode | stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


def is_url(text: str) -> bool:
    """Return whether a text is the address of a repository, and no folder here."""
    return bool(_URL.fullmatch(text)) and not Path(text).is_dir()


@contextmanager
def open_repository(given: str, workspace: Path) -> Iterator[Path]:
    """Return the repository that a user names: a folder of a checkout, or a clone of an address.

    Raises
    ------
    UsageError
        If it is neither, or cannot be cloned.
    """
    if is_url(given):
        place = workspace / "clone"
        try:
            command = ("clone", "--quiet", "--no-checkout", "--no-hardlinks", "--", given, str(place))
            ask_git(workspace, *command, extra=_PROTOCOLS, timeout_s=WRITE_S)
        except Unavailable as error:
            raise UsageError(f"--repo: {error}") from None
        yield place
        return
    if not Path(given).is_dir():
        raise UsageError(f"--repo: {given!r} is neither a folder nor the address of a repository")
    try:
        root = find_root(Path(given))
    except Unavailable as error:
        raise UsageError(f"--repo: {error}: name the repository of the recorded code with --repo=PATH|URL") from None
    yield root


def has_commit(repository: Path, commit: str) -> bool:
    """Return whether a repository has a commit."""
    return try_git(repository, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") == commit


@contextmanager
def open_checkout(repository: Path, commit: str, workspace: Path) -> Iterator[Path]:
    """Make a clean work tree of a commit, of which nothing remains, neither there nor in the repository.

    Raises
    ------
    RecordError
        If git cannot make it.
    """
    place = workspace / CHECKOUT
    try:
        try:
            ask_git(repository, "worktree", "add", "--quiet", "--detach", str(place), commit, timeout_s=WRITE_S)
        except Unavailable as error:
            raise RecordError(f"the commit {commit[:12]} cannot be checked out: {error}") from None
        yield place
    finally:
        with contextlib.suppress(Unavailable):
            ask_git(repository, "worktree", "remove", "--force", "--force", str(place), timeout_s=WRITE_S)
        if place.exists():
            _remove(place)
            with contextlib.suppress(Unavailable):
                ask_git(repository, "worktree", "prune")


def fetch_submodules(checkout: Path, submodules: dict[str, Any]) -> None:
    """Check out the submodules that were, as far as git can fetch them."""
    for path, commit in submodules.items():
        if not str(commit).startswith("-"):
            with contextlib.suppress(Unavailable):
                command = ("submodule", "update", "--quiet", "--init", "--recursive", "--", path)
                ask_git(checkout, *command, extra=_PROTOCOLS, timeout_s=WRITE_S)


def apply_patch(checkout: Path, patch: bytes, workspace: Path) -> None:
    """Apply recorded changes within a checkout.

    Raises
    ------
    RecordError
        If the patch does not fit the commit, or reaches out of the checkout. Nothing of it is then run.
    """
    file = workspace / "changes.patch"
    file.write_bytes(patch)
    try:
        # numstat: the names that git itself reads from the patch.
        names = [
            entry.split("\t", 2)[-1]
            for entry in split_entries(ask_git(checkout, "apply", "--numstat", "-z", str(file)))
        ]
        for name in names:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or ".git" in [part.lower() for part in path.parts]:
                raise RecordError(
                    f"the recorded patch changes {name[:100]!r}, outside of the checkout: it is not applied"
                )
        ask_git(checkout, "apply", "--whitespace=nowarn", str(file), timeout_s=WRITE_S)
    except Unavailable as error:
        raise RecordError(f"the recorded patch cannot be applied to the commit: {error}") from None
    for name in names:
        made = checkout / name
        if made.is_symlink() and not made.resolve().is_relative_to(checkout.resolve()):
            raise RecordError(f"the recorded patch makes {name[:100]!r} a link out of the checkout: nothing is run")


def list_files(checkout: Path) -> list[str]:
    """Return the files of a checkout that git has, and those that a patch added.

    Raises
    ------
    RecordError
        If git cannot list them.
    """
    try:
        return split_entries(ask_git(checkout, "ls-files", "-z", "--cached", "--others", timeout_s=WRITE_S))
    except Unavailable as error:
        raise RecordError(f"the files of the checkout cannot be listed: {error}") from None


def find_project(nodeids: list[str], files: list[str], recorded: Any) -> str | None:
    """Return the folder that node ids are relative to, or None if no folder has all their files, or several have.

    Parameters
    ----------
    files : list of str
        All files of the checkout.
    recorded : str or None
        The recorded folder. None where it was the repository's own, and in records of a development version.
    """
    wanted = {nodeid.partition("::")[0] for nodeid in nodeids}
    known = set(files)
    if recorded is not None:
        return recorded if all(f"{recorded}/{name}" in known for name in wanted) else None
    if wanted <= known:
        return ""
    first = min(wanted)
    folders = [file.removesuffix(f"/{first}") for file in files if file.endswith(f"/{first}")]
    fitting = [folder for folder in folders if all(f"{folder}/{name}" in known for name in wanted)]
    return fitting[0] if len(fitting) == 1 else None
