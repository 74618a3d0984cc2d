"""Large pages: what of a process' memory is worth them, and that its content stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_repro.running.huge_pages import find_ranges

MIB = 2**20


def line(begin: int, end: int, access: str = "rw-p", name: str = "") -> str:
    return f"{begin:x}-{end:x} {access} 00000000 00:00 0 {name:>30}"


def test_heap_and_arenas_are_taken_from_one_large_page_to_another() -> None:
    lines = [line(MIB, 9 * MIB, name="[heap]"), line(20 * MIB, 24 * MIB)]
    assert list(find_ranges(lines)) == [(2 * MIB, 6 * MIB), (20 * MIB, 4 * MIB)]


@pytest.mark.parametrize(
    "entry",
    [
        line(0, 4 * MIB, name="[stack]"),
        line(0, 4 * MIB, name="/usr/lib/a library.so"),
        line(0, 4 * MIB, access="r-xp"),
        line(0, 4 * MIB, access="rw-s"),
        line(MIB, 3 * MIB),  # holds no whole large page
        line(0, 300 * MIB),  # a user's data
    ],
)
def test_what_is_not_worth_it_is_left(entry: str) -> None:
    assert list(find_ranges([entry])) == []


def test_a_process_with_much_memory_is_not_copied_whole() -> None:
    lines = [line(number * 200 * MIB, number * 200 * MIB + 150 * MIB) for number in range(1, 9)]
    assert sum(size for _, size in find_ranges(lines)) == 450 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_mapped_file_may_have_any_bytes_for_a_name(tmp_path: Path) -> None:
    source = """
import mmap, os, sys
from pytest_repro.running.huge_pages import use_huge_pages
from pytest_repro.running.written_pages import find_pages
import numpy as np
path = os.fsencode(sys.argv[1]) + b"/\\xff.so"
with open(path, "w+b") as file:
    file.write(bytes(mmap.PAGESIZE))
    file.flush()
    mapped = mmap.mmap(file.fileno(), 0)
assert b"\\xff.so" in open("/proc/self/maps", "rb").read()
use_huge_pages()
assert len(find_pages(np.uint64(1 << 63)))
"""
    subprocess.run([sys.executable, "-c", source, str(tmp_path)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_content_and_addresses_stay() -> None:
    source = """
import ctypes, os
from pytest_repro.running.huge_pages import use_huge_pages
kept = [os.urandom(1000) for _ in range(10_000)]
copies, addresses = [bytearray(entry) for entry in kept], [id(entry) for entry in kept]
use_huge_pages()
assert [id(entry) for entry in kept] == addresses and list(map(bytes, copies)) == kept
"""
    subprocess.run([sys.executable, "-c", source], check=True)
