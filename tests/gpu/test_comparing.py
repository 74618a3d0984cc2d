"""Comparison of tensors on their device gives the figures of the host."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pytest_repro.frameworks.torch_comparing import compare_tensors
from pytest_repro.model import Tolerance
from pytest_repro.numerics import compare_arrays
from tests.gpu.devices import DEVICES


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("differing", [0, 3, 300_000])
def test_figures_on_the_device_match_the_host(device, dtype, differing):
    expected = torch.randn(300_000, generator=torch.Generator().manual_seed(0)).to(dtype)
    actual = expected.clone()
    actual[:differing] *= 1.25
    name, bound = str(dtype).removeprefix("torch."), Tolerance(max_ulp=2)
    there = compare_tensors(actual.to(device), expected.to(device), dtype=name, bound=bound)
    here = compare_arrays(actual.numpy(), expected.numpy(), dtype=name, bound=bound)
    for figure in ("differing", "over", "max_ulp", "max_abs", "first_index", "worst_index"):
        assert getattr(there, figure) == getattr(here, figure), figure
    # The host divides float32 numbers in float32.
    assert np.isclose(there.max_rel or 0.0, here.max_rel or 0.0, rtol=1e-6)
