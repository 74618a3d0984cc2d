"""Verdicts for results of a GPU: atomics, deterministic kernels, and TF32."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from pytest_repro import Axis, Verdict, deterministic, examine
from tests.gpu.devices import ACCELERATOR, DEVICES, is_simulated, on_accelerator, on_cuda

GENERATOR = torch.Generator().manual_seed(0)
VALUES = torch.randn(200_000, generator=GENERATOR)
BINS = torch.randint(0, 7, (200_000,), generator=GENERATOR)
A, B = torch.randn(256, 256, generator=GENERATOR), torch.randn(256, 256, generator=GENERATOR)


def scatter(device, *, in_order=False):
    """Add many values into few bins, on the simulated device in a random order as atomics do."""
    values, bins = VALUES.to(device), BINS.to(device)
    if is_simulated(device) and not in_order:
        order = torch.randperm(len(VALUES), generator=torch.Generator().manual_seed(torch.seed()))
        values, bins = values[order], bins[order]
    return torch.zeros(7, device=device).index_add_(0, bins, values)


@pytest.mark.parametrize("device", DEVICES)
def test_atomics_differ_from_run_to_run(device):
    found = examine(lambda: scatter(device), runs=20)
    if found.verdict is Verdict.IDENTICAL and not is_simulated(device):
        pytest.skip("20 runs with atomics were identical by chance")
    assert found.verdict is Verdict.DIVERGED


@pytest.mark.parametrize("device", DEVICES)
def test_deterministic_kernels_give_identical_results_in_every_run(device):
    with deterministic():
        found = examine(lambda: scatter(device, in_order=True), runs=20)
    assert found.verdict is Verdict.IDENTICAL, str(found)


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_that_differs_from_itself_is_not_compared_with_the_cpu(device):
    noise = torch.Generator()

    def add_noise(repro):
        drawn = torch.randn(64, generator=noise) if repro.device != "cpu" else torch.zeros(64)
        return repro.place(torch.ones(64)) + drawn.to(repro.device)

    found = examine(add_noise, runs=1, across={"device": ["cpu", device]})
    assert found.result.matrix == {"device": "unstable"}
    assert [cause.code for cause in found.result.diagnosis.causes] == ["device.nondeterminism"]


def round_to_tf32(tensor):
    """Round float32 numbers to TF32's 10 bits of fraction."""
    bits = tensor.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def product(repro, *, uses_tf32):
    a, b = repro.place(A, B)
    if not uses_tf32 or repro.device == "cpu":
        return a @ b
    if is_simulated(repro.device):
        return round_to_tf32(a) @ round_to_tf32(b)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        return a @ b
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("device", [DEVICES[0], pytest.param("cuda", marks=on_cuda)])
def test_tf32_is_distinguished_from_rounding(device):
    if not is_simulated(device) and torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no TF32")
    across = {"device": Axis(["cpu", device], auto=True)}
    off = examine(lambda repro: product(repro, uses_tf32=False), runs=1, across=across)
    assert off, str(off)
    on = examine(lambda repro: product(repro, uses_tf32=True), runs=1, across=across)
    assert on.verdict is Verdict.DIVERGED
    assert on.result.divergences[0].error_ratio > 100


@on_accelerator
def test_the_device_axis_computes_on_its_device():
    def place(repro):
        return str(repro.place(torch.ones(2)).device.type)

    found = examine(place, runs=1, across={"device": ["cpu", ACCELERATOR]})
    assert found.verdict is Verdict.DIVERGED
