"""git, asked about one work tree, without hooks, prompts, locks or the environment of a surrounding hook."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pytest_repro.capturing.budget import Unavailable, run_tool

#: Time for a command that only reads [s].
COMMAND_S = 8.0
#: No hooks, file system monitor, prompts, locks on the index or pager, whatever the repository configures. Files are
#: compared by all that the file system knows of them.
_GIT = (
    "git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false",
    "-c", "core.untrackedCache=false", "-c", "core.trustctime=true", "-c", "core.checkStat=default",
)  # fmt: skip
_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_PAGER": ""}
#: Variables of git that name the user's settings and where a search ends. All others may come from a hook, in whose
#: repository the command would look: GIT_DIR, GIT_WORK_TREE, GIT_INDEX_FILE, GIT_OBJECT_DIRECTORY, ...
_KEPT = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CEILING_DIRECTORIES")


def ask_git(
    directory: Path, *arguments: str, extra: Mapping[str, str] | None = None, timeout_s: float = COMMAND_S
) -> bytes:
    """Return git's answer. `extra` are more variables for it.

    Raises
    ------
    Unavailable
        If git is missing, fails, or takes too long.
    """
    given = [name for name in os.environ if name.startswith("GIT_") and name not in _KEPT]
    return run_tool(
        [*_GIT, *arguments], timeout_s=timeout_s, cwd=directory, env={**_ENVIRONMENT, **(extra or {})}, without=given
    )


def try_git(root: Path, *arguments: str) -> str | None:
    """Return git's answer as text, or None if it has none (no commit yet, a detached head)."""
    try:
        return printable(ask_git(root, *arguments)).strip()
    except Unavailable as error:
        if "took longer" in str(error):
            raise
        return None


def find_root(directory: Path) -> Path:
    """Return the work tree that a directory belongs to.

    Raises
    ------
    Unavailable
        If it belongs to none.
    """
    try:
        return Path(os.fsdecode(ask_git(directory, "rev-parse", "--show-toplevel").rstrip(b"\n")))
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


def split_entries(answer: bytes) -> list[str]:
    """Return the entries of an answer to ``-z``, as file names."""
    return [os.fsdecode(entry) for entry in answer.split(b"\0") if entry]


def printable(name: str | bytes) -> str:
    """Return a file's name as text that every encoder takes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
