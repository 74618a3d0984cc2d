"""Causes due to torch: racing kernels, uninitialised memory, DataLoader workers with their own streams."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from pytest_repro import DivergenceError

torch = pytest.importorskip("torch")

planted = functools.partial(pytest.mark.xfail, strict=True, raises=DivergenceError)


@pytest.fixture
def eight_threads():
    """Use more threads than most machines have cores, because two threads hide races: a + b = b + a."""
    before = torch.get_num_threads()
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


def scatter_sums(rounds: int = 5) -> torch.Tensor:
    """Sum 20,000 rows into 50 bins, with several rows added to a bin at the same time."""
    bins = torch.randint(0, 50, (20_000,))
    rows = torch.randn(20_000, 16)
    sums = torch.zeros(50, 16)
    for _ in range(rounds):
        sums.index_put_((bins,), rows, accumulate=True)
    return sums


@pytest.mark.reproducible
@planted(reason="index_put_(accumulate=True) adds in the order in which threads arrive")
def test_racing_accumulation(eight_threads):
    return scatter_sums()


@pytest.mark.reproducible
def test_racing_accumulation_repaired(eight_threads, deterministic):
    return scatter_sums()


def summed_gradients(allocate, sizes=(100, 1_000, 10_000, 100_000)) -> list[torch.Tensor]:
    """Add eight gradients of each size to a buffer that `allocate` creates."""
    sums = []
    for size in sizes:
        total = allocate(size)
        for _ in range(8):
            total += torch.randn(size)
        sums.append(total)
    return sums


@pytest.mark.reproducible
@planted(reason="torch.empty contains whatever was in that memory before")
def test_uninitialised_memory():
    return summed_gradients(torch.empty)


@pytest.mark.reproducible
def test_uninitialised_memory_repaired():
    return summed_gradients(torch.zeros)


class Jittered(torch.utils.data.Dataset):
    """Numbers with noise from the worker's generator."""

    rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return 32

    def __getitem__(self, index: int) -> float:
        return index + self.rng.normal()


def seed_from_the_system(worker: int) -> None:
    torch.utils.data.get_worker_info().dataset.rng = np.random.default_rng()


def seed_from_torch(worker: int) -> None:
    # torch derives this seed from the loader's seed and the worker's number.
    torch.utils.data.get_worker_info().dataset.rng = np.random.default_rng(torch.initial_seed())


def load(worker_init_fn) -> list[torch.Tensor]:
    loader = torch.utils.data.DataLoader(Jittered(), batch_size=8, num_workers=2, worker_init_fn=worker_init_fn)
    return list(loader)


@pytest.mark.reproducible
@planted(reason="each DataLoader worker seeds its generator from the system")
def test_worker_stream():
    return load(seed_from_the_system)


@pytest.mark.reproducible
def test_worker_stream_repaired():
    return load(seed_from_torch)


@pytest.mark.reproducible
@planted(reason="Generator().seed() draws a new seed from the system")
def test_loader_generator():
    generator = torch.Generator()
    generator.seed()
    return torch.randperm(1000, generator=generator)


@pytest.mark.reproducible
def test_loader_generator_repaired(repro):
    return torch.randperm(1000, generator=torch.Generator().manual_seed(repro.seed))
