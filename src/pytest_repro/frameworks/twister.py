"""Whether a Mersenne Twister was seeded anew, or has only drawn: the generator of :mod:`random` and of old NumPy."""

from __future__ import annotations

# Not from `random`, whose first import within a run is watched by the adapter that uses this.
from _random import Random
from collections.abc import Sequence

_WORDS = 624
#: Blocks of words that are drawn here to find a state. Some 5 ms, and half a million draws.
_MAX_BLOCKS = 1000


def has_only_drawn(before: Sequence[int], after: Sequence[int]) -> bool:
    """Return whether a generator with the words `before` comes to the words `after` by drawing."""
    wanted = tuple(map(int, after))
    twister = Random(0)
    twister.setstate((*map(int, before), _WORDS))
    for _ in range(_MAX_BLOCKS):
        if twister.getstate()[:_WORDS] == wanted:
            return True
        twister.getrandbits(32 * _WORDS)
    return False
