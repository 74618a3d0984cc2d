"""Artifacts in a directory, for another process."""

from __future__ import annotations

import contextlib
import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pytest_repro.capturing import capture_tree, digest, read_artifacts, write_artifacts
from pytest_repro.capturing.store import MANIFEST
from pytest_repro.errors import CaptureError, ReproError, StoreError
from pytest_repro.model import Artifacts, Leaf

texts = st.text(st.characters(), max_size=5) | st.sampled_from(["\ud83d\ude00", "\ud800", "a\0", "😀", "\udc80b"])
floats = st.floats() | st.builds(lambda n: struct.unpack("<d", struct.pack("<Q", n))[0], st.integers(0, 2**64 - 1))
values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.builds(lambda n: 1 << n, st.integers(14_000, 20_000))
    | floats
    | st.builds(complex, floats, floats)
    | texts
    | st.binary(max_size=5)
)
arrays = hnp.arrays(
    hnp.scalar_dtypes() | hnp.unicode_string_dtypes() | hnp.byte_string_dtypes(),
    hnp.array_shapes(min_dims=0, min_side=0, max_side=3),
)
traits = st.lists(st.tuples(texts, texts), max_size=2, unique_by=lambda pair: pair[0]).map(tuple)
leaves = (
    st.builds(lambda v, n, t: Leaf("value", v, n, type(v).__name__, (), t), values, texts, traits)
    | st.builds(lambda a, n, t: Leaf("array", a, n, str(a.dtype), a.shape, t), arrays, texts, traits)
    | st.builds(lambda n, t: Leaf("node", None, n, traits=t), texts, traits)
)


def assert_same(one: Artifacts, other: Artifacts) -> None:
    assert list(one.leaves) == list(other.leaves)
    for path, leaf in one.leaves.items():
        twin = other.leaves[path]
        assert (leaf.form, leaf.type_name, leaf.dtype, leaf.shape) == (
            twin.form,
            twin.type_name,
            twin.dtype,
            twin.shape,
        )
        assert leaf.traits == twin.traits
        assert type(leaf.data) is type(twin.data)
        if leaf.form == "array":
            assert leaf.data.dtype == twin.data.dtype
            assert leaf.data.tobytes() == twin.data.tobytes()
    assert digest(one) == digest(other)


@given(st.dictionaries(texts, leaves, max_size=5))
def test_every_leaf_is_restored_bit_for_bit(tmp_path_factory: Any, found: dict[str, Leaf]) -> None:
    artifacts, directory = Artifacts(found), tmp_path_factory.mktemp("store")
    write_artifacts(artifacts, directory)
    assert_same(artifacts, read_artifacts(directory))


def test_arrays_that_are_read_are_mapped_read_only(tmp_path: Path) -> None:
    write_artifacts(capture_tree(np.arange(1000.0)[::-2]), tmp_path)
    data = read_artifacts(tmp_path).leaves["result"].data
    assert type(data) is np.ndarray
    assert data.ctypes.data % 64 == 0
    with pytest.raises(ValueError, match="read-only"):
        data[0] = 1


def test_writing_again_replaces_all(tmp_path: Path) -> None:
    write_artifacts(capture_tree({"a": np.zeros(5), "b": 1}), tmp_path)
    write_artifacts(capture_tree(np.ones(3)), tmp_path)
    assert read_artifacts(tmp_path).names == ["result"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_manifest_has_no_floats_and_no_big_integers(tmp_path: Path) -> None:
    write_artifacts(capture_tree([0.1, math.inf, 2**80, -0.0]), tmp_path)

    def refuse(text: str) -> Any:
        raise AssertionError(text)

    manifest = json.loads((tmp_path / MANIFEST).read_text(), parse_float=refuse, parse_constant=refuse)
    assert [entry["value"]["text"] for entry in manifest["leaves"][1:]] == [(0.1).hex(), "inf", hex(2**80), "-0x0.0p+0"]


def test_nothing_is_left_after_a_failed_write(tmp_path: Path) -> None:
    artifacts = capture_tree({"good": np.zeros(5)})
    artifacts.leaves["bad"] = Leaf("value", object(), "object")
    with pytest.raises(ReproError, match="cannot be stored"):
        write_artifacts(artifacts, tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match="no artifacts in"):
        read_artifacts(tmp_path)


def test_a_directory_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CaptureError, match="cannot write artifacts to"):
        write_artifacts(capture_tree(1), tmp_path / "file")


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(CaptureError, match=r"cannot write artifacts to .*File too large"):
            write_artifacts(capture_tree(np.zeros(100_000)), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    value = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": 1.5,
        "c": np.array(["x", "y"]),
        "d": {"e": float("nan")},
        "f": "text",
    }
    write_artifacts(capture_tree(value), tmp_path)
    return tmp_path


def edit(directory: Path, change: Any) -> None:
    path = directory / MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest, {entry["path"]: entry for entry in manifest["leaves"]})
    path.write_text(json.dumps(manifest))


def setting(where: str, **fields: Any) -> Any:
    return lambda manifest, entries: (entries[where] if where else manifest).update(fields)


HOSTILE = {
    "another format": setting("", format="x"),
    "a later version": setting("", version=3),
    "a version that is true": setting("", version=True),
    "a key more": setting("", extra=1),
    "no list": setting("", leaves={}),
    "an entry that is not an object": lambda m, e: m["leaves"].append(3),
    "a data file elsewhere": setting("", data="../arrays-x.bin"),
    "an absolute data file": setting("", data="/etc/passwd"),
    "the manifest as data": setting("", data=MANIFEST),
    "a data file of no text": setting("", data=3),
    "a missing data file": setting("", data="arrays-0.bin"),
    "another size": lambda m, e: m.update(size=m["size"] + 1),
    "a negative size": setting("", size=-1),
    "a size of no number": setting("", size="100"),
    "an offset beyond the end": setting("a", offset=1 << 20),
    "an enormous offset": setting("a", offset=1 << 80),
    "a negative offset": setting("a", offset=-64),
    "an unaligned offset": setting("a", offset=8),
    "an offset that is true": setting("a", offset=True),
    "an overlap": setting("c", offset=0),
    "a length too long": setting("a", length=56),
    "a shape too large": setting("a", shape=[2, 4]),
    "a shape that wraps around": setting("a", shape=[1 << 32, 1 << 32]),
    "a negative shape": setting("a", shape=[-2, -3]),
    "a shape of fractions": setting("a", shape=[2.0, 3.0]),
    "a shape of booleans": setting("a", shape=[True, 6]),
    "too many dimensions": setting("a", shape=[1] * 65 + [6]),
    "more dimensions than NumPy has, and empty": lambda m, e: e["a"].update(shape=[0] * 65, length=0),
    "an empty shape that cannot be": lambda m, e: e["a"].update(shape=[0, 1 << 70], length=0),
    "objects": setting("a", stored="|O8"),
    "a structured dtype": setting("a", stored="f4,f4"),
    "a void dtype": setting("a", stored="|V8"),
    "an unknown dtype": setting("a", stored="<f3"),
    "an enormous dtype": setting("a", stored="<U9999999999"),
    "a dtype with code in it": setting("a", stored="__import__('os')"),
    "a dtype of no text": setting("a", stored=["<f8"]),
    "a form that is unknown": setting("a", form="pickle"),
    "a form that is a list": setting("a", form=[]),
    "an array without a place": lambda m, e: e["a"].pop("offset"),
    "a value with a place": setting("b", offset=0),
    "a value of unknown kind": setting("b", value={"kind": "pickle", "text": ""}),
    "a value whose kind is a list": setting("b", value={"kind": [], "text": ""}),
    "a value that is bare": setting("b", value=1.5),
    "a float of words": setting("b", value={"kind": "float", "text": "one"}),
    "a float beyond all bounds": setting("b", value={"kind": "float", "text": "0x1p99999"}),
    "a float that is a number": setting("b", value={"kind": "float", "text": 1.5}),
    "a NaN without bits": setting("b", value={"kind": "float", "text": "nan"}),
    "a NaN that is none": setting("b", value={"kind": "float", "text": "nan:3ff0000000000000"}),
    "a NaN too short": setting("b", value={"kind": "float", "text": "nan:7ff8"}),
    "an int in words": setting("b", value={"kind": "int", "text": "0x1_0"}),
    "a bool that is neither": setting("b", value={"kind": "bool", "text": "2"}),
    "bytes that are not hex": setting("b", value={"kind": "bytes", "text": "zz"}),
    "None with a text": setting("b", value={"kind": "none", "text": ""}),
    "a complex with one part": setting("b", value={"kind": "complex", "text": "0x1p0"}),
    "a text that is not UTF-8": setting("f", value={"kind": "str", "text": {"utf8": "ff"}}),
    "a text with a lone surrogate": setting("f", value={"kind": "str", "text": "\ud800"}),
    "a path that is a number": setting("a", path=1),
    "a duplicate path": setting("a", path="b"),
    "a type that is a list": setting("a", type=[]),
    "traits that are not pairs": setting("a", traits=[["a"]]),
    "traits of numbers": setting("a", traits=[[1, 2]]),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_manifest_that_was_tampered_with_is_rejected(stored: Path, change: Any) -> None:
    assert len(read_artifacts(stored)) == 5
    edit(stored, change)
    with pytest.raises(StoreError):
        read_artifacts(stored)


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", "[" * 100_000, '{"a":1,"a":1}', "NaN", "\x80", '{"format": NaN}']
)
def test_an_invalid_manifest_is_rejected(stored: Path, text: str) -> None:
    (stored / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(StoreError):
        read_artifacts(stored)


def test_an_entry_with_a_duplicate_key_is_rejected(stored: Path) -> None:
    text = (stored / MANIFEST).read_text()
    (stored / MANIFEST).write_text(text.replace('"path":"b"', '"path":"b","path":"z"'))
    with pytest.raises(StoreError, match="twice"):
        read_artifacts(stored)


def test_a_truncated_data_file_is_rejected(stored: Path) -> None:
    [data] = stored.glob("arrays-*.bin")
    os.truncate(data, data.stat().st_size - 1)
    with pytest.raises(StoreError, match="truncated or replaced"):
        read_artifacts(stored)


def test_a_data_file_that_is_a_link_is_rejected(stored: Path) -> None:
    [data] = stored.glob("arrays-*.bin")
    data.rename(stored / "elsewhere")
    data.symlink_to(stored / "elsewhere")
    with pytest.raises(StoreError, match="must be a regular file, and is a symbolic link"):
        read_artifacts(stored)


@given(st.data())
def test_damage_to_the_manifest_raises_no_other_error(tmp_path_factory: Any, data: Any) -> None:
    directory = tmp_path_factory.mktemp("damaged")
    write_artifacts(capture_tree({"a": np.arange(3), "b": [1.5, "x", None, 2**70]}), directory)
    text = bytearray((directory / MANIFEST).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    (directory / MANIFEST).write_bytes(text)
    with contextlib.suppress(StoreError):
        read_artifacts(directory)
