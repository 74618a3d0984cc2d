"""Addresses of new objects where forks of one process happen to share them: moved, to see whether results follow."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from pytest_repro.model import JSON
from pytest_repro.sources.addresses import AddressSource
from pytest_repro.sources.base import Pin
from pytest_repro.sources.heap import LARGEST, STEP, make_blocks

#: Blocks of each size kept at most.
_MAX_BLOCKS = 200


def shift_addresses(amount: int) -> list[object]:
    """Return blocks of every size, as many as the amount makes of it. While they are kept, new objects move."""
    draw = random.Random(str(amount))
    held: list[object] = []
    for size in range(STEP, LARGEST + 1, STEP):
        held += make_blocks(size, draw.randrange(1, _MAX_BLOCKS))
    return held


@contextmanager
def _shifted(value: JSON) -> Iterator[None]:
    held = shift_addresses(int(str(value)))
    yield
    held.clear()


class ShiftedAddresses(AddressSource):
    """Addresses that runs share until they are shifted, each run's by another amount."""

    name = "shift"
    label = "addresses"
    pinned = "with the addresses of new objects unchanged"
    contrast = "with them shifted, {differing} of {compared} differed"
    pin: ClassVar[Pin] = Pin("shift", applied=_shifted)
    is_searched = False
    is_provoked = True
    # Memory that is read before it is written holds other values, too, where other objects are.
    confounded_by: ClassVar[tuple[str, ...]] = ("memory",)

    def condition(self, run: int) -> tuple[str, JSON]:
        return self.pin.name, run
