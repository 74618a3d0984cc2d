"""The commits of a repository: those of a range, and a work tree for each."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_repro.bisecting.needs import Needs, source_folder
from pytest_repro.bisecting.observing import Seat
from pytest_repro.bisecting.results import Commit
from pytest_repro.capturing.budget import Unavailable
from pytest_repro.capturing.git import ask_git, find_root, printable, split_entries
from pytest_repro.environments.environment import EnvironmentFacts, EnvironmentUnusableError
from pytest_repro.environments.imports import find_imports
from pytest_repro.errors import UsageError

#: Time for git to write the files of a commit [s].
CHECKOUT_S = 600.0
#: Changed files that are named.
MAX_FILES = 20
_SEPARATOR = "\x1f"


def list_commits(directory: Path, given: str) -> list[Commit]:
    """Return the commits of ``A..B``, from A to B, along the first parents of B.

    Raises
    ------
    UsageError
        If git does not know them, or A is not an ancestor of B.
    """
    good, dots, bad = given.partition("..")
    if not dots or not good or bad.startswith("."):
        raise UsageError(f"--commits must be GOOD..BAD, as in v1.2..HEAD, got {given!r}")
    try:
        find_root(directory)
        first, last = (_resolve(directory, name) for name in (good, bad or "HEAD"))
        ask_git(directory, "merge-base", "--is-ancestor", first, last)
    except Unavailable as error:
        raise UsageError(f"--commits={given}: {_explain(str(error), good)}") from None
    listed = _read_log(directory, "--reverse", "--first-parent", f"{first}..{last}")
    if not listed:
        raise UsageError(f"--commits={given}: there is no commit after {good}")
    return [*_read_log(directory, "--no-walk", first), *listed]


def _resolve(directory: Path, name: str) -> str:
    return ask_git(directory, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}").decode().strip()


def _explain(error: str, good: str) -> str:
    if error.endswith("exit code 1"):
        return f"{good} is not an ancestor of the other commit"
    return error


def _read_log(directory: Path, *options: str) -> list[Commit]:
    form = f"--format=%H{_SEPARATOR}%P{_SEPARATOR}%s"
    answer = printable(ask_git(directory, "log", "-z", "--no-show-signature", form, *options, timeout_s=CHECKOUT_S))
    found = [entry.split(_SEPARATOR, 2) for entry in answer.split("\0") if entry]
    return [Commit(name, subject, parents=len(parents.split())) for name, parents, subject in found]


def with_files(directory: Path, commit: Commit) -> Commit:
    """Return a commit that has a parent with the files that it changed."""
    answer = ask_git(directory, "diff", "--name-only", "-z", f"{commit.name}^", commit.name, timeout_s=CHECKOUT_S)
    files = [printable(name) for name in split_entries(answer)]
    more = max(0, len(files) - MAX_FILES)
    return Commit(commit.name, commit.subject, tuple(files[:MAX_FILES]), more, commit.parents)


@dataclass(frozen=True, slots=True)
class CommitSeries:
    """The commits of a range, in each of which a test can be run by this interpreter.

    Parameters
    ----------
    commits : list of Commit
    test_file : Path
    directory : Path
        Where the user is, in the repository.
    needs : Needs
        Of the test's file, as it is now.
    facts : EnvironmentFacts
        Of this environment.
    folder : Path
        For the work trees.
    """

    commits: list[Commit]
    test_file: Path
    directory: Path
    needs: Needs
    facts: EnvironmentFacts
    folder: Path

    @property
    def names(self) -> list[str]:
        """The short hashes."""
        return [each.name[:10] for each in self.commits]

    @contextmanager
    def open(self, index: int) -> Iterator[Seat]:
        """Yield a work tree with the files of a commit, which is removed afterwards.

        Raises
        ------
        EnvironmentUnusableError
            If git cannot make it, or the commit lacks the test's file or what that imports.
        """
        top = find_root(self.directory)
        with _checked_out(top, self.commits[index].name, self.folder / f"tree-{index}") as tree:

            def move(path: Path) -> Path:
                return tree / path.relative_to(top)

            test_file = move(self.test_file)
            if not test_file.is_file():
                raise EnvironmentUnusableError(f"it has no {self.test_file.relative_to(top)}")
            directory = move(self.directory)
            directory.mkdir(parents=True, exist_ok=True)
            _check_modules(test_file, tree, top)
            paths = [move(path) if path.is_relative_to(top) else path for path in self.needs.paths]
            yield Seat(sys.executable, self.facts, directory, tuple(str(path) for path in paths if path.is_dir()))


def _check_modules(test_file: Path, tree: Path, top: Path) -> None:
    """Raise EnvironmentUnusableError if a module would come from the project as it is now, and not as it was."""
    for module in find_imports(test_file, tree):
        folder = source_folder(module)
        if folder is None or not folder.is_relative_to(top):
            continue
        then = tree / folder.relative_to(top)
        if not (then / module).is_dir() and not (then / f"{module}.py").is_file():
            raise EnvironmentUnusableError(f"it has no module {module}")


@contextmanager
def _checked_out(top: Path, commit: str, tree: Path) -> Iterator[Path]:
    try:
        try:
            ask_git(top, "worktree", "add", "--detach", "--quiet", os.fspath(tree), commit, timeout_s=CHECKOUT_S)
        except Unavailable as error:
            raise EnvironmentUnusableError(f"its files cannot be written: {error}") from None
        yield tree.resolve()
    finally:
        with suppress(Unavailable):
            ask_git(top, "worktree", "remove", "--force", "--force", os.fspath(tree), timeout_s=CHECKOUT_S)
        shutil.rmtree(tree, ignore_errors=True)
        with suppress(Unavailable):
            ask_git(top, "worktree", "prune")
