"""pandas' frames, series, indexes and extension arrays: labels, dtypes, values and missing values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from pandas.core.generic import NDFrame

from pytest_repro.frameworks.attributes import package_of, read_attributes, read_dict
from pytest_repro.frameworks.base_values import Branch, Captured, Handler, Reader, Traits, make_fresh, text_leaf
from pytest_repro.frameworks.columns import CAPTURED_READERS, name_columns, pack_texts, read_table
from pytest_repro.frameworks.numpy_values import capture_array
from pytest_repro.frameworks.stdlib_values import moment_traits, with_zone
from pytest_repro.model import Leaf

#: Attributes of a frame or series in which pandas keeps its values.
_INTERNAL = ("_mgr", "_attrs", "_flags", "_name", "_item_cache", "_cacher", "_is_copy")


def capture_frame(frame: pd.DataFrame) -> Branch:
    """Capture a frame by its index, its columns' labels, and each column's values."""
    plain = _read_plain(frame, pd.DataFrame)
    labels = name_columns([_describe_label(label) for label in plain.columns])
    columns = [(label, capture_values(plain.iloc[:, i].array)) for i, label in enumerate(labels)]
    # `data` keeps a column named "index" apart from the index.
    children = [("index", plain.index), ("columns", plain.columns), ("data", Branch("columns", columns))]
    return Branch(type(frame).__name__, [*children, *_extras_of(frame)], _traits_of(frame))


def _read_plain(value: Any, base: Any) -> Any:
    """Return a frame or series of pandas' own class on the same data, whatever a subclass overrides."""
    if type(value) is base:
        return value
    plain = base.__new__(base)
    NDFrame.__init__(plain, object.__getattribute__(value, "_mgr"))
    if base is pd.Series:
        object.__setattr__(plain, "_name", object.__getattribute__(value, "_name"))
    return plain


def _extras_of(owner: Any) -> list[tuple[str, Any]]:
    """Return the notes of a frame or series, and the attributes that it has beside its values."""
    attrs = NDFrame.attrs.fget(owner)
    extras = [("attrs", attrs)] if attrs else []
    # An accessor such as `str` is kept on the object once it was used.
    internal = {*type(owner)._internal_names, *type(owner)._accessors, *_INTERNAL}
    own = {name: value for name, value in read_attributes(owner) if name not in internal}
    return [*extras, ("attributes", own)] if own else extras


def _traits_of(owner: Any) -> Traits:
    return () if owner.flags.allows_duplicate_labels else (("allows_duplicate_labels", "False"),)


def _describe_label(label: Any) -> str:
    return "/".join(map(str, label)) if isinstance(label, tuple) else str(label)


def capture_series(series: pd.Series[Any]) -> Branch:
    """Capture a series by its index, values and name."""
    plain = _read_plain(series, pd.Series)
    children = [("index", plain.index), ("values", capture_values(plain.array)), ("name", plain.name)]
    return Branch(type(series).__name__, [*children, *_extras_of(series)], _traits_of(series))


def capture_index(index: pd.Index[Any]) -> Branch:
    """Capture an index by its labels."""
    freq = getattr(index, "freq", None)
    traits = (("freq", _describe_offset(freq)),) if freq is not None else ()
    children = [("values", capture_values(index.array)), ("name", index.name)]
    return Branch(type(index).__name__, [*children, *_additions_of(index)], traits)


def _additions_of(index: pd.Index[Any]) -> list[tuple[str, Any]]:
    """Return the attributes that were set on an index of pandas' own class."""
    if package_of(type(index)) != "pandas":
        return []  # whose additions are found with the handler of a subclass
    return [(f".{name}", part) for name, part in read_dict(index) if name not in _INDEX_NAMES]


#: Attributes in which pandas keeps an index.
_INDEX_NAMES = frozenset(
    [
        "_data",
        "_name",
        "_names",
        "_cache",
        "_id",
        "_references",
        "_freq",
        "_range",
        "_levels",
        "_codes",
        "sortorder",
        "_cacher",
    ]
)


def _describe_offset(offset: Any) -> str:
    """Describe an offset by its text and its parameters, such as holidays, which the text does not hold."""
    given = {name: value for name, value in offset.kwds.items() if name != "calendar"}  # made of the others
    return f"{offset} {given}" if given else str(offset)


def _capture_offset(value: Any) -> Leaf:
    return Leaf("value", _describe_offset(value), type(value).__name__, "str")


def capture_range_index(index: pd.RangeIndex) -> Branch:
    """Capture a range of labels by its bounds."""
    names = ("start", "stop", "step", "name")
    children = [(name, getattr(index, name)) for name in names]
    return Branch(type(index).__name__, [*children, *_additions_of(index)])


def capture_multi_index(index: pd.MultiIndex) -> Branch:
    """Capture an index by the labels of each level, without unused ones and the order of codes."""
    levels = [(str(i), index.get_level_values(i)) for i in range(index.nlevels)]
    children = [("levels", Branch("levels", levels)), *_additions_of(index)]
    return Branch(type(index).__name__, children, (("length", str(len(index))),))


def capture_values(array: Any) -> Captured:
    """Capture the array of a column or an index."""
    if isinstance(array.dtype, pd.StringDtype):
        # First: without pyarrow it is stored as an array of objects, but is not a column of objects.
        return _capture_missing_aware(array, "StringArray")
    if isinstance(array.dtype, pd.ArrowDtype):
        return _capture_arrow(array)
    for kind, capture in _array_handlers:
        if isinstance(array, kind):
            return capture(array)
    return _capture_missing_aware(array)


def _capture_array(array: Any) -> Branch:
    return Branch(type(array).__name__, [("values", capture_values(array))])


def _capture_numpy(array: Any) -> Captured:
    data = array.to_numpy()
    return _capture_objects(data) if data.dtype.kind == "O" else capture_array(data)


def _capture_objects(data: np.ndarray[Any, Any]) -> Captured:
    texts = pack_texts(data)
    return Branch("ndarray", [("text", texts)], (("dtype", "object"),)) if texts is not None else capture_array(data)


def _capture_missing_aware(array: Any, type_name: str = "") -> Branch:
    """Capture any extension array by its missing places and its other elements."""
    missing = np.array(array.isna(), dtype=bool)  # a copy: it may be the array's own mask
    present = np.asarray(array[~missing].astype(object), dtype=object)
    children = [("missing", make_fresh(capture_array(missing))), ("present", _capture_objects(present))]
    return Branch(type_name or type(array).__name__, children, (("dtype", repr(array.dtype)),))


def _capture_arrow(array: Any) -> Branch:
    # By Arrow's own values: Python's objects have no nanoseconds and no order of a dictionary.
    return Branch(type(array).__name__, [("values", array.__arrow_array__())], (("dtype", str(array.dtype)),))


def _capture_masked(array: Any) -> Branch:
    missing = np.asarray(array.isna(), dtype=bool)
    kind = array.dtype.numpy_dtype
    if missing.any():  # masked elements are arbitrary
        data = make_fresh(capture_array(array.to_numpy(dtype=kind, na_value=kind.type(0))))
    else:
        data = capture_array(array.to_numpy(dtype=kind))
    children = [("missing", make_fresh(capture_array(missing))), ("values", data)]
    return Branch(type(array).__name__, children, (("dtype", str(array.dtype)),))


def _capture_categorical(array: Any) -> Branch:
    children = [("codes", np.asarray(array.codes)), ("categories", array.categories)]
    return Branch("Categorical", children, (("ordered", str(array.ordered)),))


def _capture_moments(array: Any) -> Branch:
    return Branch(type(array).__name__, [("ticks", np.asarray(array.asi8))], (("dtype", str(array.dtype)),))


def _capture_sparse(array: Any) -> Branch:
    children = [("values", array.sp_values), ("positions", array.sp_index.indices), ("fill_value", array.fill_value)]
    return Branch(type(array).__name__, children, (("dtype", str(array.dtype)), ("length", str(len(array)))))


def _capture_interval(value: Any) -> Branch:
    return Branch(type(value).__name__, [("left", value.left), ("right", value.right)], (("closed", value.closed),))


def capture_timestamp(value: pd.Timestamp) -> Captured:
    """Capture a Timestamp to the nanosecond, with its unit and zone."""
    traits = (*moment_traits(value), ("unit", value.unit))
    return with_zone(Leaf("value", value.isoformat(), type(value).__name__, "str", (), traits), value)


def capture_duration(value: pd.Timedelta) -> Leaf:
    """Capture a Timedelta in its own unit."""
    ticks = int(value.to_timedelta64().astype("int64"))
    return Leaf("value", ticks, type(value).__name__, "int", (), (("unit", value.unit),))


def _capture_missing(value: Any) -> Leaf:
    return Leaf("value", None, type(value).__name__, "None")


def _capture_period(value: pd.Period) -> Leaf:
    return Leaf("value", value.ordinal, type(value).__name__, "int", (), (("freq", value.freqstr),))


def capture_category_dtype(dtype: pd.CategoricalDtype) -> Branch:
    """Capture a categorical dtype by its categories, which its text does not name."""
    return Branch("CategoricalDtype", [("categories", dtype.categories)], (("ordered", str(dtype.ordered)),))


_array_handlers: list[tuple[Any, Callable[[Any], Captured]]] = [
    (pd.arrays.NumpyExtensionArray, _capture_numpy),
    ((pd.arrays.IntegerArray, pd.arrays.FloatingArray, pd.arrays.BooleanArray), _capture_masked),
    (pd.Categorical, _capture_categorical),
    ((pd.arrays.DatetimeArray, pd.arrays.TimedeltaArray, pd.arrays.PeriodArray), _capture_moments),
    (pd.arrays.SparseArray, _capture_sparse),
    (pd.arrays.IntervalArray, _capture_interval),
]

HANDLERS: dict[type, Handler] = {
    pd.DataFrame: capture_frame,
    pd.Series: capture_series,
    pd.Index: capture_index,
    pd.RangeIndex: capture_range_index,
    pd.MultiIndex: capture_multi_index,
    pd.api.extensions.ExtensionArray: capture_values,
    pd.Timestamp: capture_timestamp,
    pd.Timedelta: capture_duration,
    pd.Period: _capture_period,
    pd.Interval: _capture_interval,
    type(pd.NaT): _capture_missing,
    type(pd.NA): _capture_missing,
    pd.CategoricalDtype: capture_category_dtype,
    pd.api.extensions.ExtensionDtype: text_leaf,
    pd.offsets.BaseOffset: _capture_offset,
}

#: Types whose handlers read every attribute of a subclass too.
COMPLETE = (pd.DataFrame, pd.Series)


def _cut(value: Any, rows: int) -> Any:
    return value[:rows]


READERS: dict[type, Reader] = {
    **CAPTURED_READERS,
    pd.DataFrame: read_table(capture_frame, _cut),
    pd.Series: read_table(capture_series, _cut),
    pd.RangeIndex: read_table(capture_range_index, _cut),
    pd.MultiIndex: read_table(capture_multi_index, _cut),
    pd.Index: read_table(capture_index, _cut),
    pd.api.extensions.ExtensionArray: read_table(_capture_array, _cut),
}

#: Modules whose objects keep their state in plain attributes.
READABLE = ("pandas.core",)
