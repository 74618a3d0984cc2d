"""Comparison of tensors: the shortcut finds every difference, and the figures on the device match the host's."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest

from pytest_repro.comparing import assert_weights_close, compare
from pytest_repro.errors import DivergenceError, UsageError
from pytest_repro.model import Tolerance, Verdict
from pytest_repro.numerics import compare_arrays

torch = pytest.importorskip("torch")

from pytest_repro.frameworks.torch_comparing import compare_tensors, count_if_equal


@pytest.mark.parametrize(
    "other",
    [
        torch.ones(4, requires_grad=True),
        torch.nn.Parameter(torch.ones(4), requires_grad=False),
        torch.ones(4, dtype=torch.float64),
        torch.ones(2, 2),
        torch.ones(4).to_sparse(),
        torch.ones(4, device="meta"),
        torch.ones(4).view(torch.int32),
        np.ones(4, np.float32),
    ],
    ids=["requires_grad", "class", "dtype", "shape", "layout", "device", "view", "array"],
)
def test_the_shortcut_finds_every_difference_in_traits(other):
    ones = torch.ones(4)
    assert count_if_equal(other, ones) is None
    if not (isinstance(other, torch.Tensor) and other.is_meta):
        assert compare({"w": other}, {"w": ones}).verdict is Verdict.DIVERGED


def test_lazy_conjugation_and_negation_are_resolved():
    values = torch.tensor([1 + 2j, 3 - 4j])
    assert compare(values.conj(), values).verdict is Verdict.DIVERGED
    assert compare(values.conj(), values.conj().resolve_conj()).is_identical
    negated = values.conj().imag
    assert negated.is_neg()
    assert compare({"x": negated}, {"x": torch.tensor([-2.0, 4.0])}).is_identical
    assert compare({"x": negated}, {"x": values.imag}).verdict is Verdict.DIVERGED


@pytest.mark.parametrize(
    "dtype", ["bfloat16", "float16", "float32", "float64", "int8", "bool", "complex64", "float8_e4m3fn", "float8_e5m2"]
)
def test_the_shortcut_compares_the_bytes_of_every_dtype(dtype):
    values = torch.tensor([0, 1, 2, 4]).to(getattr(torch, dtype))
    assert count_if_equal(values.clone(), values) == 4
    other = torch.tensor([0, 1, 2, 0]).to(getattr(torch, dtype))
    assert count_if_equal(other, values) is None
    assert compare({"x": other}, {"x": values}).differences[0].first_index == (3,)


def test_a_module_is_compared_by_its_parameters():
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 2)
    assert_weights_close(copy.deepcopy(module), module)
    moved = copy.deepcopy(module)
    with torch.no_grad():
        moved.weight[1, 2] += 1e-3
    with pytest.raises(DivergenceError, match="weight"):
        assert_weights_close(moved, module)
    assert_weights_close(moved, module, atol=2e-3)
    assert_weights_close(moved.state_dict(), module.state_dict(), tolerance={"weight": Tolerance(atol=2e-3)})


def pair(dtype: str, seed: int = 0, size: int = 3_000):
    rng = np.random.default_rng(seed)
    if dtype.startswith(("int", "uint")):
        info = np.iinfo(dtype)
        expected = torch.from_numpy(rng.integers(info.min, info.max, size, dtype=dtype, endpoint=True))
        actual = torch.from_numpy(rng.integers(info.min, info.max, size, dtype=dtype, endpoint=True))
    elif dtype == "bool":
        expected, actual = (torch.from_numpy(rng.random(size) < 0.5) for _ in range(2))
    else:
        expected = torch.from_numpy(rng.standard_normal(size)).to(getattr(torch, dtype))
        actual = torch.from_numpy(rng.standard_normal(size)).to(getattr(torch, dtype))
    actual[::3] = expected[::3]
    return actual, expected


def on_host(actual, expected, dtype, bound):
    sides = []
    for tensor in (actual, expected):
        width = tensor.element_size()
        plain = tensor.contiguous().resolve_conj()
        if dtype in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
            sides.append(plain.view({1: torch.uint8, 2: torch.int16}[width]).numpy().view(f"u{width}"))
        else:
            sides.append(plain.numpy())
    return compare_arrays(*sides, dtype=dtype, bound=bound)


def assert_same_figures(found, wanted):
    for name in ("norm_rel", "max_rel"):
        assert getattr(found, name) == (
            None if getattr(wanted, name) is None else pytest.approx(getattr(wanted, name), rel=1e-5)
        )
    rest = {"norm_rel": None, "max_rel": None}
    assert dataclasses.replace(found, **rest) == dataclasses.replace(wanted, **rest)


DTYPES = [
    *("float16", "bfloat16", "float32", "float64", "complex64", "int8", "uint8", "int64", "bool"),
    *("float8_e4m3fn", "float8_e5m2"),
]
BOUNDS = [Tolerance(), Tolerance(max_ulp=2**20), Tolerance(rtol=0.5, atol=1e-3), Tolerance(norm=0.1)]


@pytest.mark.parametrize("fetched", [10, 10_000], ids=["on the device", "fetched"])
@pytest.mark.parametrize("bound", BOUNDS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_figures_on_the_device_match_those_of_arrays(dtype, bound, fetched, monkeypatch):
    monkeypatch.setattr("pytest_repro.frameworks.torch_comparing.FETCHED_ELEMENTS", fetched)
    actual, expected = pair(dtype)
    found = compare_tensors(actual, expected, dtype=dtype, bound=bound, chunk_elements=1_000)
    assert_same_figures(found, on_host(actual, expected, dtype, bound))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-45])
def test_special_values_on_the_device_give_the_figures_of_arrays(dtype, value, monkeypatch):
    monkeypatch.setattr("pytest_repro.frameworks.torch_comparing.FETCHED_ELEMENTS", 10)
    actual, expected = pair(dtype)
    actual[5], expected[7], actual[9], expected[9] = value, value, -value, value
    for bound in BOUNDS:
        found = compare_tensors(actual, expected, dtype=dtype, bound=bound, chunk_elements=1_000)
        assert_same_figures(found, on_host(actual, expected, dtype, bound))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_distances_are_counted_on_the_device(dtype, monkeypatch):
    monkeypatch.setattr("pytest_repro.frameworks.torch_comparing.FETCHED_ELEMENTS", 2)
    top = torch.finfo(getattr(torch, dtype)).max / 4  # so that the difference does not overflow float64
    actual, expected = (
        torch.full((100,), top, dtype=getattr(torch, dtype)),
        torch.full((100,), -top, dtype=getattr(torch, dtype)),
    )
    for bound in (Tolerance(), Tolerance(max_ulp=2**63), Tolerance(max_ulp=2**64 - 1)):
        found = compare_tensors(actual, expected, dtype=dtype, bound=bound)
        assert_same_figures(found, on_host(actual, expected, dtype, bound))


def test_strided_and_scalar_tensors_are_measured_on_the_device():
    actual, expected = (side.reshape(50, 60).t()[::2] for side in pair("float32"))
    found = compare_tensors(actual, expected, dtype="float32", bound=Tolerance(), chunk_elements=700)
    assert_same_figures(found, on_host(actual, expected, "float32", Tolerance()))
    found = compare_tensors(torch.tensor(1.0), torch.tensor(2.0), dtype="float32", bound=Tolerance())
    assert (found.differing, found.first_index) == (1, ())


def test_tensors_of_different_shapes_are_rejected():
    with pytest.raises(UsageError):
        compare_tensors(torch.zeros(2), torch.zeros(3), dtype="float32", bound=Tolerance())


@pytest.mark.parametrize("seed", range(3))
def test_subnormals_differ_with_flush_to_zero_on(seed):
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormal numbers to zero")
    try:
        left, right = torch.full((5,), 3 + seed, dtype=torch.int32), torch.full((5,), 7, dtype=torch.int32)
        found = compare({"x": left.view(torch.float32)}, {"x": right.view(torch.float32)})
    finally:
        torch.set_flush_denormal(False)
    assert found.differences[0].max_ulp == 4 - seed
    assert found.differences[0].max_abs == (4 - seed) * 2.0**-149


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "complex128", "complex64"])
def test_default_bounds_match_torch_testing(dtype):
    bound, origin = Tolerance.per_dtype().for_dtype(dtype)
    kind = getattr(torch, dtype)
    assert (bound.rtol, bound.atol) == torch.testing._comparison.default_tolerances(kind)
    assert origin.startswith(f"{dtype}'s default")
    ones = torch.ones(8, dtype=kind)
    for factor in (1 + 0.5 * bound.rtol, 1 + 3 * (bound.rtol + bound.atol)):
        moved = ones * torch.tensor(factor, dtype=torch.float64).to(kind)
        try:
            torch.testing.assert_close(moved, ones)
            agrees = True
        except AssertionError:
            agrees = False
        assert bool(compare(moved, ones, Tolerance.per_dtype())) is agrees


def test_dtypes_with_default_bounds_match_torch_testing():
    known = {str(dtype).removeprefix("torch.") for dtype in torch.testing._comparison._DTYPE_PRECISIONS}
    ours = {name for name, _ in Tolerance.per_dtype().by_dtype}
    # complex32 cannot be compared here, and quantized integers are integers here.
    assert {name for name in known if not name.startswith("q")} == ours | {"complex32"}
