"""Strategies for edge values, layouts, near arrays, batch splits and conditions."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest

pytest.importorskip("hypothesis")

from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from pytest_repro import UsageError, compare, examine, strategies
from pytest_repro.errors import MissingExtraError
from pytest_repro.strategies.arrays import _tensor_layouts, move_by_ulps
from pytest_repro.strategies.layouts import LAYOUTS, lay_out

FEW = settings(max_examples=50, deadline=None, database=None)
#: To find one of a few dozen kinds of values. Derandomized, so that every run finds it or none does.
MANY = settings(max_examples=1000, deadline=None, database=None, derandomize=True)
SOME = settings(MANY, max_examples=300)
DTYPES = ["float16", "float32", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "wanted",
    [
        lambda x: x == 0 and np.signbit(x),
        lambda x: 0 < abs(x) < np.finfo(x.dtype).tiny,
        lambda x: abs(x) == np.finfo(x.dtype).max,
        lambda x: np.isinf(x) and x < 0,
        np.isnan,
    ],
    ids=["minus zero", "subnormal", "largest", "minus infinity", "nan"],
)
def test_every_kind_of_edge_is_generated(dtype, wanted):
    assert wanted(find(strategies.edge_floats(dtype), lambda x: bool(wanted(x)), settings=MANY))


def test_nans_come_with_more_than_one_payload():
    payloads = {0x7FC00000, 0x7F800001, 0x7FFFFFFF}
    for code in payloads:
        found = find(strategies.edge_floats("float32"), lambda x, c=code: x.view(np.uint32) == c, settings=MANY)
        assert found.view(np.uint32) == code


@pytest.mark.parametrize(("allowed", "test"), [("allow_nan", np.isnan), ("allow_infinity", np.isinf)])
def test_excluded_values_are_not_generated(allowed, test):
    with pytest.raises(NoSuchExample):
        find(
            strategies.edge_floats("float16", **{allowed: False}),
            lambda x: bool(test(x)),
            settings=settings(FEW, max_examples=300),
        )


@pytest.mark.parametrize(
    "wanted",
    [
        lambda a: a.flags.f_contiguous and not a.flags.c_contiguous,
        lambda a: any(stride < 0 for stride in a.strides) and a.size > 1,
        lambda a: not a.flags.aligned and a.size > 0,
        lambda a: not a.flags.writeable,
        lambda a: not a.dtype.isnative,
        lambda a: not (a.flags.c_contiguous or a.flags.f_contiguous),
        lambda a: a.size == 0,
        lambda a: a.ndim == 0,
    ],
    ids=["fortran", "negative", "unaligned", "read-only", "byte-swapped", "gaps", "empty", "scalar"],
)
def test_every_layout_is_generated(wanted):
    assert wanted(find(strategies.arrays("float32"), wanted, settings=settings(MANY, max_examples=2000)))


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (0, 2), (5,), (2, 3, 2)])
def test_a_layout_keeps_every_bit(name, shape):
    codes = np.random.default_rng(0).integers(0, 2**32, shape, dtype=np.uint32)
    laid = lay_out(codes.view(np.float32), name)
    assert laid.shape == shape
    native = laid if laid.dtype.isnative else laid.byteswap().view(laid.dtype.newbyteorder())
    assert native.tobytes() == codes.tobytes()


@FEW
@given(data=st.data(), dtype=st.sampled_from(DTYPES), steps=st.integers(0, 9))
def test_the_comparison_confirms_the_distance_of_near_arrays(data, dtype, steps):
    first, second = data.draw(strategies.arrays_within_ulps(steps, dtype, (4,)))
    assert compare(second, first, max_ulp=steps)


def test_near_arrays_reach_their_largest_distance():
    pair = find(
        strategies.arrays_within_ulps(3, "float32", (1,)), lambda p: not compare(p[1], p[0], max_ulp=2), settings=FEW
    )
    assert compare(*pair, max_ulp=3)


def test_steps_go_through_zero_and_stop_at_the_largest():
    tiny = np.float32(1e-45)
    values = np.array([tiny, -tiny, 0.0, np.finfo(np.float32).max], np.float32)
    moved = move_by_ulps(values, np.array([-2, 2, -1, 5]))
    assert moved.tolist() == [-tiny, tiny, -tiny, np.finfo(np.float32).max]
    assert np.signbit(move_by_ulps(np.array([-0.0], np.float32), np.array([0]))[0])


@FEW
@given(data=st.data(), count=st.integers(1, 12))
def test_a_split_holds_every_sample_and_no_empty_batch(data, count):
    sizes = data.draw(strategies.batch_splits(count, max_parts=4))
    assert sum(sizes) == count
    assert min(sizes) >= 1
    assert len(sizes) <= 4
    assert sorted(data.draw(strategies.permutations(count))) == list(range(count))


def test_splits_and_orders_shrink_to_the_plain_case():
    assert find(strategies.batch_splits(6), lambda s: True, settings=FEW) == [6]
    assert list(find(strategies.permutations(4), lambda p: True, settings=FEW)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "make",
    [
        lambda: strategies.edge_floats("int8"),
        lambda: strategies.edge_floats("no dtype"),
        lambda: strategies.arrays_within_ulps(-1),
        lambda: strategies.arrays_within_ulps(1.5),
        lambda: strategies.batch_splits(0),
        lambda: strategies.permutations(True),
        lambda: strategies.layouts([1.0]),
        lambda: strategies.conditions([]),
        lambda: strategies.conditions(["no such axis"]),
        lambda: strategies.conditions({"n": [1]}),
    ],
)
def test_wrong_arguments_are_rejected(make):
    with pytest.raises(UsageError):
        make()


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 0, 3)])
def test_every_layout_of_a_tensor_keeps_its_bits(shape):
    torch = pytest.importorskip("torch")
    codes = torch.randint(-(2**31), 2**31, shape, dtype=torch.int32, generator=torch.Generator().manual_seed(0))

    @FEW
    @given(tensor=_tensor_layouts(codes.view(torch.float32)))
    def check(tensor):
        assert tensor.dtype is torch.float32
        assert torch.equal(tensor.contiguous().view(torch.int32), codes)

    check()


def test_every_layout_of_tensors_is_generated():
    torch = pytest.importorskip("torch")
    for wanted in (
        lambda t: t.storage_offset() > 0 and t.numel() > 0,
        lambda t: t.numel() > 1 and t.stride(-1) == 2,
        lambda t: t.ndim > 1 and t.T.is_contiguous() and not t.is_contiguous() if t.ndim == 2 else False,
    ):
        assert find(strategies.tensors("float32"), lambda t, w=wanted: bool(w(t)), settings=SOME) is not None
    negative_nan = find(
        strategies.tensors(torch.bfloat16, (2,)),
        lambda t: t.dtype is torch.bfloat16 and bool((t.view(torch.int16) == -1).all()),
        settings=MANY,
    )
    assert bool(negative_nan.isnan().all())


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pytest-repro\[torch\]"):
        strategies.tensors()
    monkeypatch.setitem(sys.modules, "hypothesis.extra.numpy", None)
    with pytest.raises(MissingExtraError, match=r"pytest-repro\[hypothesis\]"):
        importlib.reload(strategies)


def test_a_condition_shrinks_to_the_one_axis_and_the_first_value_that_matter():
    across = {"timezone": ["UTC", "Asia/Tokyo"], "n": [0, 1, 2, 3, 4], "m": ["a", "b"]}

    def compute(n=0, m="a"):
        return {"large": n >= 3, "m": str(type(m))}

    assert examine(compute, runs=1, across={"m": ["a", "b"], "n": [0, 2]})
    found = find(strategies.conditions(across), lambda c: not examine(compute, runs=1, across=c), settings=FEW)
    assert found == {"n": [0, 3]}


@FEW
@given(data=st.data())
def test_a_condition_varies_at_least_one_axis_from_its_first_value(data):
    across = {"timezone": ["UTC", "Asia/Tokyo"], "n": [0, 1, 2], "threads": [1, 2]}
    picked = data.draw(strategies.conditions(across))
    assert picked
    for name, (baseline, other) in picked.items():
        assert baseline == across[name][0]
        assert other in across[name][1:]
