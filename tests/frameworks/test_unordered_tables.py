"""Tables compared as multisets of rows."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.comparing import compare
from pytest_repro.errors import UsageError
from pytest_repro.model import Tolerance, Verdict
from tests.frameworks import test_arrow_values, test_polars_values
from tests.frameworks.columns import Columns, Kind, key_of, near_columns

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

ANY_ORDER = Tolerance(rows="unordered")


def polars(kind: Kind, values: list[Any]) -> Any:
    ids = pl.Series(range(len(values)), dtype=pl.Int64) * 0
    return pl.DataFrame({"id": ids, "x": pl.Series(values, dtype=test_polars_values.dtype_of(kind))})


def arrow(kind: Kind, values: list[Any]) -> Any:
    return pa.table({"x": pa.array(values, test_arrow_values.type_of(kind))})


def arrow_in_pandas(kind: Kind, values: list[Any]) -> Any:
    column = pd.arrays.ArrowExtensionArray(pa.array(values, test_arrow_values.type_of(kind)))
    return pd.DataFrame({"x": pd.Series(column)})


@pytest.mark.parametrize("make", [polars, arrow, arrow_in_pandas])
@given(near_columns(), st.data())
def test_rows_are_allowed_exactly_if_they_are_a_permutation(make: Any, columns: Columns, data: Any) -> None:
    rows, kind = columns.one, columns.kind
    order = data.draw(st.permutations(range(len(rows))))
    shuffled, near = ([side[i] for i in order] for side in (rows, columns.other))
    found = compare(make(kind, shuffled), make(kind, rows), ANY_ORDER)
    assert found.is_identical is (key_of(shuffled) == key_of(rows))
    assert bool(found)
    assert bool(compare(make(kind, near), make(kind, rows), ANY_ORDER)) is columns.are_equal


MONDAY = datetime.datetime(2020, 1, 6)
COLUMNS: dict[str, Any] = {
    "numbers": lambda: [1.5, 2.5, np.nan],
    "texts": lambda: ["a", "b", "c"],
    "objects": lambda: pd.Series([1, "a", None], dtype=object),
    "long texts": lambda: ["a", "b" * 99, ""],
    "masked": lambda: pd.array([1, None, 3], dtype="Int64"),
    "booleans": lambda: pd.array([True, None, False], dtype="boolean"),
    "strings": lambda: pd.array(["a", None, "b"], dtype="string"),
    "categories": lambda: pd.Categorical(["a", "b", None]),
    "moments": lambda: pd.DatetimeIndex([MONDAY, MONDAY + datetime.timedelta(1), None], tz="UTC"),
    "spans": lambda: pd.to_timedelta([1, 2, 3]),
    "periods": lambda: pd.PeriodIndex(["2020-01", "2020-02", "2020-03"], freq="M"),
    "intervals": lambda: pd.IntervalIndex.from_breaks([0, 1, 2, 3]),
    "dictionaries": lambda: pd.Series(pd.arrays.ArrowExtensionArray(pa.array(["a", "b", "a"]).dictionary_encode())),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS.keys())
def test_each_kind_of_column_of_pandas(column: Any) -> None:
    frame = pd.DataFrame({"id": [1, 2, 3], "x": column()})
    shuffled = frame.iloc[[2, 0, 1]].reset_index(drop=True)
    found = compare(shuffled, frame, ANY_ORDER)
    assert found.verdict is Verdict.WITHIN_TOLERANCE
    assert [difference.artifact for difference in found.differences] == ["result"]
    mixed = shuffled.assign(x=frame["x"])
    assert compare(mixed, frame, ANY_ORDER).verdict is Verdict.DIVERGED, "each cell occurs, but in other rows"


def test_an_index_with_labels_is_part_of_the_rows() -> None:
    frame = pd.DataFrame({"x": [1, 2, 3]}, index=["a", "b", "c"])
    assert compare(frame[::-1], frame, ANY_ORDER).verdict is Verdict.WITHIN_TOLERANCE
    assert compare(frame[::-1].set_axis(["a", "b", "c"]), frame, ANY_ORDER).verdict is Verdict.DIVERGED
    levels = frame.set_axis(pd.MultiIndex.from_tuples([(1, "a"), (1, "b"), (2, "a")]))
    assert compare(levels[::-1], levels, ANY_ORDER).verdict is Verdict.WITHIN_TOLERANCE
    assert compare(levels[::-1].set_axis(levels.index), levels, ANY_ORDER).verdict is Verdict.DIVERGED


def table(order: Any = (0, 1, 2)) -> Any:
    rows = [(1, "a", [1]), (2, "b", []), (3, "c", None)]
    return pl.DataFrame([rows[i] for i in order], schema=["n", "name", "items"], orient="row")


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a label": lambda t: t.rename({"n": "m"}),
    "the order of columns": lambda t: t.select("name", "n", "items"),
    "a dtype": lambda t: t.with_columns(pl.col("n").cast(pl.Int32)),
    "a row less": lambda t: t.head(2),
    "a row more": lambda t: pl.concat([t, t.head(1)]),
    "a value": lambda t: t.with_columns(pl.col("n") + (pl.col("n") == 2)),
    "a missing value": lambda t: t.with_columns(pl.col("name").replace("b", None)),
    "a missing list": lambda t: t.with_columns(pl.col("items").fill_null([])),
    "two columns against each other": lambda t: t.with_columns(pl.col("n").reverse()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_each_change_of_a_table_is_seen(change: Any) -> None:
    assert compare(table((2, 0, 1)), table(), ANY_ORDER).verdict is Verdict.WITHIN_TOLERANCE
    assert compare(change(table((2, 0, 1))), table(), ANY_ORDER).verdict is Verdict.DIVERGED


def test_the_row_without_a_match_is_shown() -> None:
    other = table((2, 0, 1)).with_columns(pl.col("n") * pl.when(pl.col("n") == 2).then(7).otherwise(1))
    (difference,) = compare({"t": other}, {"t": table()}, {"t": ANY_ORDER}).divergences
    assert (difference.artifact, difference.elements, difference.over) == ("t", 3, 1)
    assert difference.actual.startswith("row 2: n=14, name='b'")
    assert difference.expected.startswith("row 1: n=2, name='b'")


def test_fields_and_columns_may_have_the_names_of_parts() -> None:
    names = ["missing", "name", "lengths", "items", "codes", "categories", "values", "data", "index", "x/values", "x"]
    frame = pl.DataFrame({name: [1, 2, 3] for name in names})
    frame = frame.with_columns(pl.struct(names).alias("all"))
    assert compare(frame[::-1], frame, ANY_ORDER).verdict is Verdict.WITHIN_TOLERANCE
    for name in names:
        field = pl.col("all").struct.with_fields(pl.field(name).reverse())
        assert compare(frame.with_columns(field), frame, ANY_ORDER).verdict is Verdict.DIVERGED
        assert compare(frame.with_columns(pl.col(name).reverse()), frame, ANY_ORDER).verdict is Verdict.DIVERGED


def test_a_glob_names_the_whole_table() -> None:
    one, other = {"t": table()}, {"t": table((2, 1, 0))}
    for pattern in ("t", "t*", "*"):
        assert compare(other, one, {pattern: ANY_ORDER}).verdict is Verdict.WITHIN_TOLERANCE
    with pytest.raises(UsageError, match=r"'t/\*' .* whole table"):
        compare(other, one, {"t/*": ANY_ORDER})


def test_a_column_without_rows_is_rejected() -> None:
    frame = pd.DataFrame({"x": pd.arrays.SparseArray([0, 1, 2])})
    with pytest.raises(UsageError, match=r"'result/data/x' .*dense column"):
        compare(frame[::-1].reset_index(drop=True), frame, ANY_ORDER)


def test_a_batch_and_a_table_of_arrow_with_metadata() -> None:
    one = pa.table({"x": [1, 2]}, metadata={"a": "b"})
    assert compare(one.take([1, 0]), one, ANY_ORDER).verdict is Verdict.WITHIN_TOLERANCE
    other = one.take([1, 0]).replace_schema_metadata({"a": "c"})
    assert [d.artifact for d in compare(other, one, ANY_ORDER).divergences] == ["result/metadata/b'a'"]
    batch = one.to_batches()[0]
    assert compare(batch.take(pa.array([1, 0])), batch, ANY_ORDER).verdict is Verdict.WITHIN_TOLERANCE
    assert compare(batch, one, ANY_ORDER).verdict is Verdict.DIVERGED


def test_columns_of_one_name_and_no_columns() -> None:
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=["x", "x"])
    assert compare(frame[::-1].reset_index(drop=True), frame, ANY_ORDER).verdict is Verdict.WITHIN_TOLERANCE
    empty = pl.DataFrame({"x": []})
    assert compare({"n": 1, "t": empty}, {"n": 1, "t": empty.clone()}, ANY_ORDER).is_identical
    assert compare(pd.DataFrame(index=[1, 2]), pd.DataFrame(index=[2, 1]), ANY_ORDER)


def test_a_table_that_differs_in_order_alone_is_told() -> None:
    found = compare({"t": table((2, 1, 0))}, {"t": table()})
    assert found.verdict is Verdict.DIVERGED
    notes = [difference.note for difference in found.differences if difference.note]
    advice = 'sort them, or allow it by tolerance={"t": Tolerance(rows="unordered")}'
    assert notes == [f"the table has the same rows in another order: {advice}"]
    other = table((2, 1, 0)).with_columns(pl.col("n") + 1)
    assert not any(difference.note for difference in compare({"t": other}, {"t": table()}).differences)
    sparse = pd.DataFrame({"x": pd.arrays.SparseArray([0, 1, 2])})
    assert compare(sparse[::-1].reset_index(drop=True), sparse).verdict is Verdict.DIVERGED
