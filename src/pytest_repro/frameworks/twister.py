"""Whether a Mersenne Twister was seeded anew, or has only drawn: the generator of :mod:`random` and of old NumPy."""

from __future__ import annotations

import random
from collections.abc import Sequence

_WORDS = 624
#: Blocks of words that are drawn here to find a state. Some 5 ms, and a million draws.
_MAX_BLOCKS = 1000


def has_only_drawn(before: Sequence[int], after: Sequence[int]) -> bool:
    """Return whether a generator with the words `before` comes to the words `after` by drawing."""
    after = tuple(after)
    twister = random.Random(0)
    twister.setstate((3, (*map(int, before), _WORDS), None))
    for _ in range(_MAX_BLOCKS):
        if twister.getstate()[1][:_WORDS] == after:
            return True
        twister.getrandbits(32 * _WORDS)
    return False
