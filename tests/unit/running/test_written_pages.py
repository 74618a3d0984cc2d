"""Pages that forks write to: what one tells, what later ones have copied, in real forks."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pytest_repro.running import written_pages
from pytest_repro.running.written_pages import WrittenPages, copies_at_once, make_ranges

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are made on Linux only")
needs_kernel = pytest.mark.skipif(
    sys.platform == "linux" and not copies_at_once(), reason="this kernel copies no ranges at once"
)

#: A server of its own: forks of pytest's process would share its pages with xdist's threads.
SERVER = """
import mmap, os, sys
from pathlib import Path
import numpy as np
from pytest_repro.running.written_pages import _IS_EXCLUSIVE, _IS_PRESENT, WrittenPages, find_pages

MANY, PAGE = 1000, mmap.PAGESIZE
memory = mmap.mmap(-1, 64 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory[:] = bytes(range(256)) * (64 * PAGE // 256)
first = np.frombuffer(memory, np.uint8).ctypes.data // PAGE
written = WrittenPages(Path(sys.argv[1]))

def fork(test, *touched, to_come=MANY, is_first=False, dies=False):
    '''Return which of the memory's pages a fork had of its own before it wrote to any, and their content.'''
    written.prepare(test, to_come, is_first=is_first)
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        written.copy()
        own = [int(page) for page in find_pages(_IS_PRESENT | _IS_EXCLUSIVE) - first if 0 <= page < 64]
        content = memory[:]
        for page in touched:
            memory[page * PAGE] = 7
        os.write(writable, repr((own, hash(content))).encode())
        if not dies:
            written.tell()
        os._exit(0)
    os.close(writable)
    with open(readable, "rb") as answer:
        own, content = eval(answer.read())
    os.waitpid(pid, 0)
    assert content == hash(memory[:])
    return own
"""


def in_server(folder: Path, source: str) -> None:
    subprocess.run([sys.executable, "-c", SERVER + source, str(folder)], check=True)


@needs_kernel
def test_later_forks_of_a_test_have_what_the_first_wrote_to(tmp_path: Path) -> None:
    in_server(
        tmp_path,
        """
assert fork("a", 50, is_first=True) == []
assert fork("a", 3, 4, 9) == []
assert fork("a", 3, 4, 60) == [3, 4, 9]
assert fork("a") == [3, 4, 9]
""",
    )
    assert list(tmp_path.iterdir()) == []


@needs_kernel
def test_other_tests_have_what_two_of_them_both_wrote_to(tmp_path: Path) -> None:
    in_server(
        tmp_path,
        """
assert fork("a", 3, 4, to_come=1) == []
assert fork("b", 4, 5, to_come=1) == []
assert fork("c", 8, to_come=1) == [4]
assert fork("c", 8, to_come=1) == [4]
assert fork("d", 8, to_come=MANY) == []
assert fork("d", 8, to_come=MANY) == [8]
""",
    )


@needs_kernel
def test_a_fork_that_dies_tells_nothing_and_harms_no_other(tmp_path: Path) -> None:
    in_server(
        tmp_path,
        """
assert fork("a", 3, dies=True) == []
assert fork("a", 3) == []
assert fork("b", 3) == []
assert fork("b") == [3]
""",
    )


@needs_kernel
def test_what_only_a_fork_has_is_not_made_in_the_next(tmp_path: Path) -> None:
    # Memory that a test allocates, or finds released, must be as it is without this: uninitialised, but for zeros.
    in_server(
        tmp_path,
        """
fresh = mmap.mmap(-1, 64 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
address = np.frombuffer(fresh, np.uint8).ctypes.data // PAGE
written.prepare("a", MANY, is_first=False)
if os.fork() == 0:
    fresh[:] = b"x" * len(fresh)
    written.tell()
    os._exit(0)
os.wait()
written.prepare("a", MANY, is_first=False)
if os.fork() == 0:
    written.copy()
    assert not any(address <= page < address + 64 for page in find_pages(_IS_PRESENT))
    os._exit(0)
assert os.wait()[1] == 0
""",
    )


def test_a_kernel_that_copies_nothing_at_once_is_asked_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(written_pages, "_process_madvise", lambda: None)
    written = WrittenPages(tmp_path)
    for _ in range(2):
        written.prepare("a", 1000, is_first=False)
        written.copy()
        written.tell()
        assert list(tmp_path.iterdir()) == []


@needs_kernel
def test_a_fork_without_a_descriptor_to_spare_runs_all_the_same(tmp_path: Path) -> None:
    in_server(
        tmp_path,
        """
import resource
assert fork("a", 3) == []
written.prepare("a", MANY, is_first=False)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
written.copy()
""",
    )


@needs_kernel
@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"\xff" * 80, np.arange(1000).tobytes()])
def test_what_is_no_list_of_pages_is_left(tmp_path: Path, content: bytes) -> None:
    written = WrittenPages(tmp_path)
    written.prepare("a", 1000, is_first=False)
    (tmp_path / "written-pages-1").write_bytes(content)
    written.prepare("a", 1000, is_first=False)
    written.copy()  # of pages that are this process' own, or none


def test_ranges_join_pages_that_lie_together() -> None:
    pages = np.array([1, 2, 3, 7, 9, 10], np.int64)
    (ranges,) = make_ranges(pages)
    assert (ranges // mmap.PAGESIZE).tolist() == [[1, 3], [7, 1], [9, 2]]
    assert make_ranges(pages[:0]) == []


def test_no_call_has_more_ranges_than_linux_takes() -> None:
    most = os.sysconf("SC_IOV_MAX")
    parts = make_ranges(np.arange(0, 2 * 2500, 2))
    assert sum(map(len, parts)) == 2500
    assert all(len(part) <= most and part.flags.c_contiguous for part in parts)
