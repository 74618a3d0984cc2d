from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pytest_repro.sources.left_files import MAX_FILES, find_left, moved_aside


def test_only_regular_files_written_since_are_found(tmp_path: Path) -> None:
    started = time.time() - 10
    new, old, link, folder = (tmp_path / name for name in ("new", "old", "link", "folder"))
    new.touch()
    old.touch()
    os.utime(old, (started - 5, started - 5))
    link.symlink_to(new)
    folder.mkdir()
    paths = [str(path) for path in (new, old, link, folder, tmp_path / "gone")]
    assert find_left([*paths, "with\0null"], started) == [new]


def test_the_number_of_files_is_bounded(tmp_path: Path) -> None:
    files = [tmp_path / f"{number:03}" for number in range(MAX_FILES + 5)]
    for file in files:
        file.touch()
    assert find_left(map(str, files), 0.0) == files[:MAX_FILES]


def test_a_file_is_moved_aside_and_back_over_another_one_in_its_place(tmp_path: Path) -> None:
    file = tmp_path / "cache.bin"
    file.write_bytes(b"first")
    with moved_aside([file]):
        assert not file.exists()
        file.write_bytes(b"second")
    assert file.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [file]


def test_it_is_moved_back_also_after_an_error_and_where_another_could_not_be_moved(tmp_path: Path) -> None:
    file = tmp_path / "cache.bin"
    file.write_bytes(b"first")
    with pytest.raises(RuntimeError), moved_aside([tmp_path / "gone", file]):
        raise RuntimeError
    assert file.read_bytes() == b"first"
