"""Capture of PyArrow's arrays, tables and scalars."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from pytest_repro.capturing import capture_tree
from pytest_repro.capturing.live import digest_value
from pytest_repro.errors import UnsupportedTypeError
from tests.frameworks.columns import Columns, Kind, near_columns
from tests.unit.capturing.helpers import differing

pa = pytest.importorskip("pyarrow")
import pyarrow.compute as pc


def table(**columns: Any) -> Any:
    return pa.table({"price": [1.5, 2.5, None], "name": ["a", "b", None], **columns})


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a label": lambda t: t.rename_columns(["cost", "name"]),
    "the order of columns": lambda t: t.select(["name", "price"]),
    "the order of rows": lambda t: t.take([1, 0, 2]),
    "a dtype": lambda t: t.cast(pa.schema([("price", pa.float32()), ("name", pa.string())])),
    "a wider offset": lambda t: t.cast(pa.schema([("price", pa.float64()), ("name", pa.large_string())])),
    "a dictionary": lambda t: t.set_column(1, "name", t["name"].dictionary_encode()),
    "a text": lambda t: t.set_column(1, "name", pa.array(["a", "c", None])),
    "a text that is missing": lambda t: t.set_column(1, "name", pa.array(["a", "b", ""])),
    "a number": lambda t: t.set_column(0, "price", pa.array([1.5, np.nextafter(2.5, 3), None])),
    "a number that is missing": lambda t: t.set_column(0, "price", pa.array([1.5, 2.5, 0])),
    "NaN for a missing number": lambda t: t.set_column(0, "price", pa.array([1.5, 2.5, np.nan])),
    "a row less": lambda t: t.slice(0, 2),
    "a column less": lambda t: t.drop_columns(["name"]),
    "metadata": lambda t: t.replace_schema_metadata({"a": "b"}),
    "metadata of a field": lambda t: t.cast(
        pa.schema([t.schema.field(0).with_metadata({"a": "b"}), t.schema.field(1)])
    ),
    "a field that may not be missing": lambda t: pa.table(
        t.columns, schema=pa.schema([t.schema.field(0), t.schema.field(1).with_nullable(False)])
    ),
    "a batch": lambda t: t.to_batches()[0],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_each_change_of_a_table_is_seen(change: Any) -> None:
    assert differing(capture_tree(table()), capture_tree(table())) == []
    assert differing(capture_tree(table()), capture_tree(change(table()))) != []


def test_a_changed_value_is_named_by_its_column() -> None:
    changed = table().set_column(0, "price", pa.array([1.5, 2.0, None]))
    assert differing(capture_tree({"t": table()}), capture_tree({"t": changed})) == ["t/data/price/values"]


def encoded(indices: Any, dictionary: Any, **options: Any) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int8()), dictionary, **options)


def union(codes: Any, *members: Any) -> Any:
    return pa.UnionArray.from_sparse(pa.array(codes, pa.int8()), [pa.array(member) for member in members])


def dense(codes: Any, offsets: Any, *members: Any) -> Any:
    places = pa.array(codes, pa.int8()), pa.array(offsets, pa.int32())
    return pa.UnionArray.from_dense(*places, [pa.array(member) for member in members])


class Tagged(pa.ExtensionType):
    def __init__(self, tag: str) -> None:
        self.tag = tag
        super().__init__(pa.int64(), "tests.tagged")

    def __arrow_ext_serialize__(self) -> bytes:
        return self.tag.encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: Any, serialized: bytes) -> Tagged:
        return cls(serialized.decode())


def tagged(tag: str, *values: Any) -> Any:
    return pa.ExtensionArray.from_storage(Tagged(tag), pa.array(values, pa.int64()))


def nested(kind: Any, *values: Any) -> Any:
    return pa.array(values, kind)


MAP = pa.map_(pa.string(), pa.int64())

PAIRS: dict[str, tuple[Any, Any]] = {
    "numbers": (pa.array([1, 2]), pa.array([1, 3])),
    "widths": (pa.array([1], pa.int8()), pa.array([1], pa.int16())),
    "half floats": (pa.array(np.float16([1])), pa.array(np.float16([2]))),
    "booleans": (pa.array([True, None]), pa.array([False, None])),
    "units": (nested(pa.timestamp("us"), 1), nested(pa.timestamp("ms"), 1)),
    "zones": (nested(pa.timestamp("us", "UTC"), 1), nested(pa.timestamp("us", "Europe/Berlin"), 1)),
    "days": (nested(pa.date32(), 1), nested(pa.date32(), 2)),
    "times": (nested(pa.time64("ns"), 1), nested(pa.time64("ns"), 2)),
    "spans": (nested(pa.duration("s"), 1), nested(pa.duration("s"), 2)),
    "intervals": (nested(pa.month_day_nano_interval(), (1, 2, 3)), nested(pa.month_day_nano_interval(), (1, 2, 4))),
    "decimals": (pa.array([Decimal("1.5")]), pa.array([Decimal("1.6")])),
    "wide decimals": (nested(pa.decimal256(50, 2), Decimal("1.5")), nested(pa.decimal256(50, 2), Decimal("1.6"))),
    "scales": (nested(pa.decimal128(5, 1), Decimal("1.5")), nested(pa.decimal128(5, 2), Decimal("1.5"))),
    "fixed bytes": (nested(pa.binary(2), b"ab", None), nested(pa.binary(2), b"ac", None)),
    "bytes": (pa.array([b"a\0"]), pa.array([b"a"])),
    "texts that end in zero": (pa.array(["a\0"]), pa.array(["a"])),
    "views": (nested(pa.string_view(), "a", None), nested(pa.string_view(), "b", None)),
    "views of bytes": (nested(pa.binary_view(), b"a", None), nested(pa.binary_view(), b"b", None)),
    "nothing": (pa.nulls(1), pa.nulls(2)),
    "indices": (encoded([0, 1], ["a", "b"]), encoded([1, 0], ["a", "b"])),
    "dictionaries": (encoded([0], ["a", "b"]), encoded([0], ["a", "c"])),
    "orders of dictionaries": (encoded([0], ["a", "b"]), encoded([1], ["b", "a"])),
    "ordered dictionaries": (encoded([0], ["a"]), encoded([0], ["a"], ordered=True)),
    "a missing index and an index of nothing": (
        encoded([None], pa.array(["a", None])),
        encoded([1], pa.array(["a", None])),
    ),
    "runs": (pc.run_end_encode(pa.array([1, 1])), pc.run_end_encode(pa.array([1, 2]))),
    "runs and plain": (pc.run_end_encode(pa.array([1, 1])), pa.array([1, 1])),
    "maps": (nested(MAP, [("a", 1)], None), nested(MAP, [("a", 2)], None)),
    "maps, keys": (nested(MAP, [("a", 1)], None), nested(MAP, [("b", 1)], None)),
    "maps, borders": (nested(MAP, [("a", 1)], [("b", 1)]), nested(MAP, [("a", 1), ("b", 1)], [])),
    "lists of a size": (nested(pa.list_(pa.int8(), 2), [1, 2], None), nested(pa.list_(pa.int8(), 2), [1, 3], None)),
    "list views": (nested(pa.list_view(pa.int8()), [1, 2], None), nested(pa.list_view(pa.int8()), [1], None)),
    "unions, codes": (union([0, 1], [1, 2], [1, 2]), union([1, 0], [1, 2], [1, 2])),
    "unions, members": (union([0, 1], [1, 2], ["a", "b"]), union([0, 1], [1, 2], ["a", "c"])),
    "dense unions": (dense([0, 1], [0, 0], [1], ["a"]), dense([0, 1], [0, 0], [2], ["a"])),
    "extensions, values": (tagged("a", 1), tagged("a", 2)),
    "extensions, parameters": (tagged("a", 1), tagged("b", 1)),
    "extensions and storage": (tagged("a", 1), pa.array([1])),
    "chunked and not": (pa.chunked_array([[1]]), pa.array([1])),
    "scalars": (pa.scalar(1.0), pa.scalar(2.0)),
    "scalars, type": (pa.scalar(1, pa.int8()), pa.scalar(1, pa.int16())),
    "scalars, missing": (pa.scalar(None, pa.int8()), pa.scalar(0, pa.int8())),
    "scalars, lists": (pa.scalar([1]), pa.scalar([2])),
    "scalars, unions": (union([0], [1], [1])[0], union([1], [1], [1])[0]),
    "scalars, runs": (pc.run_end_encode(pa.array([1]))[0], pc.run_end_encode(pa.array([2]))[0]),
    "tensors": (pa.Tensor.from_numpy(np.zeros((2, 2))), pa.Tensor.from_numpy(np.eye(2))),
    "names of dimensions": (
        pa.Tensor.from_numpy(np.eye(2), dim_names=["a", "b"]),
        pa.Tensor.from_numpy(np.eye(2), dim_names=["a", "c"]),
    ),
    "types": (pa.int8(), pa.int16()),
    "types of extensions": (Tagged("a"), Tagged("b")),
    "fields": (pa.field("a", pa.int8()), pa.field("a", pa.int8(), nullable=False)),
    "metadata of nested fields": (
        pa.struct([pa.field("a", pa.int8(), metadata={"k": "v"})]),
        pa.struct([pa.field("a", pa.int8(), metadata={"k": "w"})]),
    ),
    "schemas": (pa.schema([("a", pa.int8()), ("b", pa.int8())]), pa.schema([("b", pa.int8()), ("a", pa.int8())])),
    "metadata of schemas": (pa.schema([], {"a": "b"}), pa.schema([], {"a": "c"})),
    "buffers": (pa.py_buffer(b"ab"), pa.py_buffer(b"ac")),
}


@pytest.mark.parametrize("one, other", PAIRS.values(), ids=PAIRS.keys())
def test_different_values_are_captured_differently(one: Any, other: Any) -> None:
    assert differing(capture_tree([one]), capture_tree([one])) == []
    assert differing(capture_tree([one]), capture_tree([other])) != []


@pytest.mark.parametrize("name", [name for name, (one, _) in PAIRS.items() if isinstance(one, pa.Array)])
def test_a_slice_is_captured_like_its_copy(name: str) -> None:
    array: Any = PAIRS[name][0]
    longer = array if _types_of(array) else pa.concat_arrays([array, array, array])
    part = longer.slice(len(array), len(array)) if len(longer) > len(array) else array
    assert differing(capture_tree(array), capture_tree(part)) == []


def _types_of(array: Any) -> bool:
    return pa.types.is_union(array.type) or pa.types.is_run_end_encoded(array.type)


def test_slices_of_unions_and_runs() -> None:
    for make in (lambda: union([0, 1, 0], [1, 2, 3], ["a", "b", "c"]), lambda: pc.run_end_encode(pa.array([1, 2, 2]))):
        assert differing(capture_tree(make().slice(1, 2)), capture_tree(make().slice(1))) == []
        assert differing(capture_tree(make().slice(1, 2)), capture_tree(make().slice(0, 2))) != []
    assert (
        differing(capture_tree(union([0, 1, 0], [1, 2, 3], [4, 5, 6])[1:]), capture_tree(union([1, 0], [0, 3], [5, 0])))
        == []
    )
    whole = dense([0, 1, 0], [0, 0, 1], [1, 2], ["a"])
    assert differing(capture_tree(whole.slice(1)), capture_tree(dense([1, 0], [0, 0], [2], ["a"]))) == []


def test_texts_that_are_no_utf_8() -> None:
    one, other = (pa.array([bytes([code]), b"a"]).view(pa.string()) for code in (0xFF, 0xFE))
    assert differing(capture_tree(one), capture_tree(other)) == ["result/values/values/bytes"]


def type_of(kind: Kind) -> Any:
    if isinstance(kind, str):
        names = {"int64": pa.int64(), "int8": pa.int8(), "float64": pa.float64(), "bool": pa.bool_()}
        return names.get(kind) or {"text": pa.string(), "bytes": pa.binary()}[kind]
    if kind[0] == "list":
        return pa.list_(type_of(kind[1]))
    return pa.struct({name: type_of(inner) for name, inner in kind[1].items()})


@given(near_columns())
def test_columns_are_captured_alike_exactly_if_their_values_are_equal(columns: Columns) -> None:
    kind = type_of(columns.kind)
    one, other = (pa.chunked_array([pa.array(values, kind)]) for values in (columns.one, columns.other))
    assert (differing(capture_tree(one), capture_tree(other)) == []) is columns.are_equal
    chunked = pa.chunked_array([one.chunk(0)[:1], one.chunk(0)[1:], one.chunk(0)[:0]])
    assert differing(capture_tree(one), capture_tree(chunked)) == []
    joined = pa.concat_arrays([one.chunk(0), one.chunk(0)])
    assert differing(capture_tree(one), capture_tree(pa.chunked_array([joined[len(one) :]]))) == []


def test_chunks_with_dictionaries_of_their_own() -> None:
    one = pa.chunked_array([encoded([0, 1], ["a", "b"]), encoded([1], ["a", "b"])])
    other = pa.chunked_array([encoded([0, 1, 1], ["a", "b"])])
    assert differing(capture_tree(one), capture_tree(other)) == []


@pytest.mark.parametrize("name", ["SparseCOOTensor", "SparseCSRMatrix", "SparseCSCMatrix", "SparseCSFTensor"])
def test_sparse_tensors(name: str) -> None:
    def make(*rows: list[float]) -> Any:
        return getattr(pa, name).from_dense_numpy(np.array(rows))

    assert differing(capture_tree(make([1.0, 0], [0, 2])), capture_tree(make([1.0, 0], [0, 2]))) == []
    for other in (make([1.0, 0], [0, 3]), make([0, 1.0], [0, 2]), make([1.0, 0, 0], [0, 2, 0])):
        assert differing(capture_tree(make([1.0, 0], [0, 2])), capture_tree(other)) != []


def test_the_content_of_missing_places_does_not_count() -> None:
    def make(hidden: int) -> Any:
        values = pa.array([1, hidden])
        return pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x01"), values.buffers()[1]])

    assert differing(capture_tree(make(5)), capture_tree(make(6))) == []


def test_a_column_inside_of_another_one_by_its_label() -> None:
    one, other = pa.table({"x": [1], "x/values": [2]}), pa.table({"x": [3], "x/values": [2]})
    assert differing(capture_tree(one), capture_tree(other)) == ["result/data/0:x/values"]


def test_columns_of_one_name() -> None:
    one, other = (pa.Table.from_arrays([pa.array([1]), pa.array([n])], ["a", "a"]) for n in (2, 3))
    assert differing(capture_tree(one), capture_tree(other)) == ["result/data/1:a/values"]


def test_a_later_change_of_the_memory_is_not_seen() -> None:
    memory = np.array([1.0, 2.0])
    kept = capture_tree(pa.array(memory))
    memory[0] = 3.0
    assert differing(kept, capture_tree(pa.array([1.0, 2.0]))) == []


def test_many_long_texts_take_few_leaves() -> None:
    texts = ["a"] * 20_000 + ["b" * 10_000]
    one, other = pa.array(texts), pa.array([*texts[:-1], "b" * 9_999 + "c"])
    assert len(capture_tree(one)) < 10
    assert differing(capture_tree(one), capture_tree(other)) == ["result/values/values/bytes"]


def test_streams_and_datasets_are_rejected_with_the_fix(tmp_path: Any) -> None:
    reader = pa.RecordBatchReader.from_batches(table().schema, table().to_batches())
    with pytest.raises(UnsupportedTypeError, match=r"'rows' .*reader.read_all\(\)"):
        capture_tree({"rows": reader})
    dataset = pytest.importorskip("pyarrow.dataset")
    with pytest.raises(UnsupportedTypeError, match=r"dataset.to_table\(\)"):
        capture_tree(dataset.dataset(table()))


def test_a_table_is_digested_by_its_values() -> None:
    other = table().set_column(1, "name", pa.array(["a", "c", None]))
    assert digest_value(table()) == digest_value(pa.concat_tables([table()[:1], table()[1:]]))
    one, two = digest_value(table()), digest_value(other)
    assert [name for name in one.parts if one.parts[name] != two.parts[name]] == ["['name']"]
    for value in (table()["name"], table()["name"].chunk(0)):
        assert digest_value([value]) != digest_value([value.take(pa.array([1, 0, 2]))])
