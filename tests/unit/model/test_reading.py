"""Files and JSON documents that somebody else may have written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pytest_repro.errors import StoreError
from pytest_repro.model import reading
from pytest_repro.model.reading import check_count, opened, parse_json, read_file

MAX_BYTES = 1000


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content in (b"", b"x", bytes(range(256)) * 10_000):
        path.write_bytes(content)
        assert read_file(path, max_bytes=10**7) == content
        with opened(path, max_bytes=10**7) as file:
            buffer, seen, sizes = bytearray(file.size_bytes), hashlib.sha256(), []
            file.read_into(memoryview(buffer), seen.update)
            assert bytes(buffer) == content
            assert seen.digest() == hashlib.sha256(content).digest()
        with opened(path, max_bytes=10**7) as file:
            sizes += map(len, file.iterate())
        assert sum(sizes) == len(content)
        assert max(sizes, default=0) <= reading.BLOCK_BYTES


def test_a_bound_says_what_it_is_what_was_found_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(1000))
    assert len(read_file(path, max_bytes=1000)) == 1000
    with pytest.raises(StoreError, match=r"^it has 1,000 bytes; at most 999 are read: split it$"):
        read_file(path, max_bytes=999, advice="split it")


@pytest.mark.skipif(os.name != "posix", reason="pipes and links")
@pytest.mark.parametrize("kind", ["FIFO", "symbolic link"])
def test_a_file_that_is_replaced_after_it_was_looked_at_is_refused(tmp_path, monkeypatch, kind) -> None:
    """Not waited for either: the open must not block on a FIFO without a writer."""
    path, file = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"x")
    if kind == "FIFO":
        os.mkfifo(path)
    else:
        path.symlink_to(file)
    monkeypatch.setattr(Path, "lstat", lambda self: os.stat(file))  # noqa: PTH116 - Path.stat may call lstat
    with pytest.raises((StoreError, OSError)):
        read_file(path, max_bytes=10)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, name) -> None:
    with pytest.raises(StoreError, match="a name that no file here can have"):
        read_file(tmp_path / name, max_bytes=10)


def test_an_absent_file_and_a_name_beyond_the_systems_limit_are_errors_of_the_system(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "a", max_bytes=10)
    with pytest.raises(OSError, match="File name too long"):
        read_file(tmp_path / ("a" * 5000), max_bytes=10)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 33 + "]" * 33, "^it is nested more than 32 levels deep$"),
        ("[" * 100_000, "^it is nested more than 32 levels deep$"),
        ('{"a":1,"a":1}', "^it is not JSON: the key 'a' occurs twice$"),
        ("NaN", "^it is not JSON: NaN is not JSON$"),
        ("-Infinity", "^it is not JSON: -Infinity is not JSON$"),
        ("1e400", "^it is not JSON: the number 1e400 is beyond the range of floats$"),
        ("9" * 41, "^it is not JSON: an integer of 41 digits; at most 40 are read$"),
        ('"\ud800"', "^it is not UTF-8 at byte 1: damaged, or not JSON$"),
        ('{"\x1b[31m\u202e":1,"\x1b[31m\u202e":1}', "^it is not JSON: "),
    ],
    ids=lambda text: text[:12],
)
def test_a_document_that_misleads_is_refused_in_one_printable_line(text: str, reason: str) -> None:
    with pytest.raises(StoreError, match=reason) as caught:
        parse_json(text.encode("utf-8", "surrogatepass"), max_bytes=10**6)
    assert str(caught.value).isprintable()


def test_a_document_beyond_its_bytes_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading.json, "loads", lambda *args, **kwargs: pytest.fail("it was parsed"))
    with pytest.raises(StoreError, match=r"^it has 6 bytes; at most 5 are read$"):
        parse_json(b"[1, 2]", max_bytes=5)


@pytest.mark.parametrize("text", ["[" + "[]," * 20 + "[]]", "[" + "{}," * 20 + "1]", "[" + "1," * 40 + "1]"])
def test_a_document_of_many_small_values_is_refused_before_it_is_parsed(text, monkeypatch) -> None:
    """An empty list takes twenty times the memory of its text."""
    monkeypatch.setattr(reading.json, "loads", lambda *args, **kwargs: pytest.fail("it was parsed"))
    with pytest.raises(StoreError, match=r"^it has up to \d+ values; at most 40 are read$"):
        parse_json(text.encode(), max_bytes=MAX_BYTES, max_values=40)


def test_a_surrogate_pair_in_escapes_is_one_character_and_half_of_one_is_kept() -> None:
    assert parse_json(rb'"\ud83d\ude00"', max_bytes=20) == "\U0001f600"
    assert parse_json(rb'"\ud83d"', max_bytes=20) == "\ud83d"


def test_a_list_of_too_many_tests_is_refused() -> None:
    check_count([0] * reading.MAX_TESTS, "it")
    check_count("not a list", "it")
    with pytest.raises(StoreError, match=r"^it has 200,001 tests; at most 200,000 are read: run fewer tests"):
        check_count([0] * (reading.MAX_TESTS + 1), "it")
