"""Times of files, which follow from names when they are pinned."""

from __future__ import annotations

import os
import tempfile

from pytest_repro.sources.pins import patched_sources


def test_pinned_times_follow_from_names_alone(tmp_path):
    (tmp_path / "a").touch()

    def moment():
        with patched_sources(["mtime"]):
            return (tmp_path / "a").stat().st_mtime, os.path.getmtime(tmp_path / "a")  # noqa: PTH204 - the other way

    first = moment()
    os.utime(tmp_path / "a", (1, 1))
    assert moment() == first
    assert first[0] == first[1]


def test_pinned_times_do_not_follow_from_names_that_are_drawn(tmp_path):
    def moment():
        with patched_sources(["mtime"]):
            descriptor, path = tempfile.mkstemp(dir=tmp_path)
            os.close(descriptor)
            return os.stat(path).st_mtime_ns  # noqa: PTH116 - as users ask

    assert moment() == moment()
