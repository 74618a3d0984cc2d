"""Tensors in safetensors' format, read by its own library, and files made to mislead."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import resource

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pytest_repro.errors import StoreError
from pytest_repro.records import payload as module
from pytest_repro.records.payload import Tensors, read_payload, write_payload

DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">f4", ">i8"]
arrays = hnp.arrays(
    hnp.scalar_dtypes() | hnp.unicode_string_dtypes() | hnp.byte_string_dtypes(),
    hnp.array_shapes(min_dims=0, min_side=0, max_side=3),
)


def written(tensors):
    buffer = io.BytesIO()
    write_payload(tensors, buffer)
    return buffer.getvalue()


def tensors_of(data):
    return Tensors(np.frombuffer(data, np.uint8), "the payload")


def read_file(path, **changes):
    data = path.read_bytes()
    return read_payload(path, **{"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} | changes)


def payload(header, data=b"", padding=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text + padding).to_bytes(8, "little") + text + padding + data


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_library_reads_the_elements_of_every_dtype_and_any_strides(dtype, tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    whole = np.arange(24).reshape(4, 6).astype(dtype)
    tensors = {
        "c": whole,
        "fortran": np.asfortranarray(whole),
        "view": whole[::2, ::-3],
        "none": whole[:0],
        "s": whole[1, 1],
    }
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        sha256 = write_payload(tensors, file)
    assert read_file(path, sha256=sha256).names == set(tensors)
    read = library.load_file(path)
    assert set(read) == set(tensors)
    for name, array in tensors.items():
        assert read[name].shape == np.shape(array)
        np.testing.assert_array_equal(read[name], array, strict=False)


def test_a_file_of_the_library_is_read_here_too(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "a.safetensors"
    library.save_file({"a": np.arange(3.0), "b": np.arange(4, dtype=np.int16)}, path, metadata={"k": "v"})
    assert read_file(path).read("b", np.dtype("i2"), (4,)).tolist() == [0, 1, 2, 3]


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5), arrays, max_size=4))
def test_every_array_is_restored_bit_for_bit(tensors):
    tensors.pop("__metadata__", None)
    opened = tensors_of(written(tensors))
    assert opened.names == set(tensors)
    for name, array in tensors.items():
        back = opened.read(name, array.dtype, array.shape)
        assert back.tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()


def test_the_same_arrays_give_the_same_bytes_in_any_order():
    one, two = np.arange(3.0), np.arange(3, dtype=np.int8)
    assert written({"a": one, "b": two}) == written({"b": two, "a": one})
    assert written({"a": one}) != written({"a": -one})


GOOD = {"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cut short"),
        (b"\x01\0\0", "cut short"),
        (b"\xff" * 16, "cut short"),
        ((2**40).to_bytes(8, "little") + b"{}", "cut short"),
        (payload(b"[]"), "is not a JSON object"),
        (payload(b"{"), "the header: it is not JSON"),
        (payload(b'{"a":1,"a":1}'), "occurs twice"),
        (payload(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"), "nested"),
        (payload({"a": 1}), "entry of 'a' is malformed"),
        (payload({"a": {**GOOD["a"], "dtype": "F128"}}, b"1234"), "entry of 'a' is malformed"),
        (payload({"a": {**GOOD["a"], "dtype": []}}, b"1234"), "entry of 'a' is malformed"),
        (payload({"a": {**GOOD["a"], "more": 1}}, b"1234"), "entry of 'a' is malformed"),
        (payload({"a": {**GOOD["a"], "shape": [-4]}}, b"1234"), "entry of 'a' is malformed"),
        (payload({"a": {**GOOD["a"], "shape": [True] * 4}}, b"1234"), "entry of 'a' is malformed"),
        (payload({"a": {**GOOD["a"], "shape": "4"}}, b"1234"), "entry of 'a' is malformed"),
        (payload({"a": {**GOOD["a"], "shape": [1] * 70 + [4]}}, b"1234"), "entry of 'a' is malformed"),
        (payload({"a": {**GOOD["a"], "shape": [2**50]}}, b"1234"), "has shape"),
        (payload({"a": {**GOOD["a"], "data_offsets": [4, 0]}}, b"1234"), "has shape"),
        (payload({**GOOD, "b": GOOD["a"]}, b"1234"), "overlap"),
        (payload({"a": {**GOOD["a"], "data_offsets": [1, 5]}}, b"12345"), "leave a gap at byte 0"),
        (payload(GOOD, b"12345"), "has 5 bytes of tensors"),
        (payload(GOOD, b"123"), "has 3 bytes of tensors"),
    ],
)  # fmt: skip
def test_a_misleading_file_is_rejected(data, reason, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    for read in (lambda: tensors_of(data), lambda: read_file(path)):
        with pytest.raises(StoreError, match=reason):
            read()


def test_a_huge_shape_without_elements_takes_no_memory():
    opened = tensors_of(payload({"a": {"dtype": "F32", "shape": [2**52, 0], "data_offsets": [0, 0]}}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(StoreError):
        assert opened.read("a", np.dtype("f4"), (2**52, 0)).size == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.parametrize(("dtype", "shape"), [("f4", (1,)), ("u1", (2, 2)), ("i1", (4,)), ("S4", (1,))])
def test_a_tensor_of_another_dtype_or_shape_than_the_manifests_is_rejected(dtype, shape):
    opened = tensors_of(payload(GOOD, b"1234"))
    with pytest.raises(StoreError, match="the manifest says"):
        opened.read("a", np.dtype(dtype), shape)
    with pytest.raises(StoreError, match="no tensor"):
        opened.read("b", np.dtype("u1"), (4,))


def test_a_tensor_that_was_read_is_read_only():
    array = tensors_of(payload(GOOD, b"1234")).read("a", np.dtype("u1"), (4,))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_a_header_of_too_many_tensors_is_rejected(monkeypatch):
    monkeypatch.setattr(module, "MAX_ARTIFACTS", 2)
    for count in (2, 3):
        data = written({f"w{n}": np.zeros(1) for n in range(count)})
        if count == 2:
            assert len(tensors_of(data).names) == 2
        else:
            with pytest.raises(StoreError, match="has 3 tensors; at most 2 are read"):
                tensors_of(data)


#: docs/adr/0036: where one of these begins to fail, the library serves the case, and the decision is due again.
def test_the_library_still_writes_the_memory_of_a_strided_array_for_its_elements():
    library = pytest.importorskip("safetensors.numpy")
    view = np.arange(12.0)[::2]
    assert library.load(library.save({"a": view}))["a"].tolist() != view.tolist()
    assert tensors_of(written({"a": view})).read("a", view.dtype, view.shape).tolist() == view.tolist()


@pytest.mark.parametrize("dtype", ["c16", "S3", "U2", "M8[s]", np.longdouble], ids=str)
def test_the_library_still_lacks_dtypes(dtype):
    library = pytest.importorskip("safetensors.numpy")
    array = np.zeros(2, dtype)
    with pytest.raises(Exception, match="Unknown dtype"):
        library.save({"a": array})
    assert tensors_of(written({"a": array})).read("a", array.dtype, array.shape).dtype == array.dtype


@pytest.mark.parametrize(
    "header",
    [
        b'{"w":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},"w":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}',
        b'{"w":{"dtype":"F64","shape":[1],"data_offsets":[0,8],"more":1}}',
    ],
    ids=["a name twice", "a field more"],
)
def test_the_library_still_accepts_a_header_that_other_readers_understand_differently(header):
    library = pytest.importorskip("safetensors.numpy")
    assert library.load(payload(header, bytes(8)))
    with pytest.raises(StoreError):
        tensors_of(payload(header, bytes(8)))
