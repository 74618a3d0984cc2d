"""An axis as a user requests it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_repro.axes.spec import Axis, canonical, check_json
from pytest_repro.errors import UsageError
from pytest_repro.model import Tolerance, TolerancePolicy


def test_an_axis_without_bounds_has_no_tolerance_of_its_own() -> None:
    assert Axis([1, 2]).values == (1, 2)
    assert Axis([1, 2]).tolerance is None


def test_bounds_become_a_tolerance() -> None:
    assert Axis([1, 2], max_ulp=64, rtol=1e-6).tolerance == Tolerance(max_ulp=64, rtol=1e-6)


def test_a_mapping_of_globs_becomes_a_policy() -> None:
    policy = Axis([1, 2], tolerance={"metrics/*": Tolerance(rtol=1e-6)}).tolerance
    assert isinstance(policy, TolerancePolicy)
    assert policy.find("metrics/acc").rtol == 1e-6


def test_bounds_together_with_a_tolerance_are_rejected() -> None:
    with pytest.raises(UsageError, match="not both"):
        Axis([1, 2], max_ulp=3, tolerance=Tolerance(rtol=1e-3))


@pytest.mark.parametrize(
    "bad", [{"max_ulp": -1}, {"rtol": float("nan")}, {"atol": float("inf")}, {"max_ulp": 1.5}, {"max_ulp": False}]
)
def test_a_bad_bound_is_rejected(bad: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Axis([1, 2], **bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["UTC", b"x", {"a": 1}, object()])
def test_values_other_than_a_list_are_rejected(bad: object) -> None:
    with pytest.raises(UsageError, match="must be a list"):
        Axis(bad)  # type: ignore[arg-type]


def test_equal_numbers_of_different_types_are_different_values() -> None:
    assert len({canonical(v) for v in (1, 1.0, True, "1")}) == 4


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), (1, 2), {1: 2}, {"a": (1,)}, object(), [b"x"], 1j])
def test_a_value_that_json_cannot_hold_is_rejected(bad: object) -> None:
    with pytest.raises(UsageError, match="across"):
        check_json(bad, "across={'x': ...}")


def test_a_numpy_float_is_rejected_although_it_is_a_float() -> None:
    numpy = pytest.importorskip("numpy")
    with pytest.raises(UsageError, match="float64"):
        check_json(numpy.float64(1.0), "across")


def test_importing_the_axes_imports_neither_numpy_nor_a_framework() -> None:
    code = (
        "import sys, pytest_repro.axes as axes; axes.parse_across(['isa', 'threads']);"
        "print({'numpy', 'torch', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"
