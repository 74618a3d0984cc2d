"""Worker processes of a DataLoader draw what the seed says, for every way of starting them."""

from __future__ import annotations

import random

import numpy as np
import pytest

from pytest_repro import seeding

torch = pytest.importorskip("torch")


class Draws(torch.utils.data.Dataset):
    """Each item is one draw from each of the three global generators of its worker."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[int, float, float, float]:
        return index, random.random(), float(np.random.rand()), float(torch.rand(()))


def load(context: str, seed: int, epochs: int) -> list[list[float]]:
    """Load all epochs; return a list for the order of shuffling and one for each generator."""
    with seeding.seeded(seed):
        loader = torch.utils.data.DataLoader(
            Draws(), batch_size=2, shuffle=True, num_workers=2, multiprocessing_context=context
        )
        batches = [batch for _ in range(epochs) for batch in loader]
    return [[float(x) for batch in batches for x in batch[column]] for column in range(4)]


# One epoch of spawned workers, because each of them imports torch again.
@pytest.mark.parametrize("context, epochs", [("fork", 2), ("spawn", 1)])
def test_order_and_draws_in_the_workers_repeat_with_the_seed_and_change_with_it(context: str, epochs: int) -> None:
    if context not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"this platform has no {context}")
    first = load(context, 3, epochs)
    random.seed()
    np.random.seed()
    torch.seed()
    assert load(context, 3, epochs) == first
    other = load(context, 4, epochs)
    assert [a == b for a, b in zip(first, other, strict=True)] == [False] * 4
    # No two workers and no two epochs draw the same.
    assert [len(set(column)) for column in first[1:]] == [8 * epochs] * 3
