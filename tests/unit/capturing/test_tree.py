"""Paths, copies and limits of a capture, and the capture of local variables."""

from __future__ import annotations

import gc
import sqlite3
import time
from collections import OrderedDict, UserDict, defaultdict, deque, namedtuple
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree, digest, merge, registry
from pytest_repro.capturing.tree import MAX_DEPTH, MIN_SHARED_BYTES, copy_array
from pytest_repro.errors import CaptureError, UnsupportedTypeError

Point = namedtuple("Point", "x y")


@dataclass
class Fit:
    loss: float
    weights: dict[str, Any]


def paths(value: Any, **options: Any) -> list[str]:
    return list(capture_tree(value, **options).leaves)


def test_a_bare_leaf_has_the_name_of_the_root() -> None:
    assert paths(1.5) == ["result"]
    assert paths(np.zeros(3), root="loss") == ["loss"]


@pytest.mark.parametrize("value", [{"x": 1, "y": 2}, Point(1, 2), MappingProxyType({"x": 1, "y": 2})])
def test_children_with_names_are_at_top_level(value: Any) -> None:
    assert paths(value) == ["", "x", "y"]


def test_a_dataclass_is_at_top_level_and_nests() -> None:
    assert paths(Fit(0.5, {"fc1.weight": np.zeros(2)})) == ["", "loss", "weights", "weights/fc1.weight"]


@pytest.mark.parametrize("value", [[1, 2], (1, 2), deque([1, 2])])
def test_children_without_names_are_below_the_root(value: Any) -> None:
    assert paths(value) == ["result", "result/0", "result/1"]


@pytest.mark.parametrize(
    "value, expected", [(1.0, ["loss"]), ([1.0], ["loss", "loss/0"]), ({"a": 1}, ["loss", "loss/a"])]
)
def test_a_named_capture_is_below_its_name(value: Any, expected: list[str]) -> None:
    assert paths(value, root="loss", top_level=False) == expected


def test_a_container_is_a_node_with_its_type() -> None:
    leaves = capture_tree({"a": OrderedDict(), "b": defaultdict(int), "c": UserDict(), "d": [()]}).leaves
    assert {path: (leaf.form, leaf.type_name) for path, leaf in leaves.items()} == {
        "": ("node", "dict"),
        "a": ("node", "OrderedDict"),
        "b": ("node", "defaultdict"),
        "b/.default_factory": ("value", "type"),
        "c": ("node", "UserDict"),
        "d": ("node", "list"),
        "d/0": ("node", "tuple"),
    }


def test_control_characters_in_keys_are_kept() -> None:
    assert paths({"a\n\x1b[2J": 1}) == ["", "a\n\x1b[2J"]


def test_the_order_of_a_list_counts_and_that_of_keys_does_not() -> None:
    assert digest(capture_tree({"a": 1, "b": 2})) == digest(capture_tree({"b": 2, "a": 1}))
    assert digest(capture_tree([1, 2])) != digest(capture_tree([2, 1]))


@pytest.mark.parametrize(
    "one, other",
    [
        ({1: 0}, {"1": 0}),
        ({True: 0}, {"True": 0}),
        ({1: 0, "2": 0}, {"1": 0, 2: 0}),
        ({(1,): 0}, {("1",): 0}),
        ({(1,): 0}, {(np.int64(1),): 0}),
        ([1], (1,)),
        ({"a": {}}, {"a": []}),
        ({"a": {"b": 1}}, {"a/b": 1}),
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        (np.float64(1), 1.0),
        (np.float64(1), np.array(1.0)),
        (None, "None"),
        ("a", b"a"),
    ],
)
def test_values_of_different_types_differ(one: Any, other: Any) -> None:
    assert digest(capture_tree(one)) != digest(capture_tree(other))


@pytest.mark.parametrize("value", [{1: 0, "1": 0}, {"a/b": 1, "a": {"b": 2}}, {"a": {"b": 1}, "a/b": 2}, {"": 1}])
def test_two_values_with_one_path_are_rejected(value: Any) -> None:
    with pytest.raises(CaptureError, match="two values share the path"):
        capture_tree(value)


def test_a_rejected_collision_names_both_keys() -> None:
    with pytest.raises(CaptureError) as caught:
        capture_tree({"a": {"b": 1.5}, "a/b": "x"})
    assert str(caught.value) == (
        "two values share the path 'a/b': a float and a str (keys that lead there: 'a/b' of 'the root', 'b' of 'a'); "
        "rename one key, and do not mix keys such as 1 and '1', or 'a/b' and a nested 'a' -> 'b'"
    )


def test_a_cycle_is_rejected_by_its_path() -> None:
    cycle: dict[str, Any] = {"a": [1]}
    cycle["a"].append(cycle)
    with pytest.raises(CaptureError, match=r"'a/1' is a dict that contains itself"):
        capture_tree(cycle)


def test_a_shared_value_is_not_a_cycle() -> None:
    shared = [1]
    assert paths([shared, shared]) == ["result", "result/0", "result/0/0", "result/1", "result/1/0"]


def nest(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_the_deepest_tree_is_captured_and_a_deeper_one_rejected() -> None:
    assert len(capture_tree(nest(MAX_DEPTH))) == 1
    with pytest.raises(CaptureError, match="nested more than 100 deep"):
        capture_tree(nest(MAX_DEPTH + 1))
    with pytest.raises(CaptureError, match="nested more than 100 deep"):
        capture_tree(nest(100_000))


def test_a_tree_that_shares_its_branches_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_repro.capturing.tree.MAX_LEAVES", 10_000)
    value: Any = [1]
    for _ in range(60):
        value = [value, value]
    with pytest.raises(CaptureError, match="more than 10,000 values"):
        capture_tree(value)
    for wide in ([1.5] * 10_000, np.full(10_000, 1.5, dtype=object)):
        with pytest.raises(CaptureError, match="more than 10,000 values"):
            capture_tree(wide)


class Widget:
    pass


def generate() -> Any:
    yield 1


@pytest.mark.parametrize(
    "value, name, fix",
    [
        (generate(), "generator", r"return list\(\.\.\.\)"),
        (map(abs, [1]), "map", r"return list\(\.\.\.\)"),
        (iter([1]), "list_iterator", r"return list\(\.\.\.\)"),
        (sqlite3.connect(":memory:"), "Connection", "dict or a dataclass"),
        ({"a": 1}.keys(), "dict_keys", r"return list\(\.\.\.\)"),
    ],
)
def test_a_value_that_cannot_be_compared_is_rejected_by_path_type_and_fix(value: Any, name: str, fix: str) -> None:
    with pytest.raises(UnsupportedTypeError, match=rf"(?s)'models/0/it' \(a [\w.]*{name}\): .*{fix}"):
        capture_tree({"models": [{"it": value}]})


def test_a_mapping_with_keys_without_a_stable_text_is_captured_by_position() -> None:
    names = capture_tree({"a": {(Widget, 1): 1, frozenset([Widget()]): 2}}).names
    assert names == ["a/entry 0/key/0", "a/entry 0/key/1", "a/entry 0/value", "a/entry 1/value"]


class BrokenMapping(UserDict[str, int]):
    def __getitem__(self, key: str) -> int:
        raise ZeroDivisionError("broken on purpose")


def test_a_value_that_cannot_be_read_is_rejected_with_its_error() -> None:
    broken = BrokenMapping()
    broken.data["x"] = 1
    with pytest.raises(UnsupportedTypeError, match=r"'a' .*ZeroDivisionError: broken on purpose"):
        capture_tree({"a": broken})


def test_arrays_are_copied_unless_copy_is_false() -> None:
    array = np.arange(4.0)
    copied, shared = capture_tree([array]), capture_tree([array], copy=False)
    array[0] = 9
    assert copied.leaves["result/0"].data[0] == 0
    assert shared.leaves["result/0"].data[0] == 9
    assert np.shares_memory(shared.leaves["result/0"].data, array)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_copy_keeps_the_memory_order(order: Any) -> None:
    array = np.asarray(np.arange(6.0).reshape(2, 3), order=order)
    assert copy_array(array).strides == array.strides
    assert copy_array(array[:, ::-1])[0, 0] == 2


def test_the_copy_of_a_broadcast_array_stays_small() -> None:
    row = np.arange(3.0)
    copy = copy_array(np.broadcast_to(row, (1_000_000_000, 3)))
    row[0] = 9
    assert copy.shape == (1_000_000_000, 3)
    assert copy[17].tolist() == [0, 1, 2]


def test_a_limit_is_kept() -> None:
    arrays = [np.zeros(100), np.zeros(100)]
    assert len(capture_tree(arrays, limit_bytes=1600)) == 2
    with pytest.raises(CaptureError, match=r"at 'result/1' the captured arrays exceed 1,599 bytes"):
        capture_tree(arrays, limit_bytes=1599)


def test_the_state_of_the_garbage_collector_is_restored() -> None:
    assert gc.isenabled()
    with pytest.raises(UnsupportedTypeError):
        capture_tree(generate())
    assert gc.isenabled()
    gc.disable()
    try:
        capture_tree(1)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_ten_thousand_small_arrays_take_milliseconds() -> None:
    arrays = {f"layer{i}": np.zeros(64) for i in range(10_000)}
    capture_tree(arrays, copy=False)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        capture_tree(arrays, copy=False)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.1  # 8 ms on an idle core; ten times that still shows a wrong cost per array


def test_merging_adds_leaves_and_rejects_a_duplicate_name() -> None:
    into = capture_tree(1.0, root="loss")
    merge(into, capture_tree([2], root="steps"), where="repro.capture('steps', ...)")
    assert list(into.leaves) == ["loss", "steps", "steps/0"]
    with pytest.raises(
        CaptureError, match=r"repro.capture\('loss', ...\): the name 'loss' is already used, .*use another name"
    ):
        merge(into, capture_tree({"new": 1, "loss": 2}), where="repro.capture('loss', ...)")
    assert list(into.leaves) == ["loss", "steps", "steps/0"]


def test_the_element_of_a_set_is_named_by_its_value() -> None:
    assert paths({"tags": {"red", 1, None}}) == paths({"tags": {None, 1, "red"}})
    assert set(paths({"tags": {"red", 1}})) == {"", "tags", "tags/'red'", "tags/1"}


def test_a_set_of_tuples_does_not_depend_on_its_order() -> None:
    def spread(values: list[tuple[int, str]]) -> str:
        return digest(capture_tree(set(values)))

    values = [(i, "x" * i) for i in range(50)]
    assert spread(values) == spread(values[::-1])
    assert spread(values) != spread(values[1:])


def test_elements_with_the_same_text_are_kept_apart() -> None:
    nans = {float("nan"), float("nan")}
    assert len(nans) == 2
    assert len(capture_tree(nans)) == 2


def test_a_set_with_an_element_that_cannot_be_compared_is_rejected() -> None:
    with pytest.raises(UnsupportedTypeError, match=r"'result/\*'"):
        capture_tree({generate()})


def test_a_large_array_with_the_bits_of_the_baseline_is_not_copied() -> None:
    weights = np.arange(MIN_SHARED_BYTES // 8, dtype=np.float64)
    baseline = capture_tree({"w": weights, "small": np.zeros(3)})
    found = capture_tree({"w": weights.copy(), "small": np.zeros(3)}, baseline=baseline)
    assert found.leaves["w"].data is baseline.leaves["w"].data
    assert found.leaves["small"].data is not baseline.leaves["small"].data


@pytest.mark.parametrize(
    "other",
    [
        np.arange(20_000.0)[::-1].copy()[::-1],
        np.arange(20_001.0)[:-1].reshape(100, 200),
        np.repeat(np.arange(20_000.0), 2)[::2],
        np.arange(20_000.0).astype(">f8"),
        np.arange(20_000.0).view(np.int64),
        np.arange(20_000.0) + (np.arange(20_000) == 19_999),
        np.arange(10_000.0),
    ],
    ids=["reversed", "shape", "strided", "byte order", "dtype", "last element", "length"],
)
def test_an_array_of_other_bits_or_another_layout_is_copied(other) -> None:
    baseline = capture_tree({"w": np.arange(20_000.0)})
    found = capture_tree({"w": other}, baseline=baseline).leaves["w"].data
    assert found is not baseline.leaves["w"].data
    assert not np.shares_memory(found, other)
    np.testing.assert_array_equal(found, other)


def test_equal_zeros_and_nans_of_other_bits_are_not_shared() -> None:
    zeros = np.zeros(20_000)
    baseline = capture_tree({"w": zeros})
    assert np.signbit(capture_tree({"w": -zeros}, baseline=baseline).leaves["w"].data).all()


def test_only_types_that_a_test_has_made_are_forgotten_after_a_capture() -> None:
    made = type("Made", (), {})
    capture_tree({"a": None, "b": made(), "c": print, "d": Ellipsis})
    assert {type(None), type(print), type(Ellipsis)} <= registry.exact.keys()
    assert made not in registry.exact
