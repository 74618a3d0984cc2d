"""Draws in the worker processes of a DataLoader follow the seed, for every start method."""

from __future__ import annotations

import random

import numpy as np
import pytest

from pytest_repro import seeding

torch = pytest.importorskip("torch")


class Draws(torch.utils.data.Dataset):
    """Dataset whose items are draws from the three global generators of the worker."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[int, float, float, float]:
        return index, random.random(), float(np.random.rand()), float(torch.rand(()))


def load(context: str, seed: int, epochs: int) -> list[list[float]]:
    """Return the indices and the draws of each generator, for all epochs."""
    with seeding.seeded(seed):
        loader = torch.utils.data.DataLoader(
            Draws(), batch_size=2, shuffle=True, num_workers=2, multiprocessing_context=context
        )
        batches = [batch for _ in range(epochs) for batch in loader]
    return [[float(x) for batch in batches for x in batch[column]] for column in range(4)]


# One epoch of spawned workers, because each of them imports torch again.
@pytest.mark.parametrize("context, epochs", [("fork", 2), ("spawn", 1)])
def test_order_and_draws_in_workers_follow_the_seed(context: str, epochs: int) -> None:
    if context not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"this platform has no {context}")
    first = load(context, 3, epochs)
    random.seed()
    np.random.seed()
    torch.seed()
    assert load(context, 3, epochs) == first
    other = load(context, 4, epochs)
    assert [a == b for a, b in zip(first, other, strict=True)] == [False] * 4
    # All draws of both workers and all epochs are different.
    assert [len(set(column)) for column in first[1:]] == [8 * epochs] * 3
