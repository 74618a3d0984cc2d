"""A folder of files is replaced as a whole, or not at all."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_repro.records import folders
from pytest_repro.records.folders import previous_folder, replace_folder

NAMES = ("a.json", "b.json", "statement.json")
OLD = dict.fromkeys(NAMES, b"old" * 1000)
NEW = dict.fromkeys(("a.json", "statement.json"), b"new")


def read(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(params=["exchange", "two steps", "with other files"])
def folder(request, tmp_path, monkeypatch):
    path = tmp_path / "bundle"
    replace_folder(path, OLD, NAMES)
    if request.param == "two steps":
        monkeypatch.setattr(folders.sys, "platform", "other")
    if request.param == "with other files":
        (path / "model.py").write_bytes(b"code")
    return path


def others(folder):
    return {"model.py": b"code"} if (folder / "model.py").exists() else {}


def test_the_new_files_replace_the_old_ones_and_no_others(folder):
    more = others(folder)
    replace_folder(folder, NEW, NAMES)
    assert read(folder) == NEW | more
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_the_older_files_move_aside_stay_and_go(folder):
    more = others(folder)
    replace_folder(folder, NEW, NAMES, previous="set")
    replace_folder(folder, NEW, NAMES, previous="set")
    replace_folder(folder, NEW, NAMES, previous="keep")
    assert read(previous_folder(folder)) == OLD
    assert read(folder) == NEW | more
    replace_folder(folder, NEW, NAMES)
    assert not previous_folder(folder).exists()


@pytest.mark.parametrize("written", [0, 1])
def test_a_full_disk_leaves_the_old_files(folder, monkeypatch, written):
    more, real, count = others(folder), os.fsync, 0

    def full(handle):
        nonlocal count
        count += 1
        if count > written:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(folders.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_folder(folder, NEW, NAMES)
    assert read(folder) == OLD | more
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def fail_at(monkeypatch, name):
    """Have the move of one new file to its place fail."""
    real = Path.replace

    def fail(self, target):
        if self.name == name and ".part" in str(self):
            raise OSError(errno.EIO, "broken")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", fail)


def test_a_failure_while_files_are_moved_leaves_the_old_ones(tmp_path, monkeypatch):
    path = tmp_path / "bundle"
    replace_folder(path, OLD, NAMES)
    (path / "model.py").write_bytes(b"code")
    fail_at(monkeypatch, "statement.json")
    with pytest.raises(OSError, match="broken"):
        replace_folder(path, NEW, NAMES)
    assert read(path) == OLD | {"model.py": b"code"}


def test_a_failure_while_files_are_moved_leaves_no_new_file_beside_the_old_ones(tmp_path, monkeypatch):
    path = tmp_path / "bundle"
    old = {"a.json": b"old", "statement.json": b"old", "records/old.json": b"old"}
    replace_folder(path, old, NAMES)
    (path / "model.py").write_bytes(b"code")
    fail_at(monkeypatch, "statement.json")
    new = {"a.json": b"new", "b.json": b"new", "records/new.json": b"new", "statement.json": b"new"}
    with pytest.raises(OSError, match="broken"):
        replace_folder(path, new, NAMES)
    assert read(path) == old | {"model.py": b"code"}


def test_a_failure_in_a_folder_without_old_files_leaves_no_new_ones(tmp_path, monkeypatch):
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "model.py").write_bytes(b"code")
    fail_at(monkeypatch, "statement.json")
    with pytest.raises(OSError, match="broken"):
        replace_folder(path, {"a.json": b"new", "records/new.json": b"new", "statement.json": b"new"}, NAMES)
    assert read(path) == {"model.py": b"code"}
    assert [each.name for each in path.iterdir()] == ["model.py"]


def test_a_failure_leaves_what_a_link_in_the_folder_leads_to(tmp_path, monkeypatch):
    path, elsewhere = tmp_path / "bundle", tmp_path / "elsewhere"
    replace_folder(path, OLD, NAMES)
    elsewhere.mkdir()
    (elsewhere / "others.json").write_bytes(b"others")
    (path / "b.json").unlink()
    (path / "b.json").symlink_to(elsewhere)
    (path / "model.py").write_bytes(b"code")
    fail_at(monkeypatch, "statement.json")
    with pytest.raises(OSError, match="broken"):
        replace_folder(path, NEW, NAMES)
    assert read(elsewhere) == {"others.json": b"others"}
    assert (path / "b.json").is_symlink()


@pytest.mark.parametrize("has_others", [False, True])
def test_a_writer_that_is_killed_at_any_moment_leaves_one_whole_bundle(tmp_path, has_others):
    path = tmp_path / "bundle"
    big = {name: bytes([65]) * 200_000 for name in NAMES}
    replace_folder(path, big, NAMES)
    if has_others:
        (path / "model.py").write_bytes(b"code")
    code = f"""
from pathlib import Path
from pytest_repro.records.folders import replace_folder
n = 0
print("begun", flush=True)
while True:
    n += 1
    replace_folder(Path({str(path)!r}), {{name: bytes([65 + n % 26]) * 200_000 for name in {NAMES!r}}}, {NAMES!r})
"""
    for _ in range(6):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"begun\n"
            time.sleep(random.uniform(0.01, 0.2))
            process.send_signal(signal.SIGKILL)
        found = [path, *path.glob(".*.old"), *path.glob(".*.part"), *tmp_path.glob(".*")]
        wholes = [{name: (each / name).read_bytes() for name in NAMES if (each / name).exists()} for each in found]
        assert any(len(each) == 3 and len(set(each.values())) == 1 for each in wholes)
        if not has_others:
            assert len(wholes[0]) == 3
            assert len(set(wholes[0].values())) == 1


def test_two_writers_at_once_leave_the_whole_of_one(tmp_path):
    path = tmp_path / "bundle"
    code = f"""
from pathlib import Path
from pytest_repro.records.folders import replace_folder
import sys
for n in range(50):
    replace_folder(Path({str(path)!r}), {{name: f"{{sys.argv[1]}} {{n}}".encode() for name in {NAMES!r}}}, {NAMES!r})
"""
    writers = [subprocess.Popen([sys.executable, "-c", code, name]) for name in ("one", "two")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert len(set(read(path).values())) == 1
    assert len(read(path)) == 3
