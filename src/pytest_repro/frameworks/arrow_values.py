"""PyArrow's arrays, tables and scalars: types, values and missing values, however they are stored in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pytest_repro.frameworks.base_values import Branch, Captured, Handler, NotComparableError, Reader, make_fresh
from pytest_repro.frameworks.columns import (
    CAPTURED_READERS,
    capture_column,
    capture_labels,
    capture_texts,
    join_bytes,
    name_columns,
    read_table,
    without_missing,
)
from pytest_repro.frameworks.numpy_values import capture_array
from pytest_repro.model import Leaf

_types = pa.types


def capture_table(table: pa.Table | pa.RecordBatch) -> Branch:
    """Capture a table or a batch by its schema, its metadata, and each column's values."""
    schema = table.schema
    columns = [_capture_field(table.column(i), schema.field(i)) for i in range(table.num_columns)]
    data = Branch("columns", list(zip(name_columns(schema.names), columns, strict=True)))
    children: list[tuple[str, Any]] = [("columns", capture_labels(schema.names)), ("data", data)]
    if schema.metadata is not None:
        children.append(("metadata", dict(schema.metadata)))
    return Branch(type(table).__name__, children, (("shape", str(table.shape)),))


def _capture_field(column: Any, field: pa.Field) -> Branch:
    branch = capture_values(column)
    branch.traits = (*branch.traits, ("nullable", str(field.nullable)))
    if field.metadata is not None:
        branch.children = [*branch.children, ("metadata", dict(field.metadata))]
    return branch


def capture_array_of_arrow(array: pa.Array) -> Branch:
    """Capture an array."""
    return Branch(type(array).__name__, [("values", capture_values(array))])


def capture_chunked(array: pa.ChunkedArray) -> Branch:
    """Capture a chunked array, wherever its chunks begin."""
    return Branch(type(array).__name__, [("values", capture_values(array))])


def capture_scalar(scalar: pa.Scalar) -> Branch:
    """Capture a scalar as an array of one element."""
    try:
        array = pa.array([scalar], scalar.type)
    except pa.ArrowException:  # of a union or of runs
        array = None
    value = scalar.value if array is None else capture_values(array)
    traits = [("type", describe_type(scalar.type))]
    if isinstance(scalar, pa.UnionScalar):
        traits.append(("code", str(scalar.type_code)))
    return Branch(type(scalar).__name__, [("value", value)], tuple(traits))


def capture_values(array: pa.Array | pa.ChunkedArray) -> Branch:
    """Capture a column by its missing places and its other values.

    Notes
    -----
    Chunks, offsets and the content of missing places are not part of the value, nor is the split of a column into
    runs of equal elements. A dictionary is part of it, with its order and with elements that no index names.
    """
    if isinstance(array, pa.ChunkedArray):
        array = _join_chunks(array)
    kind = array.type
    missing = np.array(array.is_null().to_numpy(zero_copy_only=False), dtype=bool)
    return capture_column("column", describe_type(kind), missing, _capture_parts(array, kind, missing))


def _join_chunks(array: pa.ChunkedArray) -> pa.Array:
    if _types.is_dictionary(array.type):
        array = array.unify_dictionaries()
    wider = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}.get(array.type)
    if wider is not None and array.nbytes > 2**30:  # the offsets of one array might not fit into 32 bits
        array = array.cast(wider)
    joined = array.combine_chunks()
    if not isinstance(joined, pa.ChunkedArray):
        return joined
    if joined.num_chunks != 1:
        raise NotComparableError(f"its chunks do not fit into one array of {array.type}; cast it to a larger type")
    return joined.chunk(0)


def _capture_parts(array: pa.Array, kind: pa.DataType, missing: np.ndarray[Any, Any]) -> list[tuple[str, Any]]:
    if _types.is_null(kind):
        return []
    if isinstance(kind, pa.BaseExtensionType):
        return [("storage", capture_values(array.storage))]
    if _types.is_dictionary(kind):
        return [("indices", capture_values(array.indices)), ("dictionary", capture_values(array.dictionary))]
    if _types.is_run_end_encoded(kind):
        return [("values", capture_values(pc.run_end_decode(array)))]
    if kind.num_fields:
        return _capture_nested(array, kind)
    if _types.is_boolean(kind):
        filled = array.fill_null(False) if missing.any() else array
        return [("values", make_fresh(capture_array(np.array(filled.to_numpy(zero_copy_only=False)))))]
    if _types.is_fixed_size_binary(kind) or _types.is_primitive(kind) or _types.is_decimal(kind):
        return [("values", _capture_fixed(array, kind, missing))]
    return [("values", _capture_text(array, kind))]


def _capture_fixed(array: pa.Array, kind: pa.DataType, missing: np.ndarray[Any, Any]) -> Captured:
    """Capture elements of equal width from their buffer, so that each bit of a NaN counts."""
    width = kind.bit_width // 8
    is_number = _types.is_integer(kind) or _types.is_floating(kind)
    if is_number:
        dtype = np.dtype(kind.to_pandas_dtype())
    elif width in (4, 8) and not _types.is_decimal(kind):
        dtype = np.dtype(f"i{width}")  # moments and spans, in the unit that the type names
    else:
        dtype = np.dtype((np.uint8, (width,)))
    buffer = array.buffers()[1]
    if buffer is None or not len(array) or not width:
        data: np.ndarray[Any, Any] = np.zeros((len(array), *dtype.shape), dtype.base)
    else:
        start = array.offset * width
        raw = np.frombuffer(buffer, np.uint8)[start : start + len(array) * width]
        data = raw.view(dtype.base).reshape(len(array), *dtype.shape)
    return without_missing(data, missing.reshape(-1, *[1] * (data.ndim - 1)))


def _capture_text(array: pa.Array, kind: pa.DataType) -> Captured:
    if not str(kind).startswith(("string", "binary", "large_")):
        raise NotComparableError(f"the type {kind} of a column is unknown; cast it to one that Arrow defines itself")
    is_text = "string" in str(kind)
    plain = array.cast(pa.large_string() if is_text else pa.large_binary())
    if plain.null_count:
        plain = plain.fill_null("" if is_text else b"")
    try:
        return capture_texts(plain.to_numpy(zero_copy_only=False))
    except (pa.ArrowException, UnicodeError):  # bytes that are no UTF-8
        return join_bytes(plain.cast(pa.large_binary()).to_pylist())


def _capture_nested(array: pa.Array, kind: pa.DataType) -> list[tuple[str, Any]]:
    """Capture the rows that are not missing: their lengths, and the items of all in a row, or each field."""
    if _types.is_union(kind):
        codes = _read_union(array, 1, np.int8)
        return [("codes", codes), ("fields", Branch("fields", list(_pick_members(array, kind, codes))))]
    present = array.filter(array.is_valid())
    if _types.is_struct(kind):
        labels = name_columns([field.name for field in kind])
        return [("fields", Branch("fields", list(zip(labels, map(capture_values, present.flatten()), strict=True))))]
    if _types.is_map(kind):  # filtered, so that its keys begin with those of the first row
        lengths = np.zeros(len(array), np.int64)
        lengths[array.is_valid().to_numpy(zero_copy_only=False)] = np.diff(present.offsets.to_numpy())
        keys, items = capture_values(present.keys), capture_values(present.items)
        return [("lengths", lengths), ("items", Branch("fields", [("key", keys), ("value", items)]))]
    items = capture_values(present.flatten())
    if _types.is_fixed_size_list(kind):
        return [("items", items)]
    lengths = array.value_lengths().fill_null(0).to_numpy().astype(np.int64)
    return [("lengths", lengths), ("items", items)]


def _read_union(array: pa.Array, buffer: int, dtype: type) -> np.ndarray[Any, Any]:
    # From memory: the properties `type_codes` and `offsets` of a slice begin where the whole array begins.
    found = array.buffers()[buffer]
    whole: np.ndarray[Any, Any] = (
        np.frombuffer(found, dtype) if found is not None and found.size else np.zeros(0, dtype)
    )
    return whole[array.offset : array.offset + len(array)]


def _pick_members(array: pa.Array, kind: pa.DataType, codes: np.ndarray[Any, Any]) -> Iterator[tuple[str, Branch]]:
    """Yield the elements that come from each member of a union."""
    labels = name_columns([kind.field(i).name for i in range(kind.num_fields)])
    for i, label in enumerate(labels):
        chosen = codes == kind.type_codes[i]
        member = array.field(i)
        if kind.mode == "dense":
            yield label, capture_values(member.take(pa.array(_read_union(array, 2, np.int32)[chosen])))
        else:
            yield label, capture_values(member.filter(pa.array(chosen)))


def describe_type(kind: pa.DataType) -> str:
    """Describe a type with what its own text leaves out: extensions, and the metadata of fields."""
    return "; ".join([str(kind), *_describe_parts(kind, "")])


def _describe_parts(kind: pa.DataType, path: str) -> Iterator[str]:
    if isinstance(kind, pa.BaseExtensionType):
        parameters = kind.__arrow_ext_serialize__() if hasattr(kind, "__arrow_ext_serialize__") else b""
        yield f"{path}{kind.extension_name} {parameters!r} of {describe_type(kind.storage_type)}"
        return
    if _types.is_dictionary(kind):
        yield from _describe_parts(kind.value_type, f"{path}dictionary.")
    for i in range(kind.num_fields):
        field = kind.field(i)
        if field.metadata:
            yield f"{path}{field.name} metadata {sorted(field.metadata.items())!r}"
        yield from _describe_parts(field.type, f"{path}{field.name}.")


def capture_field(field: pa.Field) -> Branch:
    """Capture a field of a schema."""
    children = [("name", field.name), ("type", field.type), ("metadata", field.metadata)]
    return Branch(type(field).__name__, children, (("nullable", str(field.nullable)),))


def capture_schema(schema: pa.Schema) -> Branch:
    """Capture a schema by its fields in order, and its metadata."""
    fields = [(label, schema.field(i)) for i, label in enumerate(name_columns(schema.names))]
    children = [("columns", capture_labels(schema.names)), ("fields", Branch("fields", fields))]
    return Branch(type(schema).__name__, [*children, ("metadata", schema.metadata)])


def capture_tensor(tensor: pa.Tensor) -> Branch:
    """Capture a tensor by its elements and the names of its dimensions."""
    children = [("values", tensor.to_numpy()), ("dim_names", list(tensor.dim_names))]
    return Branch(type(tensor).__name__, children, (("type", str(tensor.type)),))


def capture_sparse(tensor: Any) -> Branch:
    """Capture a sparse tensor as stored."""
    children = [("parts", tensor.to_numpy()), ("dim_names", list(tensor.dim_names))]
    return Branch(type(tensor).__name__, children, (("type", str(tensor.type)), ("shape", str(tensor.shape))))


def capture_buffer(buffer: pa.Buffer) -> Branch:
    """Capture a buffer by its bytes."""
    return Branch(type(buffer).__name__, [("bytes", np.frombuffer(buffer, np.uint8) if buffer.size else b"")])


def refuse_reader(reader: Any) -> Branch:
    """Reject a stream of batches, which can be read once."""
    raise NotComparableError("reading it would exhaust it; return reader.read_all()")


def _refuse_dataset(dataset: Any) -> Branch:
    raise NotComparableError("it names files that were not read; return dataset.to_table()")


HANDLERS: dict[type, Handler] = {
    pa.Table: capture_table,
    pa.RecordBatch: capture_table,
    pa.Array: capture_array_of_arrow,
    pa.ChunkedArray: capture_chunked,
    pa.Scalar: capture_scalar,
    pa.Tensor: capture_tensor,
    **dict.fromkeys([pa.SparseCOOTensor, pa.SparseCSRMatrix, pa.SparseCSCMatrix, pa.SparseCSFTensor], capture_sparse),
    pa.Schema: capture_schema,
    pa.Field: capture_field,
    pa.DataType: lambda kind: Leaf("value", describe_type(kind), type(kind).__name__, "str"),
    pa.Buffer: capture_buffer,
    pa.RecordBatchReader: refuse_reader,
}


def _cut(value: Any, rows: int) -> Any:
    return value.slice(0, rows)


READERS: dict[type, Reader] = {
    **CAPTURED_READERS,
    pa.Table: read_table(capture_table, _cut),
    pa.RecordBatch: read_table(capture_table, _cut),
    pa.Array: read_table(capture_array_of_arrow, _cut),
    pa.ChunkedArray: read_table(capture_chunked, _cut),
}


def find_by_protocol(kind: type) -> Handler | None:
    """Find datasets and scanners by name, so that ``pyarrow.dataset`` is not imported for them."""
    is_query = kind.__module__ == "pyarrow._dataset" and hasattr(kind, "to_table")
    return _refuse_dataset if is_query else None
