"""The search for the border between two kinds of results in an ordered series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Side(Enum):
    """The side of the border on which one member of the series lies."""

    SAME = "same"
    DIFFERS = "differs"
    UNTESTABLE = "untestable"


@dataclass(frozen=True, slots=True)
class Border:
    """The last member known to give the same result as the first one, and the first member known to differ.

    All members between the two are untestable.
    """

    last_same: int
    first_different: int


def find_border(count: int, probe: Callable[[int], Side]) -> Border:
    """Bisect a series of which the first member is known to be the same and the last one to differ.

    The number of probes is at most the logarithm to base 2 of the members between the two, plus 1, plus the number of
    untestable ones.

    Parameters
    ----------
    count : int
        Number of members, at least 2.
    probe : callable
        Returns the side of a member. It is called at most once for each, and not for the first and the last.
    """
    low, high = 0, count - 1
    candidates = list(range(1, count - 1))
    while candidates:
        # The middle of those that are left, so that untestable ones cost a probe each and no balance.
        middle = candidates[len(candidates) // 2]
        side = probe(middle)
        if side is Side.SAME:
            low = middle
        elif side is Side.DIFFERS:
            high = middle
        candidates = [each for each in candidates if low < each < high and each != middle]
    return Border(low, high)
