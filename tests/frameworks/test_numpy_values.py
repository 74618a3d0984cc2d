"""Capture of NumPy's arrays, scalars and generators."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree
from pytest_repro.errors import UnsupportedTypeError
from tests.unit.capturing.helpers import Case, assert_captures, changed, differing, flip

DTYPES = {
    "bool": "?",
    "int8": "i1",
    "uint16": "u2",
    "int32": "i4",
    "uint64": "u8",
    "float16": "f2",
    "float32": "f4",
    "float64": "f8",
    "longdouble": "g",
    "complex64": "c8",
    "complex128": "c16",
    "clongdouble": "G",
    ">f4": ">f4",
    ">i8": ">i8",
    "<U3": "U3",
    ">U3": ">U3",
    "|S3": "S3",
    "datetime64[ns]": "M8[ns]",
    "timedelta64[25s]": "m8[25s]",
    ">M8[us]": ">M8[us]",
}


def make(dtype: str, shape: tuple[int, ...] = (2, 3)) -> np.ndarray[Any, Any]:
    return np.arange(6).astype("u1").astype(dtype).reshape(2, 3)[: shape[0]].copy()


@pytest.mark.parametrize("name, dtype", DTYPES.items())
def test_one_bit_of_any_dtype_is_seen(name: str, dtype: str) -> None:
    case = Case(lambda: make(dtype), lambda a: flip(a, (1, 2)))
    assert_captures(case, "result")
    leaf = capture_tree(case.make()).leaves["result"]
    assert (leaf.type_name, leaf.dtype, leaf.shape, leaf.form) == ("ndarray", name, (2, 3), "array")


@pytest.mark.parametrize("dtype", ["f4", ">f8", "?", "i8", "c8", "g", "M8[s]", "f2"])
def test_a_scalar_differs_from_an_array_and_is_captured_bit_for_bit(dtype: str) -> None:
    def pick(array: np.ndarray[Any, Any]) -> Any:
        return array[1, 2]

    array = make(dtype)
    scalar = pick(array)
    flip(array, (1, 2))
    before, after = capture_tree(scalar), capture_tree(pick(array))
    assert differing(before, after) == ["result"]
    assert differing(before, capture_tree(np.asarray(scalar))) == ["result"]
    assert before.leaves["result"].type_name == type(scalar).__name__
    assert before.leaves["result"].shape == ()


@pytest.mark.parametrize("scalar", [np.str_("a\0"), np.bytes_(b"a\0")])
def test_text_scalars_keep_trailing_zeros(scalar: Any) -> None:
    data = capture_tree(scalar).leaves["result"].data
    assert data == ("a\0" if isinstance(scalar, str) else b"a\0")
    assert type(data) in (str, bytes)


VIEWS = {
    "zero dimensions": lambda: np.array(1.5),
    "reversed": lambda: np.arange(6.0)[::-1],
    "every other": lambda: np.arange(12.0)[::2],
    "Fortran order": lambda: np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "transposed": lambda: np.arange(6.0).reshape(2, 3).T,
    "not aligned": lambda: np.zeros(33, "u1")[1:].view("f8"),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_a_view_is_captured_by_its_elements(view: Any) -> None:
    assert_captures(Case(view, flip), "result")
    assert differing(capture_tree(view()), capture_tree(view().copy())) == []


def test_an_empty_array_has_a_shape() -> None:
    assert differing(capture_tree(np.zeros((0, 3))), capture_tree(np.zeros((3, 0)))) == ["result"]


def structured() -> np.ndarray[Any, Any]:
    return np.array([(1, 2.5, [1, 2]), (3, 4.5, [3, 4])], dtype=[("a", "i4"), ("b", ">f8"), ("c", "i2", 2)])


def test_a_structured_array_has_a_leaf_per_field() -> None:
    assert_captures(Case(structured, lambda a: flip(a["b"], 1)), "result/b")
    assert capture_tree(structured()).names == ["result/a", "result/b", "result/c"]
    assert_captures(Case(lambda: structured()[1].copy(), lambda v: v.__setitem__("a", 9)), "result/a")
    assert differing(capture_tree(structured()), capture_tree(structured().view(np.recarray))) == ["result"]


def test_padding_between_fields_does_not_count() -> None:
    def padded(fill: int) -> np.ndarray[Any, Any]:
        array = np.full(32, fill, "u1").view(np.dtype([("a", "i1"), ("b", "f8")], align=True))
        array["a"], array["b"] = 1, 2.0
        return array

    assert differing(capture_tree(padded(0)), capture_tree(padded(255))) == []


def test_an_object_array_has_a_leaf_per_element() -> None:
    def mixed() -> np.ndarray[Any, Any]:
        return np.array([[1, "a", None], [2.5, np.arange(2), {"k": 1}]], dtype=object)

    assert_captures(Case(mixed, lambda a: flip(a[1, 1], 0)), "result/1,1")
    assert capture_tree(mixed()).names == [
        "result/0,0",
        "result/0,1",
        "result/0,2",
        "result/1,0",
        "result/1,1",
        "result/1,2/k",
    ]
    assert differing(capture_tree(mixed()), capture_tree(mixed().T))
    with pytest.raises(UnsupportedTypeError, match="'result/0'"):
        capture_tree(np.array([map(len, [])], dtype=object))


def test_void_elements_are_captured_as_bytes() -> None:
    assert_captures(Case(lambda: np.arange(6, dtype="u1").view("V3"), lambda a: flip(a.view("u1"), 5)), "result")
    assert capture_tree(np.void(b"abc")).leaves["result"].data.tolist() == [97, 98, 99]


def test_an_array_of_strings_has_a_leaf_per_element() -> None:
    if not hasattr(np.dtypes, "StringDType"):
        pytest.skip("this NumPy has none")
    assert_captures(Case(lambda: np.array(["a", "b\0"], dtype="T"), lambda a: a.__setitem__(1, "b")), "result/1")


def masked() -> Any:
    return np.ma.masked_array(np.arange(4.0), mask=[0, 1, 0, 0])


def test_a_masked_array_has_data_and_mask() -> None:
    assert_captures(Case(masked, lambda a: flip(a.data, 2)), "result/data")
    assert_captures(Case(masked, lambda a: a.__setitem__(2, np.ma.masked)), "result/data", "result/mask")
    assert_captures(Case(masked, lambda a: a.set_fill_value(7)), "result/fill_value")


def test_masked_elements_do_not_count() -> None:
    case = Case(masked, lambda a: flip(a.data, 1))
    assert differing(capture_tree(case.make()), capture_tree(changed(case))) == []
    assert differing(capture_tree(masked()), capture_tree(masked().data)) != []


def test_masked_records_and_objects() -> None:
    records = np.ma.masked_array(structured(), mask=[(0, 1, [0, 0]), (0, 0, [0, 1])])
    assert "result/b/mask" in capture_tree(records).names
    objects = np.ma.masked_array(np.array(["a", len], dtype=object), mask=[0, 1])
    assert capture_tree(objects).leaves["result/data/1"].data is None
    assert capture_tree(np.ma.masked).leaves["result"].type_name == "MaskedConstant"


def test_no_mask_and_an_empty_mask_are_equal() -> None:
    one, other = np.ma.masked_array([1.0, 2.0]), np.ma.masked_array([1.0, 2.0], mask=[0, 0])
    assert differing(capture_tree(one), capture_tree(other)) == []


def test_a_memory_map_is_copied_from_the_file(tmp_path: Path) -> None:
    def mapped() -> Any:
        np.arange(6.0).tofile(tmp_path / "data")
        return np.memmap(tmp_path / "data", dtype="f8", mode="r+")

    assert_captures(Case(mapped, lambda a: flip(a, 3)), "result")
    assert capture_tree(mapped()).leaves["result"].type_name == "memmap"


class Quantity(np.ndarray):  # type: ignore[type-arg]
    unit: str

    def __new__(cls, data: Any, unit: str) -> Quantity:
        made = np.asarray(data).view(cls)
        made.unit = unit
        return made


def test_a_subclass_is_captured_with_its_attributes() -> None:
    assert differing(capture_tree(Quantity([1.0], "m")), capture_tree(Quantity([1.0], "km"))) == ["result/unit"]
    assert differing(capture_tree(Quantity([1.0], "m")), capture_tree(Quantity([2.0], "m"))) == ["result/data"]
    assert capture_tree(np.matrix([[1.0]])).leaves["result"].type_name == "matrix"


BIT_GENERATORS = [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64]


@pytest.mark.parametrize("kind", BIT_GENERATORS)
def test_a_generator_is_captured_by_its_state(kind: Any) -> None:
    assert_captures(Case(lambda: np.random.Generator(kind(3)), lambda g: g.random() and None))
    assert_captures(Case(lambda: kind(3), lambda g: g.random_raw() and None))


def test_the_legacy_generator_is_captured_by_its_state() -> None:
    assert_captures(Case(lambda: np.random.RandomState(3), lambda g: g.rand() and None))
    assert_captures(Case(lambda: np.random.RandomState(3), lambda g: g.randn() and None))


def test_a_consumed_half_draw_does_not_count() -> None:
    def drawn(count: int) -> np.random.Generator:
        generator = np.random.default_rng(3)
        generator.integers(0, 2**32 - 1, size=count, dtype=np.uint32)
        return generator

    state = drawn(4).bit_generator.state
    assert state["has_uint32"] == 0
    assert state["uinteger"] != 0
    clean = drawn(4)
    clean.bit_generator.state = {**state, "uinteger": 0}
    assert differing(capture_tree(drawn(4)), capture_tree(clean)) == []
    assert differing(capture_tree(drawn(3)), capture_tree(drawn(4))) != []


def test_a_seed_sequence_is_captured_by_its_entropy_and_children() -> None:
    assert_captures(Case(lambda: np.random.SeedSequence(3), lambda s: s.spawn(1) and None), "result/n_children_spawned")


def test_a_dtype_is_captured_by_its_text() -> None:
    assert differing(capture_tree(np.dtype("f4")), capture_tree(np.dtype(">f4"))) == ["result"]


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"])
def test_arrays_of_ml_dtypes_become_unsigned_integers(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(getattr(ml_dtypes, name))

    def array() -> np.ndarray[Any, Any]:
        return np.arange(4).astype(dtype)

    assert_captures(Case(array, lambda a: flip(a.view(f"u{dtype.itemsize}"), 2)), "result")
    leaf = capture_tree(array(), copy=False).leaves["result"]
    assert (leaf.dtype, leaf.data.dtype.kind, leaf.shape) == (name, "u", (4,))
    assert capture_tree(array()[1]).leaves["result"].dtype == name


def test_a_date_differs_from_its_number() -> None:
    assert differing(capture_tree(np.datetime64("2020-01-01")), capture_tree(datetime.date(2020, 1, 1))) == ["result"]


def test_the_generators_that_a_generator_has_spawned_count() -> None:
    one, other = np.random.default_rng(0), np.random.default_rng(0)
    assert differing(capture_tree(one), capture_tree(other)) == []
    other.spawn(1)
    assert differing(capture_tree(one), capture_tree(other)) == ["result/bit_generator/spawned"]


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy 2 has strings of any length")
def test_what_stands_for_a_missing_string_counts() -> None:
    kinds = [np.dtypes.StringDType(), np.dtypes.StringDType(na_object=None), np.dtypes.StringDType(coerce=False)]
    captured = [capture_tree(np.array(["a"], dtype=kind)) for kind in kinds]
    assert differing(captured[0], capture_tree(np.array(["a"], dtype=np.dtypes.StringDType()))) == []
    for other in captured[1:]:
        assert differing(captured[0], other) == ["result"]
