"""Description of git checkouts in unusual states."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_repro.capturing.code import describe_code

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

IDENTITY = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}  # fmt: skip

RECORD = "records/test_a.py-test_a-0123456789ab.json"


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch):
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)


def git(directory, *arguments):
    command = ["git", "-c", "protocol.file.allow=always", *arguments]
    return subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    (path / "a.py").write_text("a = 1\n")
    git(path, "add", ".")
    git(path, "commit", "-q", "-m", "one")
    return path


def test_a_clean_checkout_has_commit_and_tree(repository):
    found = describe_code(repository)
    assert found == {
        "commit": git(repository, "rev-parse", "HEAD"),
        "tree": git(repository, "rev-parse", "HEAD^{tree}"),
        "dirty": False, "changed": [], "changed_count": 0, "lines": {}, "diff": None, "submodules": {},
    }  # fmt: skip


def test_a_project_in_a_part_of_a_checkout_names_the_part(repository):
    (repository / "models" / "first").mkdir(parents=True)
    assert describe_code(repository / "models" / "first")["project"] == "models/first"
    assert "project" not in describe_code(repository)


def test_each_change_has_its_own_digest_and_reverting_it_makes_the_checkout_clean(repository):
    clean, seen = describe_code(repository), set()
    for text in ("a = 2\n", "a = 3\n", "a = 1 \n"):
        (repository / "a.py").write_text(text)
        found = describe_code(repository)
        assert (found["dirty"], found["changed"]) == (True, ["a.py"])
        seen.add(found["diff"])
    assert len(seen) == 3
    (repository / "a.py").write_text("a = 1\n")
    assert describe_code(repository) == clean


def test_staged_deleted_and_untracked_files_count(repository):
    digests = [describe_code(repository)["diff"]]
    (repository / "b.py").write_text("b")
    digests.append(describe_code(repository)["diff"])
    (repository / "b.py").write_text("c")
    digests.append(describe_code(repository)["diff"])
    git(repository, "add", "b.py")
    digests.append(describe_code(repository)["diff"])
    (repository / "a.py").unlink()
    found = describe_code(repository)
    digests.append(found["diff"])
    assert found["changed"] == ["a.py", "b.py"]
    assert len(set(digests)) == len(digests)


def test_an_odd_name_a_link_and_an_unreadable_file_are_listed(repository):
    (repository / "ü \n\t.py").write_text("x")
    (repository / "link").symlink_to("/nowhere")
    Path(os.fsdecode(os.fsencode(repository) + b"/\xff")).touch()
    found = describe_code(repository)
    assert found["changed"] == sorted(["\\xff", "link", "ü \n\t.py"])
    assert found["diff"].startswith("sha256:")


def test_leftovers_of_tests_and_the_records_do_not_count_as_changes(repository):
    for name in ("__pycache__/a.pyc", ".pytest_cache/v", ".hypothesis/x", "sub/__pycache__/b.pyc", RECORD):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text("x")
    assert describe_code(repository)["changed"] == [RECORD]
    assert describe_code(repository, records=repository / "records")["dirty"] is False
    assert describe_code(repository / "records", records=repository / "records")["dirty"] is False


def test_code_next_to_records_and_reports_counts(repository):
    (repository / "a.py").write_text("a = 2\nb = 3\n")
    for name in (RECORD, "model.py", "report.json", "evidence.json"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("x")
    (repository / "records" / "model.json").write_text("{}")
    excluded = [repository / "evidence.json", repository / "report.json"]
    found = describe_code(repository, excluded=excluded, records=repository / "records")
    assert found["changed"] == ["a.py", "model.py", "records/model.json"]
    assert found["lines"] == {"a.py": "+2 -1", "model.py": "untracked", "records/model.json": "untracked"}


def test_a_changed_mode_and_a_repository_inside_are_told_as_such(repository):
    (repository / "a.py").chmod(0o755)
    (repository / "nested").mkdir()
    subprocess.run(["git", "init", "-q"], cwd=repository / "nested", check=True)
    (repository / "nested" / "mod.py").touch()
    lines = describe_code(repository)["lines"]
    assert lines["a.py"] == "mode 100644 -> 100755"
    assert lines["nested/"] == "another repository, without a commit with changes"


def test_records_in_the_root_and_in_a_folder_with_an_odd_name(repository):
    for folder in (".", "re[c]*"):
        path = repository / folder / "test_a-0123456789ab.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
        assert describe_code(repository, records=path.parent)["dirty"] is False
        path.unlink()


def test_a_detached_head_and_a_shallow_clone_are_the_same_code(repository, tmp_path):
    expected = describe_code(repository)
    git(repository, "checkout", "-q", "--detach")
    assert describe_code(repository) == expected
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository}", "shallow")
    assert describe_code(tmp_path / "shallow") == expected


def test_before_the_first_commit_the_files_are_listed(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("a")
    one = describe_code(tmp_path)
    assert (one["commit"], one["tree"], one["dirty"]) == (None, None, True)
    (tmp_path / "a.py").write_text("b")
    assert describe_code(tmp_path)["diff"] != one["diff"]


def test_a_submodule_has_its_commit_and_a_change_in_it_counts(repository, tmp_path):
    inner = tmp_path / "inner"
    shutil.copytree(repository, inner)
    git(repository, "submodule", "add", "-q", str(inner), "lib")
    git(repository, "commit", "-q", "-m", "submodule")
    found = describe_code(repository)
    assert found["submodules"] == {"lib": git(inner, "rev-parse", "HEAD")}
    assert found["dirty"] is False
    (repository / "lib" / "a.py").write_text("a = 9\n")
    assert describe_code(repository)["changed"] == ["lib"]
    git(tmp_path, "clone", "-q", str(repository), "without")
    assert describe_code(tmp_path / "without")["submodules"] == {"lib": "-" + git(inner, "rev-parse", "HEAD")}


def test_a_subdirectory_describes_the_complete_repository(repository):
    (repository / "sub").mkdir()
    (repository / "a.py").write_text("a = 5\n")
    assert describe_code(repository / "sub") == {**describe_code(repository), "project": "sub"}


def test_no_repository_a_bare_one_and_a_missing_git_are_reasons(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert describe_code(tmp_path) == {"unavailable": "not in a git repository"}
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    assert describe_code(tmp_path / "bare.git") == {"unavailable": "a bare git repository has no files"}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git cannot be run" in describe_code(tmp_path)["unavailable"]


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root may give a file away")
def test_a_repository_of_another_owner_is_not_read(repository):
    os.chown(repository, 12345, 12345)
    found = describe_code(repository)
    assert "another owner" in found["unavailable"]
    assert str(repository) not in found["unavailable"]


def test_commands_that_the_repository_configures_are_not_run(repository):
    trap = repository.parent / "trapped"
    for key in ("core.fsmonitor", "diff.external", "diff.x.textconv", "core.pager", "diff.x.command"):
        git(repository, "config", key, f"touch {trap}; true")
    (repository / ".gitattributes").write_text("*.py diff=x\n")
    (repository / "a.py").write_text("a = 2\n")
    assert describe_code(repository)["dirty"] is True
    assert not trap.exists()


def test_the_index_is_not_changed(repository):
    before = (repository / ".git" / "index").read_bytes()
    os.utime(repository / "a.py")
    describe_code(repository)
    assert (repository / ".git" / "index").read_bytes() == before


@pytest.mark.parametrize("is_ignored", [False, True])
def test_different_changes_within_a_submodule_have_different_digests(repository, tmp_path, is_ignored):
    inner = tmp_path / "inner"
    shutil.copytree(repository, inner)
    git(repository, "submodule", "add", "-q", str(inner), "lib")
    if is_ignored:
        git(repository, "config", "-f", ".gitmodules", "submodule.lib.ignore", "all")
        git(repository, "add", ".gitmodules")
    git(repository, "commit", "-q", "-m", "submodule")
    assert not describe_code(repository)["dirty"]
    digests = set()
    for change in ("one", "two"):
        (repository / "lib" / "a.py").write_text(change)
        found = describe_code(repository)
        assert (found["dirty"], found["changed"]) == (True, ["lib"])
        digests.add(found["diff"])
    (repository / "lib" / "untracked.py").write_text("three")
    digests.add(describe_code(repository)["diff"])
    assert len(digests) == 3
    assert describe_code(repository)["diff"] in digests


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_that_git_is_configured_to_ignore_counts(repository, flag):
    git(repository, "update-index", flag, "a.py")
    assert not describe_code(repository)["dirty"]
    digests = set()
    for change in ("a = 2\n", "a = 3\n"):
        (repository / "a.py").write_text(change)
        found = describe_code(repository)
        assert (found["dirty"], found["changed"]) == (True, ["a.py"])
        digests.add(found["diff"])
    assert len(digests) == 2


def test_variables_of_a_surrounding_hook_do_not_lead_to_another_repository(repository, tmp_path, monkeypatch):
    (repository / "a.py").write_text("a = 2\n")
    before = describe_code(repository)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "-b", "main")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert describe_code(repository) == before


def test_a_tracked_file_that_the_session_writes_counts_and_an_untracked_one_does_not(repository):
    (repository / "a.py").write_text("a = 2\n")
    (repository / "r.json").write_text("{}")
    found = describe_code(repository, excluded=[repository / "a.py", repository / "r.json"])
    assert found["changed"] == ["a.py"]


def test_byte_code_outside_of_a_cache_is_code(repository):
    (repository / "secret.pyc").write_bytes(b"code")
    assert describe_code(repository)["changed"] == ["secret.pyc"]


def test_a_repository_within_the_repository_counts_with_its_commit_and_its_changes(repository):
    nested = repository / "nested"
    nested.mkdir()
    git(nested, "init", "-q", "-b", "main")
    (nested / "b.py").write_text("b = 1\n")
    git(nested, "add", ".")
    git(nested, "commit", "-q", "-m", "one")
    seen = [describe_code(repository)]
    (nested / "b.py").write_text("b = 2\n")
    seen.append(describe_code(repository))
    git(nested, "commit", "-qam", "two")
    seen.append(describe_code(repository))
    assert [found["changed"] for found in seen] == [["nested/"]] * 3
    assert len({found["diff"] for found in seen}) == 3
