"""Pages of memory that a fork is going to write to, copied in one call: a trap for each costs a quarter more.

Forks of one test write to the same pages, all but a few: where Python counts references to what the test uses. One
fork tells which they were, and later ones have them copied before they begin. No content changes by it, nor an address.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from collections.abc import Callable, Hashable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pytest_repro.running.huge_pages import LARGEST_MAPPING, parse_mappings, read_maps

Pages = np.ndarray[Any, np.dtype[np.int64]]
Ranges = np.ndarray[Any, np.dtype[np.uint64]]

#: Telling costs a fork and the server some 15 ms: what so many later forks save.
_WORTHWHILE_RUNS = 6
_MADV_POPULATE_WRITE = 23
#: Linux takes so many ranges in a call.
_MOST_RANGES = 1024
#: In ``/proc/<pid>/pagemap``, 8 bytes a page: whether it is in memory, and whether no other process maps it too.
_ENTRY_BYTES, _IS_PRESENT, _IS_EXCLUSIVE = 8, np.uint64(1 << 63), np.uint64(1 << 56)
#: 2 GiB of pages; a fork that has written to more has other costs.
_MOST_PAGES = 2**19


class WrittenPages:
    """Knows, in the server, which pages the next fork should have copied, and has them copied in the fork.

    A fork has the pages of an earlier fork of the same test copied; else those that forks of two other tests both
    wrote to, which are pytest's and this plugin's.

    Parameters
    ----------
    folder : Path
        Takes what forks tell.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asked = 0
        self._asked_for: Hashable = None
        self._known_for: Hashable = None
        self._own: list[Ranges] = []
        self._common_pages: Pages | None = None
        self._common: list[Ranges] = []
        self._next: list[Ranges] = []
        self._is_asked = False
        self._can_copy = copies_at_once()

    def prepare(self, test: Hashable, to_come: int, *, is_first: bool) -> None:
        """In the server, before a fork: settle what it has copied, and whether it tells what it has written to.

        Parameters
        ----------
        test : hashable
            Names the test.
        to_come : int
            How many runs of it are known to follow.
        is_first : bool
            A first run may import what later ones find imported: it is not asked.
        """
        if not self._can_copy:
            return
        self._take()
        is_wanted = to_come >= _WORTHWHILE_RUNS or not self._common
        self._is_asked = is_wanted and not is_first and test not in (self._asked_for, self._known_for)
        if self._is_asked:
            self._asked += 1
            self._asked_for = test
            self._next = []  # it could not tell those apart from what it writes to
        else:
            self._next = self._own if test == self._known_for else self._common

    def copy(self) -> None:
        """In the fork, have the pages copied; what the kernel refuses is copied when it is written to."""
        for ranges in self._next:
            _copy_at_once(ranges)

    def tell(self) -> None:
        """In the fork, at its end, leave word of the pages that it has written to, if it was asked."""
        if self._is_asked:
            with contextlib.suppress(Exception):  # whatever the test has left of its process
                unfinished = self._path.with_suffix(".part")
                # The server's pages are mapped by both, until one of them writes.
                find_pages(_IS_PRESENT | _IS_EXCLUSIVE).tofile(unfinished)
                unfinished.replace(self._path)

    @property
    def _path(self) -> Path:
        return self._folder / f"written-pages-{self._asked}"

    def _take(self) -> None:
        """Take what a fork has told since: of its pages those that the server has, for the rest is the test's data."""
        if self._asked_for is None:
            return
        try:
            pages = np.fromfile(self._path, np.int64, _MOST_PAGES)
            self._path.unlink()
            pages = np.intersect1d(pages, find_pages(_IS_PRESENT))
        except (OSError, ValueError):
            return
        self._own, self._known_for, self._asked_for = make_ranges(pages), self._asked_for, None
        if self._common_pages is None:
            self._common_pages = pages
        elif not self._common:
            self._common_pages = np.intersect1d(self._common_pages, pages)
            self._common = make_ranges(self._common_pages)


def find_pages(wanted: np.uint64) -> Pages:
    """Return the numbers of this process' own writable pages whose entry in its pagemap has all the bits wanted.

    Of very large mappings none: what holds data is seldom written to, and looking takes time.

    Raises
    ------
    OSError
        Where ``/proc`` does not tell.
    """
    found = []
    with Path("/proc/self/pagemap").open("rb", buffering=0) as table:
        for begin, end, access, name in parse_mappings(read_maps()):
            if access == "rw-p" and not name.startswith("[stack") and end - begin <= LARGEST_MAPPING:
                first = begin // mmap.PAGESIZE
                table.seek(first * _ENTRY_BYTES)
                entries = np.frombuffer(table.read((end - begin) // mmap.PAGESIZE * _ENTRY_BYTES), np.uint64)
                found.append(np.flatnonzero((entries & wanted) == wanted) + first)
    return np.concatenate(found)


def make_ranges(pages: Pages) -> list[Ranges]:
    """Return address and size [bytes] of what the sorted pages cover, as ``struct iovec``: some for each call."""
    if not len(pages):
        return []
    last = np.flatnonzero(np.diff(pages) != 1)
    starts, ends = pages[np.r_[0, last + 1]], pages[np.r_[last, len(pages) - 1]] + 1
    ranges = (np.stack([starts, ends - starts], axis=1) * mmap.PAGESIZE).astype(np.uint64)
    return [np.ascontiguousarray(ranges[begin : begin + _MOST_RANGES]) for begin in range(0, len(ranges), _MOST_RANGES)]


def copies_at_once() -> bool:
    """Tell whether the kernel copies many ranges in a call, which Linux does from 6.13 on, for the process itself."""
    own = np.ones(1)
    (ranges,) = make_ranges(np.array([own.ctypes.data // mmap.PAGESIZE]))
    return _copy_at_once(ranges) == mmap.PAGESIZE


def _copy_at_once(ranges: Ranges) -> int:
    """Have ranges of this process' memory copied; return how many bytes were, or -1."""
    madvise = _process_madvise()
    if madvise is None:
        return -1
    try:
        handle = os.pidfd_open(os.getpid())
    except OSError:
        return -1
    try:
        return madvise(handle, ranges.ctypes.data, len(ranges), _MADV_POPULATE_WRITE, 0)
    finally:
        os.close(handle)


@cache
def _process_madvise() -> Callable[..., int] | None:
    """Return the C library's function, which glibc has from 2.36 on, or None."""
    try:
        function = ctypes.CDLL(None).process_madvise
    except AttributeError:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_uint)
    function.restype = ctypes.c_ssize_t
    return function
