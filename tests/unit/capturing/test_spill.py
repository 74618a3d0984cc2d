"""Arrays beyond a limit, moved to a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_repro.capturing import Spill, capture_tree, digest
from pytest_repro.capturing.spill import MIN_SPILL_BYTES
from pytest_repro.errors import CaptureError

COUNT = MIN_SPILL_BYTES // 8


def test_arrays_beyond_the_limit_are_mapped_from_a_file_with_the_same_bits(tmp_path: Path) -> None:
    arrays = {f"a{i}": np.random.default_rng(i).normal(size=(2 * COUNT,))[::-1] for i in range(5)}
    expected = capture_tree(arrays)
    with Spill(tmp_path, limit_bytes=4 * MIN_SPILL_BYTES) as spill:
        found = capture_tree(arrays, spill=spill)
        assert spill.spilled_bytes == 3 * 2 * MIN_SPILL_BYTES
        for array in arrays.values():
            array[:] = 0
        assert digest(found) == digest(expected)
        in_memory = [leaf.data.flags.writeable for leaf in found.leaves.values() if leaf.form == "array"]
        assert in_memory == [True, True, False, False, False]
        assert sum(file.stat().st_size for file in tmp_path.rglob("*.bin")) >= spill.spilled_bytes
    assert list(tmp_path.iterdir()) == []


def test_the_limit_counts_over_all_captures_of_a_run(tmp_path: Path) -> None:
    with Spill(tmp_path, limit_bytes=MIN_SPILL_BYTES) as spill:
        capture_tree(np.zeros(COUNT), spill=spill)
        assert spill.spilled_bytes == 0
        capture_tree(np.zeros(COUNT), spill=spill)
        assert spill.spilled_bytes == MIN_SPILL_BYTES


def test_small_arrays_stay_in_memory(tmp_path: Path) -> None:
    with Spill(tmp_path, limit_bytes=0) as spill:
        capture_tree([np.zeros(COUNT - 1)] * 3, spill=spill)
        assert spill.spilled_bytes == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [">f4", "U7", "M8[s]", "c16", "g", "?"])
def test_every_kind_of_array_is_restored(tmp_path: Path, dtype: str) -> None:
    array = np.arange(40_000).astype("u1").astype(dtype).reshape(200, 200).T
    with Spill(tmp_path, limit_bytes=0) as spill:
        leaf = capture_tree(array, spill=spill).leaves["result"]
        assert (leaf.data == array).all()
        assert (leaf.data.dtype, leaf.data.shape) == (array.dtype, array.shape)


def test_the_file_is_removed_after_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Spill(tmp_path, limit_bytes=0) as spill:  # noqa: PT012 - one block, one error
        capture_tree(np.zeros(COUNT), spill=spill)
        assert list(tmp_path.iterdir()) != []
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        message = r"cannot move 'w' \(800,000 bytes\) out of memory.*--repro-memory"
        with pytest.raises(CaptureError, match=message), Spill(tmp_path, limit_bytes=0) as spill:
            capture_tree({"w": np.zeros(100_000)}, spill=spill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot move 'result'"), Spill(tmp_path / "none", limit_bytes=0) as spill:
        capture_tree(np.zeros(COUNT), spill=spill)


def test_a_temporary_array_is_written_once(tmp_path: Path) -> None:
    masked = np.ma.masked_less(np.arange(float(COUNT)), 5)
    with Spill(tmp_path, limit_bytes=0) as spill:
        found = capture_tree(masked, spill=spill)
        assert spill.spilled_bytes == MIN_SPILL_BYTES
        assert found.leaves["result/data"].data[5] == 5
