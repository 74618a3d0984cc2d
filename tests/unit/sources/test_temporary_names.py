"""Names of temporary files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pytest_repro.sources.pins import patched_sources
from tests.unit.sources.helpers import begin_repetition, recorded


def test_names_of_temporary_files_are_a_source_of_their_own(tmp_path):
    with recorded() as seen, patched_sources():
        Path(tempfile.mkdtemp(dir=tmp_path)).rmdir()
    kinds = {entry["kind"] for entry in seen.to_json()}
    assert "entropy" not in kinds
    assert "tempname" in kinds


def test_names_of_temporary_files_repeat_where_they_are_pinned_and_only_there(tmp_path):
    def name():
        begin_repetition()
        handle, path = tempfile.mkstemp(dir=tmp_path)
        os.close(handle)
        Path(path).unlink()
        return Path(path).name

    def names(pins):
        found = []
        for _ in range(2):
            with patched_sources(pins):
                found.append(name())
        return found

    assert len(set(names(["names"]))) == 1
    assert len(set(names(["entropy"]))) == 2
