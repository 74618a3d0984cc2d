from __future__ import annotations

import numpy as np
import pytest

from pytest_repro.model import Tolerance
from pytest_repro.numerics import compare_arrays
from pytest_repro.numerics.underflow import gradual_underflow, is_flushing
from tests.unit.numerics.helpers import count_steps

torch = pytest.importorskip("torch")


@pytest.fixture
def flushing():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormal numbers to zero")
    yield
    torch.set_flush_denormal(False)


@pytest.mark.usefixtures("flushing")
def test_flush_to_zero_is_off_within_the_context_and_restored_after_it():
    assert is_flushing()
    with gradual_underflow():
        assert not is_flushing()
    assert is_flushing()


def test_without_flush_to_zero_nothing_changes():
    assert not is_flushing()
    with gradual_underflow():
        assert not is_flushing()
    assert not is_flushing()


@pytest.mark.usefixtures("flushing")
@pytest.mark.parametrize(("dtype", "one", "two"), [("float32", 1e-40, 2e-40), ("float64", 1e-310, 2e-310)])
def test_subnormals_that_numpy_considers_equal_differ(dtype, one, two):
    with gradual_underflow():
        left, right = np.full(3, one, dtype), np.full(3, two, dtype)
    assert np.array_equal(left, right), "the test proves nothing if NumPy finds the difference"
    found = compare_arrays(left, right)
    with gradual_underflow():
        assert found.differing == 3
        assert found.max_abs == pytest.approx(one, rel=1e-4)
        assert found.max_rel == pytest.approx(0.5, rel=1e-4)
        assert found.max_abs > 0.0
    assert found.max_ulp == count_steps(left, right)[0] > 50_000


@pytest.mark.usefixtures("flushing")
def test_a_bound_admits_the_same_subnormals_as_without_flushing():
    with gradual_underflow():
        left, right = np.array([1e-310, 1.0]), np.array([2e-310, 1.0])
        bounds = [Tolerance(rtol=0.4), Tolerance(rtol=0.6), Tolerance(atol=5e-311), Tolerance(atol=2e-310)]
        wanted = [compare_arrays(left, right, bound=bound).over for bound in bounds]
    assert wanted == [1, 0, 1, 0]
    assert [compare_arrays(left, right, bound=bound).over for bound in bounds] == wanted


@pytest.mark.usefixtures("flushing")
def test_every_figure_is_the_same_with_flushing_on_and_off():
    with gradual_underflow():
        rng = np.random.default_rng(1)
        expected = (rng.standard_normal(5_000) * 1e-38).astype(np.float32)
        actual = expected.copy()
        actual.view(np.int32)[:] += rng.integers(-9, 9, 5_000, dtype=np.int32)
        wanted = compare_arrays(actual, expected, bound=Tolerance(max_ulp=3))
    assert compare_arrays(actual, expected, bound=Tolerance(max_ulp=3)) == wanted
