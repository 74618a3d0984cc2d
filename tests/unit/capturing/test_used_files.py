"""Files that a session used and that git does not have."""

from __future__ import annotations

import hashlib
import shutil

import pytest

from pytest_repro.capturing.used_files import describe_used
from tests.unit.capturing.test_code import git, no_settings_of_the_user, repository

__all__ = ["no_settings_of_the_user", "repository"]

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def sha256(text):
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def test_an_ignored_file_and_one_elsewhere_are_listed_with_their_digests(repository, tmp_path):
    (repository / ".git" / "info" / "exclude").write_text("local_*.py\n")
    (repository / "local_settings.py").write_text("lr = 1\n")
    (repository / "untracked.py").write_text("u = 1\n")
    elsewhere = tmp_path / "lib" / "helper.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text("h = 1\n")
    files = [repository / name for name in ("a.py", "local_settings.py", "untracked.py", "gone.py")] + [elsewhere]
    found = describe_used(repository, map(str, files))
    assert found["ignored"] == {"local_settings.py": sha256("lr = 1\n")}
    assert list(found["outside"].values()) == [sha256("h = 1\n")]
    assert next(iter(found["outside"])).endswith("lib/helper.py")


def test_what_a_tracked_link_leads_to_is_not_in_the_commit(repository, tmp_path):
    target = tmp_path / "model.py"
    target.write_text("m = 1\n")
    (repository / "model.py").symlink_to(target)
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "link")
    found = describe_used(repository, [str(repository / "model.py")])
    assert list(found["outside"].values()) == [sha256("m = 1\n")]


def test_without_a_checkout_every_file_is_listed(tmp_path):
    (tmp_path / "a.py").write_text("a = 1\n")
    found = describe_used(tmp_path, [str(tmp_path / "a.py")])
    assert (found["ignored"], list(found["outside"].values())) == ({}, [sha256("a = 1\n")])


def test_files_of_one_short_name_keep_their_digests(tmp_path):
    files = [tmp_path / name / "src" / "pkg" / "u.py" for name in ("a", "b")]
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True)
        file.write_text(f"u = {number}\n")
    (tmp_path / "root").mkdir()
    found = describe_used(tmp_path / "root", map(str, files))
    assert found["outside"] == {"src/pkg/u.py": sha256("u = 0\n"), "src/pkg/u.py'": sha256("u = 1\n")}
