"""Read files and JSON documents that somebody else may have written.

A file is opened once, without waiting, and only if it is a regular file. Its size is known before it is read, and must
not change meanwhile. A document is bounded in bytes, values and depth before anything looks into it.
"""

from __future__ import annotations

import io
import json
import math
import mmap
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pytest_repro.errors import StoreError

BLOCK_BYTES = 2**20
#: Deepest nesting of a document.
MAX_DEPTH = 32
#: Largest number of values in a document: an empty list takes 56 bytes of memory for the 3 bytes of its text.
MAX_VALUES = 2**25
#: Tests of one report, evidence or session record.
MAX_TESTS = 200_000
#: Longest number [characters]: int() takes quadratic time.
MAX_DIGITS = 40

#: O_NONBLOCK: opening a FIFO waits for a writer otherwise. O_NOFOLLOW: a file may become a link after it was looked at.
_FLAGS = os.O_RDONLY
for _name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
)


class OpenedFile:
    """A regular file that was opened once.

    Attributes
    ----------
    size_bytes : int
        Its size when it was opened.
    """

    def __init__(self, file: BinaryIO, status: os.stat_result) -> None:
        self._file = file
        self._status = status
        self.size_bytes: int = status.st_size

    def iterate(self) -> Iterator[bytes]:
        """Yield the content in blocks of at most `BLOCK_BYTES`.

        Raises
        ------
        StoreError
            After the last block, if the file was changed meanwhile.
        """
        left = self.size_bytes
        while left and (block := self._file.read(min(left, BLOCK_BYTES))):
            left -= len(block)
            yield block
        self._check_unchanged(left)

    def read(self) -> bytes:
        """Return the content. Raises StoreError if the file was changed meanwhile."""
        return b"".join(self.iterate())

    def read_into(self, buffer: memoryview, take: Callable[[memoryview], object]) -> None:
        """Fill a buffer of `size_bytes` with the content, and hand each block of it to `take`.

        Raises
        ------
        StoreError
            If the file was changed meanwhile.
        """
        start = 0
        while start < self.size_bytes:
            count = self._file.readinto(buffer[start : start + BLOCK_BYTES])  # type: ignore[attr-defined]
            if not count:
                break
            take(buffer[start : start + count])
            start += count
        self._check_unchanged(self.size_bytes - start)

    def iterate_lines(self, max_bytes: int) -> Iterator[bytes]:
        """Yield the lines, of a longer one its parts of `max_bytes`, whether or not the file is changed meanwhile."""
        file = io.BufferedReader(self._file)  # type: ignore[type-var]
        while line := file.readline(max_bytes):
            yield line

    def map(self) -> mmap.mmap:
        """Map the content into memory. If another process cuts the file short, reading it ends this one."""
        return mmap.mmap(self._file.fileno(), self.size_bytes, access=mmap.ACCESS_READ)

    def _check_unchanged(self, missing: int) -> None:
        now = os.fstat(self._file.fileno())
        if missing or now.st_size != self.size_bytes or now.st_mtime_ns != self._status.st_mtime_ns:
            raise StoreError(
                f"it was changed while it was read ({self.size_bytes:,} bytes before, {now.st_size:,} now): "
                "wait for the program that writes it, and try again"
            )


@contextmanager
def opened(path: Path, *, max_bytes: int, advice: str = "", follows_links: bool = False) -> Iterator[OpenedFile]:
    """Open a regular file without waiting.

    Parameters
    ----------
    path : Path
    max_bytes : int
        Largest size that is accepted.
    advice : str
        What to do about a larger file, for the message.
    follows_links : bool
        Whether a symbolic link to a regular file is accepted.

    Raises
    ------
    StoreError
        If it is a link, a directory, a FIFO, a socket or a device, or is too large. The message begins with "it".
    OSError
        If it does not exist, or cannot be opened.
    """
    try:
        # First: opening a device may do something, such as rewinding a tape.
        before = path.stat() if follows_links else path.lstat()
        _check_kind(before.st_mode)
        handle = os.open(path, _FLAGS | (0 if follows_links else getattr(os, "O_NOFOLLOW", 0)))
    except ValueError as error:  # an embedded null byte, or a character that the file system's encoding lacks
        raise StoreError(f"it has a name that no file here can have ({error})") from None
    with os.fdopen(handle, "rb", buffering=0) as file:
        status = os.fstat(handle)
        _check_kind(status.st_mode)
        if status.st_size > max_bytes:
            more = f": {advice}" if advice else ""
            raise StoreError(f"it has {status.st_size:,} bytes; at most {max_bytes:,} are read{more}")
        yield OpenedFile(file, status)


def read_file(path: Path, *, max_bytes: int, advice: str = "", follows_links: bool = False) -> bytes:
    """Return the content of a regular file. Parameters and errors are those of :func:`opened`."""
    with opened(path, max_bytes=max_bytes, advice=advice, follows_links=follows_links) as file:
        return file.read()


def _check_kind(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "a device")
        raise StoreError(f"it must be a regular file, and is {kind}")


def read_integer(text: str) -> int:
    """Return the integer of a number in JSON, which must not be longer than `MAX_DIGITS`."""
    if len(text) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(text):,} digits; at most {MAX_DIGITS} are read")
    return int(text)


def read_number(text: str) -> float:
    """Return the finite floating-point number of a number in JSON."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:MAX_DIGITS]} is beyond the range of floats")
    return number


def refuse_constant(name: str) -> Any:
    """Reject ``NaN`` and ``Infinity``, which Python's parser accepts."""
    raise ValueError(f"{name} is not JSON")


def parse_json(
    data: bytes,
    *,
    max_bytes: int,
    max_values: int = MAX_VALUES,
    read_integer: Callable[[str], Any] = read_integer,
    read_number: Callable[[str], Any] = read_number,
    refuse_constant: Callable[[str], Any] = refuse_constant,
) -> Any:
    """Read a JSON document that is not trusted, in linear time.

    Parameters
    ----------
    data : bytes
    max_bytes : int
        Largest document.
    max_values : int
        Largest number of values in it.
    read_integer, read_number, refuse_constant : callable (str) -> value
        Read a number, or raise ValueError.

    Raises
    ------
    StoreError
        If it is too large, too deep or has too many values, is not UTF-8 or not JSON, or has a key twice in one object.
        The message begins with "it".
    """
    if len(data) > max_bytes:
        raise StoreError(f"it has {len(data):,} bytes; at most {max_bytes:,} are read")
    # Each value but the first of a list or an object follows a comma. Those in texts are counted, too.
    values = data.count(b",") + data.count(b"[") + data.count(b"{") + 1
    if values > max_values:
        raise StoreError(f"it has up to {values:,} values; at most {max_values:,} are read")
    try:
        document = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_refuse_duplicates,
            parse_constant=refuse_constant,
            parse_float=read_number,
            parse_int=read_integer,
        )
    except UnicodeDecodeError as error:
        raise StoreError(f"it is not UTF-8 at byte {error.start:,}: damaged, or not JSON") from None
    except RecursionError:
        raise StoreError(f"it is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:
        raise StoreError(f"it is not JSON: {error}") from None
    if measure_depth(document) > MAX_DEPTH:
        raise StoreError(f"it is nested more than {MAX_DEPTH} levels deep")
    return document


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen = set[str]()
        again = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {again[:60]!r} occurs twice")
    return found


def check_count(tests: Any, where: str) -> None:
    """Raise StoreError if a list of tests in a document is longer than `MAX_TESTS`."""
    if isinstance(tests, list) and len(tests) > MAX_TESTS:
        raise StoreError(
            f"{where} has {len(tests):,} tests; at most {MAX_TESTS:,} are read: run fewer tests in one session"
        )


def measure_depth(document: Any) -> int:
    """Return how many objects and lists are nested, or a number beyond `MAX_DEPTH`."""
    level: list[Any] = [document]
    for depth in range(MAX_DEPTH + 1):
        level = [value for value in level if isinstance(value, (list, dict))]
        if not level:
            return depth
        level = [inner for value in level for inner in (value.values() if isinstance(value, dict) else value)]
    return MAX_DEPTH + 1
