"""Gradients averaged over NCCL ranks do not depend on their number. Gloo is tested in tests/frameworks."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from pytest_repro import assert_world_size_invariant
from tests.gpu.devices import on_cuda

ROWS = 24


def gradient(rank, world_size, device=None):
    """Return the gradient of a linear model over this rank's rows, averaged over ranks."""
    device = f"cuda:{rank}" if device is None else device
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(ROWS, 4, generator=generator), torch.randn(ROWS, generator=generator)
    weights = torch.ones(4, device=device, requires_grad=True)
    mine = slice(rank, None, world_size)
    (x[mine].to(device) @ weights - y[mine].to(device)).square().mean().backward()
    if world_size > 1:
        torch.distributed.all_reduce(weights.grad, op=torch.distributed.ReduceOp.AVG)
    return weights.grad.cpu()


def test_the_gradients_of_all_ranks_average_to_the_full_gradient():
    whole = gradient(0, 1, "cpu")
    alone = [slice_gradient(rank, 2) for rank in range(2)]
    assert torch.allclose(sum(alone) / 2, whole, rtol=1e-6)
    assert not torch.allclose(sum(alone), whole, rtol=1e-2)


def slice_gradient(rank, world_size):
    """Return one rank's gradient before the average over ranks."""
    reduce, torch.distributed.all_reduce = torch.distributed.all_reduce, lambda *args, **kwargs: None
    try:
        return gradient(rank, world_size, "cpu")
    finally:
        torch.distributed.all_reduce = reduce


@on_cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_results_do_not_depend_on_the_number_of_nccl_ranks():
    assert assert_world_size_invariant(gradient, world_sizes=(1, 2), backend="nccl", norm=1e-6)
