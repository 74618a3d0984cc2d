"""Large pages for the memory of a process that forks often: each fork copies its table of pages, an entry for each.

A server that has imported torch holds 220 MB in pages of 4 KiB: copying their entries, and giving them back at a fork's
end, costs 7 to 10 ms of CPU a fork. Neither content nor addresses change, nor what a fork allocates later.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from pathlib import Path

#: Making them costs some 140 ms of CPU, once: what so many forks save.
WORTHWHILE_FORKS = 20
_SIZE = 2 * 2**20
#: More in one mapping is data of the user's, which a fork seldom writes to; and copying takes time.
LARGEST_MAPPING = 256 * 2**20
_MOST_BYTES = 512 * 2**20
_MADV_COLLAPSE = 25
_ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def use_huge_pages() -> int:
    """Ask Linux to hold this process' heap in large pages, and return how many bytes it was asked for.

    Does nothing where the machine forbids them. A kernel before 6.1 refuses, and nothing is lost.
    """
    try:
        if "[never]" in _ENABLED.read_text():
            return 0
        ranges = list(find_ranges(read_maps()))
    except OSError:
        return 0
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for start, size in ranges:
        madvise(start, size, _MADV_COLLAPSE)
    return sum(size for _, size in ranges)


def find_ranges(lines: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield address and size [bytes] of what is worth it among the lines of ``/proc/<pid>/maps``: heap and arenas."""
    left = _MOST_BYTES
    for begin, end, access, name in parse_mappings(lines):
        # A thread's stack has no name either; of it, only what was used is in memory.
        if access != "rw-p" or name not in ("", "[heap]"):
            continue
        start = -(-begin // _SIZE) * _SIZE
        size = end // _SIZE * _SIZE - start
        if 0 < size <= min(left, LARGEST_MAPPING):
            left -= size
            yield start, size


def read_maps() -> list[str]:
    """Return the lines of ``/proc/self/maps``; a file that is mapped may have any bytes for a name."""
    return Path("/proc/self/maps").read_text("utf-8", "replace").splitlines()


def parse_mappings(lines: Iterable[str]) -> Iterator[tuple[int, int, str, str]]:
    """Yield begin and end [addresses], access and name of what the lines of ``/proc/<pid>/maps`` tell."""
    for line in lines:
        addresses, access, _, _, _, *name = line.split(maxsplit=5)
        begin, end = (int(address, 16) for address in addresses.split("-"))
        yield begin, end, access, name[0].rstrip() if name else ""
