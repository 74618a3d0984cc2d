"""The commits of a range, and work trees that do not outlive their use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_repro.bisecting.commits import CommitSeries, list_commits, with_files
from pytest_repro.bisecting.needs import Needs
from pytest_repro.environments.environment import EnvironmentFacts, EnvironmentUnusableError
from pytest_repro.errors import UsageError


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def commit(folder: Path, message: str, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = (tmp_path / "repository").resolve()
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main", ".")
    commit(folder, "Begin | one", test_it="import model\n", model="A = 1\n")
    git(folder, "checkout", "--quiet", "-b", "side")
    commit(folder, "On a side branch", side="B = 1\n")
    git(folder, "checkout", "--quiet", "main")
    commit(folder, "Second", model="A = 2\n")
    git(folder, "merge", "--quiet", "--no-ff", "--message=Merge", "side")
    return folder


def series(folder: Path, tmp_path: Path, *, test: str = "test_it.py") -> CommitSeries:
    commits = list_commits(folder, "HEAD~2..HEAD")
    return CommitSeries(commits, folder / test, folder, Needs((), (), (folder,)), EnvironmentFacts("CPython"), tmp_path)


def worktrees(folder: Path) -> int:
    return len(git(folder, "worktree", "list").splitlines())


def test_a_range_goes_along_first_parents_and_begins_with_the_good_commit(repository: Path):
    found = list_commits(repository, "HEAD~2..")
    assert [(each.subject, each.parents) for each in found] == [("Begin | one", 0), ("Second", 1), ("Merge", 2)]
    assert with_files(repository, found[1]).files == ("model.py",)
    assert with_files(repository, found[2]).files == ("side.py",)


@pytest.mark.parametrize(
    "given", ["HEAD", "..HEAD", "HEAD...main", "HEAD..HEAD", "HEAD..HEAD~1", "--help..HEAD", "no..HEAD"]
)
def test_what_is_no_range_is_refused(repository: Path, given: str):
    with pytest.raises(UsageError, match="--commits"):
        list_commits(repository, given)


def test_a_work_tree_has_the_files_of_its_commit_and_is_removed(repository: Path, tmp_path: Path):
    (repository / "model.py").write_text("not committed", encoding="utf-8")
    with series(repository, tmp_path).open(0) as seat:
        assert (seat.directory / "model.py").read_text(encoding="utf-8") == "A = 1\n"
        assert seat.paths == (str(seat.directory),)
        assert worktrees(repository) == 2
    assert (worktrees(repository), seat.directory.exists()) == (1, False)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_a_work_tree_is_removed_whatever_ends_its_use(repository: Path, tmp_path: Path, error: type[BaseException]):
    with pytest.raises(error), series(repository, tmp_path).open(1):
        raise error
    assert worktrees(repository) == 1


def test_a_hook_of_the_repository_does_not_run(repository: Path, tmp_path: Path):
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n", encoding="utf-8")
    hook.chmod(0o755)
    with series(repository, tmp_path).open(0):
        pass
    assert not (tmp_path / "ran").exists()


def test_a_commit_that_lacks_the_test_or_its_modules_has_no_result(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(repository)
    commit(repository, "Later", test_it="import later_x\n", later_x="C = 1\n", test_later="")
    with (
        pytest.raises(EnvironmentUnusableError, match="it has no test_later"),
        series(repository, tmp_path, test="test_later.py").open(0),
    ):
        pass
    # As in an editable install: the search path has the repository as it is now.
    commit(repository, "Removed", test_it="import later_x\n")
    git(repository, "rm", "--quiet", "--cached", "later_x.py")
    git(repository, "commit", "--quiet", "--message=Not there")
    with (
        pytest.raises(EnvironmentUnusableError, match="it has no module later_x"),
        series(repository, tmp_path).open(2),
    ):
        pass
    assert sys.path[0] == str(repository)
