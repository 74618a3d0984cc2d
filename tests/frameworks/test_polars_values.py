"""Capture of Polars' frames and series."""

from __future__ import annotations

import datetime
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

pl = pytest.importorskip("polars")


def frame(**columns: Any) -> Any:
    return pl.DataFrame({"price": [1.5, 2.5, None], "name": ["a", "b", None], **columns})


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a label": lambda f: f.rename({"price": "cost"}),
    "the order of columns": lambda f: f.select("name", "price"),
    "the order of rows": lambda f: f.reverse(),
    "a dtype": lambda f: f.with_columns(pl.col("price").cast(pl.Float32)),
    "text as categories": lambda f: f.with_columns(pl.col("name").cast(pl.Categorical)),
    "a text": lambda f: f.with_columns(pl.col("name").replace("b", "c")),
    "a text that is missing": lambda f: f.with_columns(pl.col("name").fill_null("")),
    "a number": lambda f: f.with_columns(pl.col("price") * (1 + 2**-52)),
    "a number that is missing": lambda f: f.with_columns(pl.col("price").fill_null(0)),
    "NaN for a missing number": lambda f: f.with_columns(pl.col("price").fill_null(float("nan"))),
    "a row less": lambda f: f.head(2),
    "a column less": lambda f: f.drop("name"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_each_change_of_a_frame_is_seen(change: Any) -> None:
    assert differing(capture_tree(frame()), capture_tree(frame())) == []
    assert differing(capture_tree(frame()), capture_tree(change(frame()))) != []


def test_a_changed_value_is_named_by_its_column() -> None:
    changed = frame().with_columns(pl.col("price") * 2)
    assert differing(capture_tree({"table": frame()}), capture_tree({"table": changed})) == ["table/data/price/values"]


def series(*values: Any, dtype: Any = None, name: str = "") -> Any:
    return pl.Series(name, values, dtype=dtype, strict=False)


MONDAY = datetime.datetime(2020, 1, 6)

PAIRS: dict[str, tuple[Any, Any]] = {
    "names": (series(1, name="a"), series(1, name="b")),
    "categories": (series("a", dtype=pl.Categorical), series("b", dtype=pl.Categorical)),
    "enum, value": (series("a", dtype=pl.Enum(["a", "b"])), series("b", dtype=pl.Enum(["a", "b"]))),
    "enum, order": (series("a", dtype=pl.Enum(["a", "b"])), series("a", dtype=pl.Enum(["b", "a"]))),
    "enum, unused": (series("a", dtype=pl.Enum(["a", "b"])), series("a", dtype=pl.Enum(["a", "c"]))),
    "decimals": (series(Decimal("1.50")), series(Decimal("1.51"))),
    "scales": (series(Decimal("1.5"), dtype=pl.Decimal(9, 1)), series(Decimal("1.5"), dtype=pl.Decimal(9, 2))),
    "zones": (series(MONDAY).dt.replace_time_zone("UTC"), series(MONDAY).dt.replace_time_zone("Europe/Berlin")),
    "units": (series(MONDAY).dt.cast_time_unit("us"), series(MONDAY).dt.cast_time_unit("ms")),
    "dates": (series(MONDAY.date()), series(datetime.date(2020, 1, 7))),
    "times": (series(datetime.time(1)), series(datetime.time(2))),
    "spans": (series(datetime.timedelta(1)), series(datetime.timedelta(2))),
    "widths": (series(1, 2, dtype=pl.Int64), series(1, 2, dtype=pl.Int32)),
    "128 bits": (series(2**100, dtype=pl.Int128), series(2**100 + 1, dtype=pl.Int128)),
    "signs of zero": (series(0.0), series(-0.0)),
    "nothing": (series(None, dtype=pl.Null), series(None, None, dtype=pl.Null)),
    "nothing of a dtype": (series(None, dtype=pl.Int8), series(None, dtype=pl.Int16)),
    "arrays": (series([1, 2], dtype=pl.Array(pl.Int8, 2)), series([1, 3], dtype=pl.Array(pl.Int8, 2))),
    "a missing array": (series([None, None], dtype=pl.Array(pl.Int8, 2)), series(None, dtype=pl.Array(pl.Int8, 2))),
    "sizes of empty arrays": (series(dtype=pl.Array(pl.Int8, 2)), series(dtype=pl.Array(pl.Int8, 3))),
    "an empty and a missing list": (series([], dtype=pl.List(pl.Int8)), series(None, dtype=pl.List(pl.Int8))),
    "borders of lists": (series([1], [2, 3]), series([1, 2], [3])),
    "items of empty lists": (series([], dtype=pl.List(pl.Int8)), series([], dtype=pl.List(pl.Int16))),
    "a missing and an empty struct": (series(None, dtype=pl.Struct({"a": pl.Int8})), series({"a": None})),
    "fields": (series({"a": 1, "b": 2}), series({"b": 2, "a": 1})),
    "objects": (series([1], dtype=pl.Object), series([2], dtype=pl.Object)),
    "long texts": (series("a" * 999 + "b", "c"), series("a" * 999 + "c", "c")),
    "texts that end in zero": (series("a\0"), series("a")),
    "bytes": (series(b"a\0"), series(b"a")),
    "dtypes": (pl.Int8, pl.Int16),
    "dtypes with parameters": (pl.List(pl.Int8), pl.List(pl.Int16)),
}


if hasattr(pl, "Categories"):  # since Polars 1.31
    PAIRS["categories of a name"] = (
        series("a", dtype=pl.Categorical(pl.Categories("one"))),
        series("a", dtype=pl.Categorical(pl.Categories("other"))),
    )


@pytest.mark.parametrize("one, other", PAIRS.values(), ids=PAIRS.keys())
def test_different_values_are_captured_differently(one: Any, other: Any) -> None:
    again = one.clone() if hasattr(one, "clone") else one
    assert differing(capture_tree([one]), capture_tree([again])) == []
    assert differing(capture_tree([one]), capture_tree([other])) != []


def dtype_of(kind: Kind) -> Any:
    if isinstance(kind, str):
        names = {"int64": pl.Int64, "int8": pl.Int8, "float64": pl.Float64, "bool": pl.Boolean}
        return names.get(kind) or {"text": pl.String, "bytes": pl.Binary}[kind]
    if kind[0] == "list":
        return pl.List(dtype_of(kind[1]))
    return pl.Struct({name: dtype_of(inner) for name, inner in kind[1].items()})


@given(near_columns())
def test_columns_are_captured_alike_exactly_if_their_values_are_equal(columns: Columns) -> None:
    one, other = (pl.Series(values, dtype=dtype_of(columns.kind)) for values in (columns.one, columns.other))
    assert (differing(capture_tree(one), capture_tree(other)) == []) is columns.are_equal
    chunked = pl.concat([one[:1], one[1:]], rechunk=False)
    assert differing(capture_tree(one), capture_tree(chunked)) == []
    assert differing(capture_tree(one), capture_tree(pl.concat([one, one]).tail(len(one)))) == []


@pytest.mark.skipif(not hasattr(pl, "Map"), reason="Polars 2 has maps")
def test_maps() -> None:
    dtype = pl.Map(pl.String, pl.Int64)
    one, other = series({"k": 1}, None, dtype=dtype), series({"k": 2}, None, dtype=dtype)
    assert differing(capture_tree(one), capture_tree(one.clone())) == []
    assert differing(capture_tree(one), capture_tree(other)) == ["result/values/items/fields/value/values"]


def test_a_category_is_captured_by_its_text_whatever_was_seen_before() -> None:
    one = capture_tree(series("unseen 1", dtype=pl.Categorical))
    series("unseen 2", "unseen 3", dtype=pl.Categorical)
    first = capture_tree(series("unseen 3", "unseen 2", dtype=pl.Categorical))
    again = capture_tree(series("unseen 2", "unseen 3", dtype=pl.Categorical).reverse())
    assert differing(first, again) == []
    assert differing(one, first) != []


def test_a_column_inside_of_another_one_by_its_label() -> None:
    one = pl.DataFrame({"x": [1], "x/values": [2]})
    assert differing(capture_tree(one), capture_tree(one.with_columns(pl.col("x") + 2))) == ["result/data/0:x/values"]


def test_a_later_change_of_the_memory_is_not_seen() -> None:
    memory = np.array([1.0, 2.0])
    shared = pl.Series(memory)
    kept = capture_tree(shared)
    memory[0] = 3.0
    assert differing(kept, capture_tree(pl.Series([1.0, 2.0]))) == []


def test_a_query_is_rejected_with_the_fix() -> None:
    with pytest.raises(UnsupportedTypeError, match=r"'table' .*LazyFrame.*return frame.collect\(\)"):
        capture_tree({"table": frame().lazy()})
    with pytest.raises(UnsupportedTypeError, match=r"frame.select\(expression\)"):
        capture_tree(pl.col("a"))


def test_a_frame_is_digested_by_its_values() -> None:
    other = frame().with_columns(pl.col("price") * 2)
    assert digest_value(frame()) == digest_value(frame())
    one, two = digest_value(frame()), digest_value(other)
    assert [name for name in one.parts if one.parts[name] != two.parts[name]] == ["['price']"]
    assert digest_value([frame()["name"]]) != digest_value([frame()["name"].reverse()])


class ShowsAnother(pl.DataFrame):  # type: ignore[misc]
    def get_columns(self) -> Any:
        return [pl.Series("a", [0])]


class ShowsAnotherSeries(pl.Series):  # type: ignore[misc]
    def rechunk(self, **options: Any) -> Any:
        return pl.Series("a", [0])


def frame_with_note(value: int) -> Any:
    made = pl.DataFrame({"a": [1]})
    made.note = value
    return made


@pytest.mark.parametrize(
    "make", [lambda x: ShowsAnother({"a": [x]}), lambda x: ShowsAnotherSeries("a", [x]), frame_with_note]
)
def test_what_a_class_overrides_or_hides_counts_all_the_same(make: Callable[[int], Any]) -> None:
    assert not differing(capture_tree({"a": make(1)}), capture_tree({"a": make(1)}))
    assert differing(capture_tree({"a": make(1)}), capture_tree({"a": make(2)}))
