"""Capture of pandas' frames, series and indexes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.capturing import capture_tree
from pytest_repro.capturing.live import digest_value
from pytest_repro.comparing import compare
from tests.unit.capturing.helpers import Case, assert_captures, differing

pd = pytest.importorskip("pandas")
from pytest_repro.frameworks import pandas_values


def frame(**columns: Any) -> Any:
    return pd.DataFrame({"price": [1.5, 2.5, np.nan], "name": ["a", "b", "c"], **columns})


def test_a_frame_has_its_index_labels_and_columns() -> None:
    def change(value: Any) -> None:
        value.loc[1, "price"] = np.nextafter(2.5, 3)

    assert_captures(Case(frame, change), "result/data/price")
    assert "result/index/stop" in capture_tree(frame()).names


def test_a_column_may_have_any_label() -> None:
    columns = pd.DataFrame([[1, 2, 3, 4]], columns=["index", "columns", 1, "a/b"])
    found = capture_tree(columns).names
    assert {"result/data/index", "result/data/columns", "result/data/1", "result/data/a/b"} <= set(found)
    doubled = pd.DataFrame([[1, 2]], columns=["x", "x"])
    assert {"result/data/0:x", "result/data/1:x"} <= set(capture_tree(doubled).names)
    inside = pd.DataFrame([[1, 2]], columns=["x", "x/missing"], dtype="Int64")
    assert {"result/data/0:x/missing", "result/data/1:x/missing/missing"} <= set(capture_tree(inside).names)
    alike = pd.DataFrame([[1, 2]], columns=[1, "1"])
    assert {"result/data/0:1", "result/data/1:1"} <= set(capture_tree(alike).names)


def noted(value: Any, **notes: Any) -> Any:
    value.attrs.update(notes)
    return value


class Labelled(pd.DataFrame):
    """A frame with an attribute of its own, as GeoPandas has one."""

    _metadata: ClassVar[list[str]] = ["unit"]

    @property
    def _constructor(self) -> Any:
        return Labelled


def labelled(unit: str) -> Any:
    value = Labelled(frame())
    value.unit = unit
    return value


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a label": lambda f: f.rename(columns={"price": "cost"}),
    "the order of columns": lambda f: f[["name", "price"]],
    "the index": lambda f: f.set_axis([0, 1, 3]),
    "the kind of index": lambda f: f.set_axis([0, 1, 2]),
    "the name of the index": lambda f: f.rename_axis("i"),
    "the name of the columns": lambda f: f.rename_axis("i", axis=1),
    "a dtype": lambda f: f.astype({"price": "float32"}),
    "text as objects": lambda f: f.astype({"name": object}),
    "text as categories": lambda f: f.astype({"name": "category"}),
    "a text": lambda f: f.replace("c", "d"),
    "a missing text": lambda f: f.replace("c", None),
    "a row less": lambda f: f.iloc[:2],
    "notes": lambda f: noted(f, unit="EUR"),
    "duplicate labels": lambda f: f.set_flags(allows_duplicate_labels=False),
    "the sign of NaN": lambda f: f.assign(price=-f["price"].abs() * np.where(f["price"].isna(), 1, -1)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_each_change_of_a_frame_is_seen(change: Any) -> None:
    assert differing(capture_tree(frame()), capture_tree(frame())) == []
    assert differing(capture_tree(frame()), capture_tree(change(frame()))) != []


PAIRS: dict[str, tuple[Any, Any]] = {
    "Int64": (pd.array([1, None, 3], dtype="Int64"), pd.array([1, None, 4], dtype="Int64")),
    "Int64, missing": (pd.array([1, None], dtype="Int64"), pd.array([1, 0], dtype="Int64")),
    "Float32": (pd.array([1.5, None], dtype="Float32"), pd.array([1.5, None], dtype="Float64")),
    "boolean": (pd.array([True, None], dtype="boolean"), pd.array([False, None], dtype="boolean")),
    "string": (pd.array(["a", None], dtype="string"), pd.array(["b", None], dtype="string")),
    "string, missing": (pd.array(["a", None], dtype="string"), pd.array(["a", ""], dtype="string")),
    "categories": (pd.Categorical(["a"], ["a", "b"]), pd.Categorical(["a"], ["a", "c"])),
    "codes": (pd.Categorical(["a"], ["a", "b"]), pd.Categorical(["b"], ["a", "b"])),
    "order": (pd.Categorical(["a"], ordered=True), pd.Categorical(["a"], ordered=False)),
    "datetimes": (
        pd.date_range("2020", periods=2, freq="D"),
        pd.DatetimeIndex(["2020-01-01", "2020-01-03"], freq=None),
    ),
    "zones": (
        pd.DatetimeIndex(["2020-01-01"], tz="UTC"),
        pd.DatetimeIndex(["2020-01-01"], tz="UTC").tz_convert("Europe/Berlin"),
    ),
    "units": (pd.DatetimeIndex(["2020"]).as_unit("s"), pd.DatetimeIndex(["2020"]).as_unit("ns")),
    "durations": (pd.to_timedelta([1]), pd.to_timedelta([2])),
    "periods": (pd.period_range("2020", periods=2, freq="M"), pd.period_range("2020", periods=2, freq="Q")),
    "intervals": (pd.IntervalIndex.from_breaks([0, 1]), pd.IntervalIndex.from_breaks([0, 1], closed="left")),
    "sparse": (pd.arrays.SparseArray([0, 1]), pd.arrays.SparseArray([1, 0])),
    "sparse, filled": (pd.arrays.SparseArray([0, 1]), pd.arrays.SparseArray([0, 1], fill_value=1)),
    "range": (pd.RangeIndex(3), pd.RangeIndex(0, 3, 2)),
    "levels": (pd.MultiIndex.from_tuples([(1, "a")]), pd.MultiIndex.from_tuples([(1, "b")])),
    "notes": (noted(pd.Series([1]), a=1), noted(pd.Series([1]), a=2)),
    "attributes of a subclass": (labelled("EUR"), labelled("USD")),
    "levels of columns": (
        pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b/c")])),
        pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a/b", "c")])),
    ),
    "an order of duplicate columns": (
        pd.DataFrame([[1, 2]], columns=["x", "x"]),
        pd.DataFrame([[2, 1]], columns=["x", "x"]),
    ),
    "names": (pd.Series([1], name="a"), pd.Series([1], name="b")),
    "instants": (pd.Timestamp("2020-01-01T00:00:00.000000001"), pd.Timestamp("2020-01-01T00:00:00.000000002")),
    "spans": (pd.Timedelta(1, "ns"), pd.Timedelta(2, "ns")),
    "months": (pd.Period("2020-01"), pd.Period("2020-02")),
    "ends": (pd.Interval(0, 1), pd.Interval(0, 1, closed="both")),
    "nothing": (pd.NA, pd.NaT),
    "nothing at all": (pd.NA, None),
    "category dtypes": (pd.CategoricalDtype(["a"]), pd.CategoricalDtype(["b"])),
    "dtypes": (pd.Int64Dtype(), pd.Int32Dtype()),
    "offsets": (pd.offsets.Day(1), pd.offsets.Day(2)),
    "objects": (pd.Series([1, "a", None], dtype=object), pd.Series([1, "a", np.nan], dtype=object)),
    "texts": (pd.Series(["a", "b" * 20], dtype=object), pd.Series(["a", "b" * 19 + "c"], dtype=object)),
    "texts that end in zero": (pd.Series(["a\0"], dtype=object), pd.Series(["a"], dtype=object)),
    "texts of one subclass": (pd.Series([np.str_("a")], dtype=object), pd.Series(["a"], dtype=object)),
}


@pytest.mark.parametrize("one, other", PAIRS.values(), ids=PAIRS.keys())
def test_different_values_are_captured_differently(one: Any, other: Any) -> None:
    assert differing(capture_tree(one), capture_tree(one.copy() if hasattr(one, "copy") else one)) == []
    assert differing(capture_tree(one), capture_tree(other)) != []
    assert differing(capture_tree([one]), capture_tree([other])) != []


def test_masked_elements_do_not_count() -> None:
    def make(hidden: int) -> Any:
        return pd.arrays.IntegerArray(np.array([1, hidden]), np.array([False, True]))

    assert differing(capture_tree(make(5)), capture_tree(make(6))) == []


@pytest.mark.parametrize("dtype", ["Int64", "float64", "boolean", "int8"])
def test_a_later_change_of_a_series_is_not_seen(dtype: str) -> None:
    def change(series: Any) -> None:
        series.iloc[1] = series.iloc[0]

    assert_captures(Case(lambda: pd.Series([1, 0, 1], dtype=dtype), change))


def test_unused_levels_do_not_count() -> None:
    full = pd.MultiIndex.from_product([[1, 2], ["a", "b"]])
    assert differing(capture_tree(full[:2]), capture_tree(full[:2].remove_unused_levels())) == []


def test_a_long_text_among_short_ones_does_not_widen_them_all() -> None:
    column = pd.Series(["a"] * 1000 + ["b" * 100_000], dtype=object)
    leaves = capture_tree(column).leaves
    assert sum(leaf.data.nbytes for leaf in leaves.values() if leaf.form == "array") < 1 << 20


@pytest.mark.parametrize("dtype", ["int64[pyarrow]", "string[pyarrow]", "double[pyarrow]"])
def test_arrow_columns(dtype: str) -> None:
    pytest.importorskip("pyarrow")
    values = ["1", "2", None] if "string" in dtype else [1, 2, None]
    one, other = pd.Series(values, dtype=dtype), pd.Series([values[0], values[0], None], dtype=dtype)
    assert differing(capture_tree(one), capture_tree(one.copy())) == []
    assert differing(capture_tree(one), capture_tree(other)) != []


def test_arrow_columns_by_the_values_of_arrow() -> None:
    pa = pytest.importorskip("pyarrow")

    def make(kind: Any, *values: Any) -> Any:
        return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values, kind)))

    cases = [
        (make(pa.time64("ns"), 1, None), make(pa.time64("ns"), 2, None)),
        (make(pa.list_(pa.int8()), [1], [2, 3]), make(pa.list_(pa.int8()), [1, 2], [3])),
        (make(pa.float64(), 0.0), make(pa.float64(), -0.0)),
        (make(pa.decimal128(5, 2), 1), make(pa.decimal128(5, 2), 2)),
    ]
    for one, other in cases:
        assert differing(capture_tree(one), capture_tree(one.copy())) == []
        assert differing(capture_tree(one), capture_tree(other)) != []
    assert differing(capture_tree(one), capture_tree(pd.concat([one[:0], one], ignore_index=True))) == []


def test_an_accessor_that_was_used_is_not_part_of_a_series() -> None:
    text = pd.Series(["a", "b"])
    before = capture_tree(text)
    text.str.upper()
    assert differing(before, capture_tree(text)) == []


def test_the_mask_of_an_array_of_another_library_is_copied() -> None:
    class Masked(pd.arrays.IntegerArray):
        """An array whose `isna` returns its own mask."""

        def isna(self) -> Any:
            return self._mask

    array = Masked(np.array([1, 2]), np.array([False, False]))
    kept = capture_tree({"a": pandas_values._capture_missing_aware(array)})
    array._mask[0] = True
    assert not kept.leaves["a/missing"].data.any()


@given(
    st.lists(st.none() | st.integers(-3, 3), min_size=1, max_size=5),
    st.sampled_from(["Int8", "Float64", "category", "object", "str", "int8[pyarrow]"]),
    st.data(),
)
def test_columns_are_captured_alike_exactly_if_their_values_are_equal(values: Any, dtype: str, data: Any) -> None:
    other = list(values)
    other[data.draw(st.integers(0, len(values) - 1))] = data.draw(st.none() | st.integers(-3, 3))
    one, near = (make_column(dtype, column) for column in (values, other))
    assert (differing(capture_tree(one), capture_tree(near)) == []) is (values == other)
    assert differing(capture_tree(one), capture_tree(make_column(dtype, values))) == []


def make_column(dtype: str, values: Any) -> Any:
    values = [None if value is None else str(value) for value in values] if dtype == "str" else values
    return pd.DataFrame({"x": pd.Series(pd.Categorical(values) if dtype == "category" else values, dtype=dtype)})


@pytest.mark.parametrize("missing", [np.nan, pd.NA])
def test_a_column_of_text_is_captured_alike_however_it_is_stored(missing: Any) -> None:
    text = pd.Series(["a", "b"], dtype=pd.StringDtype(storage="python", na_value=missing))
    assert not compare(text, text.astype(object))
    assert compare(text, text.copy()).is_identical


def test_frames_series_and_indexes_are_digested_by_their_values() -> None:
    one, two = digest_value(frame()), digest_value(frame(price=[1.5, 3.5, np.nan]))
    assert one == digest_value(frame())
    assert [name for name in one.parts if one.parts[name] != two.parts[name]] == ["['price']"]
    for make in (lambda n: pd.Series([1, n]), lambda n: pd.Index([1, n]), lambda n: pd.RangeIndex(n)):
        assert digest_value([make(2)]) == digest_value([make(2)])
        assert digest_value([make(2)]) != digest_value([make(3)])
    assert digest_value(pd.array([1, None])) != digest_value(pd.array([1, 0]))
    assert digest_value(pd.Series(["a", "b"])) != digest_value(pd.Series(["a", "c"]))


def test_a_large_frame_is_digested_in_part() -> None:
    large = pd.DataFrame({"x": np.arange(300_000)})
    assert digest_value(large) != digest_value(large[:-1])
    assert digest_value(large) == digest_value(large.copy())


class ShowsAnother(pd.DataFrame):  # type: ignore[misc]
    @property
    def iloc(self) -> Any:
        return pd.DataFrame({"a": [0]}).iloc

    @property
    def index(self) -> Any:
        return pd.Index([0])


class ShowsAnotherSeries(pd.Series):  # type: ignore[misc]
    @property
    def array(self) -> Any:
        return pd.Series([0]).array


def index_with_note(value: Any) -> Any:
    index = pd.Index([1])
    index.note = value
    return index


@pytest.mark.parametrize(
    "make",
    [
        lambda x: ShowsAnother({"a": [x]}),
        lambda x: ShowsAnother({"a": [1]}, index=[x]),
        lambda x: ShowsAnotherSeries([x], index=[5]),
        lambda x: ShowsAnotherSeries([1], name=x),
        index_with_note,
        lambda x: pd.offsets.CustomBusinessDay(holidays=[f"2020-01-0{x}"]),
        lambda x: pd.date_range("2020", periods=2, freq=pd.offsets.CustomBusinessDay(holidays=[f"2021-01-0{x}"])),
    ],
)
def test_what_a_class_overrides_or_hides_counts_all_the_same(make: Callable[[int], Any]) -> None:
    assert not differing(capture_tree({"a": make(1)}), capture_tree({"a": make(1)}))
    assert differing(capture_tree({"a": make(1)}), capture_tree({"a": make(2)}))


def test_what_an_index_keeps_of_its_use_is_no_part_of_it() -> None:
    fresh, used = pd.Index([1, 2]), pd.Index([1, 2])
    used.get_loc(2)
    assert not differing(capture_tree(fresh), capture_tree(used))
