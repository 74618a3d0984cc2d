"""repro.place: values are moved to the run's device, and widened to float64 only in a reference run."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

from pytest_repro.errors import UsageError
from pytest_repro.frameworks.placing import place

Pair = namedtuple("Pair", "x y")


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [("f2", "f8"), ("f4", "f8"), ("f8", "f8"), ("c8", "c16"), ("g", "g"), ("i4", "i4"), ("?", "?")],
)
def test_arrays_are_widened_only_in_a_reference_run(dtype, wide):
    array = np.ones(3, dtype)
    assert place(array, "cpu", widens=True).dtype == np.dtype(wide)
    assert place(array, "cpu", widens=False) is array


def test_containers_keep_their_type():
    one = np.float32(1)
    placed = place({"a": [one, 2], "b": Pair(one, None)}, "cpu", widens=True)
    assert placed == {"a": [1.0, 2], "b": Pair(1.0, None)}
    assert isinstance(placed["b"], Pair)
    assert placed["a"][0].dtype == np.float64


def test_other_types_are_rejected_by_name():
    with pytest.raises(UsageError, match="a object cannot be placed"):
        place([object()], "cpu", widens=False)


def test_torch_modules_and_tensors_are_widened_exactly():
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    model.register_buffer("phase", torch.ones(2, dtype=torch.complex64))
    before = model[0].weight.detach().clone()
    wide, half, count, wave = place(
        (model, torch.ones(2, dtype=torch.bfloat16), torch.arange(2), torch.ones(2, dtype=torch.complex64)),
        "cpu",
        widens=True,
    )
    assert wide[0].weight.dtype == half.dtype == torch.float64
    assert torch.equal(wide[0].weight.float(), before)
    assert (count.dtype, wave.dtype, wide.phase.dtype) == (torch.int64, torch.complex128, torch.complex64)
    assert wide[1].num_batches_tracked.dtype == torch.int64
    assert place(torch.ones(2), "meta", widens=False).device.type == "meta"


def test_widening_jax_arrays_requires_x64():
    jax = pytest.importorskip("jax")
    value = jax.numpy.ones(2, "float32")
    assert place(value, "cpu:0", widens=False).dtype == "float32"
    assert place(jax.numpy.arange(2), "cpu", widens=True).dtype == jax.numpy.arange(2).dtype
    if jax.config.jax_enable_x64:
        pytest.skip("jax_enable_x64 is already set")
    with pytest.raises(UsageError, match="jax_enable_x64"):
        place(value, "cpu", widens=True)
