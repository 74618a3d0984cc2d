"""Polars' frames and series: labels, dtypes, values and missing values, however they are stored in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from pytest_repro.frameworks.attributes import read_dict
from pytest_repro.frameworks.base_values import Branch, Captured, Handler, NotComparableError, Reader, text_leaf
from pytest_repro.frameworks.columns import (
    CAPTURED_READERS,
    capture_column,
    capture_labels,
    capture_texts,
    name_columns,
    read_table,
    without_missing,
)


def capture_frame(frame: pl.DataFrame) -> Branch:
    """Capture a frame by its columns' labels, in order, and each column's values."""
    plain = frame if type(frame) is pl.DataFrame else pl.DataFrame._from_pydf(frame._df)
    columns = zip(name_columns(plain.columns), plain.get_columns(), strict=True)
    data = Branch("columns", [(label, capture_values(column)) for label, column in columns])
    children = [("columns", capture_labels(plain.columns)), ("data", data), *_additions_of(frame, pl.DataFrame)]
    return Branch(type(frame).__name__, children, (("shape", str(plain.shape)),))


def _additions_of(value: Any, kind: type) -> list[tuple[str, Any]]:
    """Return the attributes that were set on a frame or series of Polars' own class."""
    if type(value) is not kind:
        return []  # whose additions are found with the handler of a subclass
    return [(f".{name}", part) for name, part in read_dict(value) if name not in ("_df", "_s", "_accessors")]


def capture_series(series: pl.Series) -> Branch:
    """Capture a series by its name and values."""
    plain = series if type(series) is pl.Series else pl.Series._from_pyseries(series._s)
    children = [("name", plain.name), ("values", capture_values(plain)), *_additions_of(series, pl.Series)]
    return Branch(type(series).__name__, children)


def capture_values(series: pl.Series) -> Branch:
    """Capture a column by its missing places and its other values.

    Notes
    -----
    Chunks and the flags of sorted columns are not part of the value. NaN is a value, and not a missing one.
    """
    dtype = series.dtype
    missing = series.is_null().to_numpy()
    parts = [] if dtype == pl.Null else _capture_parts(series.rechunk(), dtype, missing)
    return capture_column(type(dtype).__name__, repr(dtype), missing, parts)


def _capture_parts(series: pl.Series, dtype: Any, missing: np.ndarray[Any, Any]) -> list[tuple[str, Any]]:
    if dtype == pl.Object:
        elements = [(str(i), element) for i, element in enumerate(series.to_list())]
        return [("values", Branch("elements", elements, whole=False))]
    if dtype.is_nested():
        return _capture_nested(series, dtype)
    if getattr(dtype, "is_extension", bool)():
        return [("storage", capture_values(series.ext.storage()))]
    if isinstance(dtype, pl.Enum):
        # The order of the categories is part of the dtype: it decides how rows are sorted.
        return [("values", _capture_text(series)), ("categories", capture_labels(dtype.categories.to_list()))]
    if isinstance(dtype, (pl.String, pl.Categorical, pl.Binary, pl.Decimal)) or "128" in type(dtype).__name__:
        # Categories by their text: their codes depend on what the process has seen before.
        return [("values", _capture_text(series))]
    if dtype.is_numeric() or dtype.is_temporal() or dtype == pl.Boolean:
        plain = series.to_physical()
        filled = plain.fill_null(False if dtype == pl.Boolean else 0) if missing.any() else plain
        return [("values", without_missing(filled.to_numpy(), missing))]
    raise NotComparableError(f"the dtype {dtype!r} of a column is unknown; cast it to one that Polars defines itself")


def _capture_text(series: pl.Series) -> Captured:
    # 128 bits and decimals too: NumPy has no such dtypes.
    is_bytes = series.dtype == pl.Binary
    if "128" in type(series.dtype).__name__:
        filled: list[Any] = ["" if number is None else str(number) for number in series.to_list()]
    else:
        plain = series if is_bytes else series.cast(pl.String)
        filled = plain.fill_null(b"" if is_bytes else "").to_list()
    texts = np.empty(len(filled), dtype=object)
    texts[:] = filled
    return capture_texts(texts)


def _capture_nested(series: pl.Series, dtype: Any) -> list[tuple[str, Any]]:
    """Capture the rows that are not missing: their lengths, and the items of all in a row, or each field."""
    if isinstance(dtype, pl.Struct):
        present = series.drop_nulls()
        labels = [field.name for field in dtype.fields]
        fields = [(path, _field(present, label)) for path, label in zip(name_columns(labels), labels, strict=True)]
        return [("fields", Branch("fields", fields))]
    if isinstance(dtype, pl.Array):
        return [("items", capture_values(series.drop_nulls().explode()))]
    if not isinstance(dtype, pl.List):  # a map
        series = series.to_physical()
        if not isinstance(series.dtype, pl.List):
            raise NotComparableError(f"the dtype {dtype!r} of a column is unknown; cast it to a list or a struct")
    lengths = series.list.len().fill_null(0)
    # Empty lists are left out, because exploding one gives a missing item.
    items = series.filter(lengths > 0).explode()
    return [("lengths", lengths.cast(pl.Int64).to_numpy()), ("items", capture_values(items))]


def _field(series: pl.Series, label: str) -> Branch:
    return capture_values(series.struct.field(label))


def refuse_lazy(frame: pl.LazyFrame) -> Branch:
    """Reject a lazy frame, which is a query and not yet a result."""
    raise NotComparableError("a lazy frame is a query that has not run; return frame.collect()")


def refuse_expression(expression: pl.Expr) -> Branch:
    """Reject an expression."""
    raise NotComparableError("an expression is code; return the column that it computes: frame.select(expression)")


HANDLERS: dict[type, Handler] = {
    pl.DataFrame: capture_frame,
    pl.Series: capture_series,
    pl.LazyFrame: refuse_lazy,
    pl.Expr: refuse_expression,
    pl.DataType: text_leaf,
    type(pl.Int64): text_leaf,  # a dtype without parameters is its class
}

READERS: dict[type, Reader] = {
    **CAPTURED_READERS,
    pl.DataFrame: read_table(capture_frame, pl.DataFrame.head),
    pl.Series: read_table(capture_series, pl.Series.head),
}
