"""Arrays beyond a limit, moved from memory to a mapped file."""

from __future__ import annotations

import contextlib
import mmap
import shutil
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pytest_repro.capturing.digesting import iterate_blocks
from pytest_repro.errors import CaptureError
from pytest_repro.numerics.sharing import held_part

#: Below this, a mapping costs more than it frees. A process may have some 65,000 mappings.
MIN_SPILL_BYTES = 64 * 1024


class Spill:
    """File for captured arrays that exceed a limit, which exists until the block is left.

    Parameters
    ----------
    directory : path
        Parent of the temporary directory for the file.
    limit_bytes : int
        Array data [bytes] that may stay in memory. Later arrays go to the file, unless they are small.

    Notes
    -----
    The file is removed at the end of the block, also after an error. Arrays that still map it stay readable if the
    system keeps an open file's content (POSIX).
    """

    def __init__(self, directory: str | Path, limit_bytes: int) -> None:
        self._parent = Path(directory)
        self._limit_bytes = limit_bytes
        self._directory: Path | None = None
        self._file: BinaryIO | None = None
        self._held_bytes = 0
        self.spilled_bytes: int = 0

    def __enter__(self) -> Spill:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def wants(self, size_bytes: int) -> bool:
        """Return whether an array of this size goes to the file, and count it as held if it does not."""
        if size_bytes >= MIN_SPILL_BYTES and self._held_bytes + size_bytes > self._limit_bytes:
            return True
        self._held_bytes += size_bytes
        return False

    def write(self, path: str, data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Write an array to the file and map it from there.

        Returns
        -------
        ndarray, same shape and dtype, C order, read-only

        Raises
        ------
        CaptureError
            If the disk is full or the file cannot be written or mapped. The message names `path`.
        """
        try:
            if self._file is None:
                self._file = self._open()
            start = self._file.seek(0, 2)
            part = held_part(data)
            for block in iterate_blocks(part):
                self._file.write(block)
            self._file.flush()
            mapped = np.memmap(self._file.name, dtype=data.dtype, mode="r", offset=start, shape=part.shape, order="C")
            self._file.write(b"\0" * (-self._file.tell() % mmap.ALLOCATIONGRANULARITY))
        except OSError as error:
            raise CaptureError(
                f"cannot move {path!r} ({data.nbytes:,} bytes) out of memory to {self._parent}: {error}; "
                "free space there, point TMPDIR to a larger disk, or raise --repro-memory"
            ) from error
        self.spilled_bytes += part.nbytes
        array = mapped.view(np.ndarray)
        return array if part is data else np.broadcast_to(array, data.shape)

    def _open(self) -> BinaryIO:
        self._directory = Path(tempfile.mkdtemp(prefix="pytest-repro-spill-", dir=self._parent))
        return (self._directory / "arrays.bin").open("wb")

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # a last flush to a full disk
                self._file.close()
            self._file = None
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
