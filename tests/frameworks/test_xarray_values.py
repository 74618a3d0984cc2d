"""Capture of xarray's datasets and arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.capturing import capture_tree
from pytest_repro.errors import UnsupportedTypeError
from tests.unit.capturing.helpers import Case, assert_captures, differing

xr = pytest.importorskip("xarray")
import pandas as pd


def dataset() -> Any:
    return xr.Dataset(
        {"t": (("x", "y"), np.ones((2, 3))), "name": ("x", ["a", "b"], {"unit": "none"})},
        coords={"x": [1, 2], "y": pd.date_range("2020", periods=3), "mass": ("x", [5.0, 6.0])},
        attrs={"source": "test"},
    )


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a value": lambda d: d.assign(t=d["t"] * 2),
    "a dtype": lambda d: d.assign(t=d["t"].astype("f4")),
    "the order of dimensions": lambda d: d.transpose("y", "x"),
    "the name of a dimension": lambda d: d.rename_dims(y="z"),
    "a name": lambda d: d.rename(t="u"),
    "a coordinate": lambda d: d.assign_coords(x=[1, 3]),
    "a coordinate without an index": lambda d: d.assign_coords(mass=("x", [5.0, 7.0])),
    "a coordinate that is a variable": lambda d: d.reset_coords("mass"),
    "an index": lambda d: d.drop_indexes("x"),
    "no coordinate": lambda d: d.drop_vars("mass"),
    "attributes": lambda d: d.assign_attrs(source="other"),
    "attributes of a variable": lambda d: d.assign(name=d["name"].assign_attrs(unit="kg")),
    "an element less": lambda d: d.isel(x=[0]),
    "the order of elements": lambda d: d.isel(x=[1, 0]),
    "a missing value": lambda d: d.where(d["x"] > 1),
    "categories": lambda d: d.assign(name=("x", pd.Categorical(["a", "b"]))),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_each_change_of_a_dataset_is_seen(change: Any) -> None:
    assert differing(capture_tree(dataset()), capture_tree(dataset())) == []
    assert differing(capture_tree(dataset()), capture_tree(change(dataset()))) != []


def test_a_changed_element_is_named_by_its_variable() -> None:
    def change(value: Any) -> None:
        value["t"].values[1, 2] = 7

    assert_captures(Case(dataset, change), "variables/t/data")


def test_an_array_has_a_name_and_coordinates() -> None:
    array = dataset()["t"]
    assert differing(capture_tree(array), capture_tree(array.copy(deep=True))) == []
    assert differing(capture_tree(array), capture_tree(array.rename("u"))) == ["name"]
    assert differing(capture_tree(array), capture_tree(array.variable)) != []
    assert differing(capture_tree(array.variable), capture_tree(array.variable + 1)) == ["data"]
    assert differing(capture_tree(array.coords), capture_tree(array.isel(x=[1, 0]).coords)) != []


def test_an_index_of_several_levels() -> None:
    def make(*tuples: Any) -> Any:
        index = pd.MultiIndex.from_tuples(tuples, names=["p", "q"])
        return xr.DataArray(np.zeros(2), coords=xr.Coordinates.from_pandas_multiindex(index, "z"), dims="z")

    assert differing(capture_tree(make((1, "a"), (2, "b"))), capture_tree(make((1, "a"), (2, "b")))) == []
    assert differing(capture_tree(make((1, "a"), (2, "b"))), capture_tree(make((1, "a"), (2, "c")))) != []


def test_a_tree_of_datasets() -> None:
    one = xr.DataTree.from_dict({"/": dataset(), "/a": dataset(), "/a/variables": dataset()})
    other = one.copy()
    other["a/t"] = dataset()["t"] * 2
    assert differing(capture_tree(one), capture_tree(one.copy(deep=True))) == []
    assert differing(capture_tree(one), capture_tree(other)) == ["groups/1/dataset/variables/t/data"]


@given(st.lists(st.floats(), min_size=1, max_size=5), st.data())
def test_arrays_are_captured_alike_exactly_if_each_bit_is_equal(values: Any, data: Any) -> None:
    other = list(values)
    other[data.draw(st.integers(0, len(values) - 1))] = data.draw(st.floats())
    one, near = (xr.DataArray(np.array(side), dims="x", coords={"x": range(len(side))}) for side in (values, other))
    is_equal = np.array(values).tobytes() == np.array(other).tobytes()
    assert (differing(capture_tree(one), capture_tree(near)) == []) is is_equal


def test_chunks_that_are_not_computed_are_rejected_with_the_fix() -> None:
    pytest.importorskip("dask.array")
    with pytest.raises(UnsupportedTypeError, match=r"'d/variables/t' .*return value.compute\(\)"):
        capture_tree({"d": dataset().chunk({"x": 1})})
