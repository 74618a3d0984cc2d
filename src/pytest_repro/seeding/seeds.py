"""Derivation and validation of seeds, and seeding of every generator in the process."""

from __future__ import annotations

import contextlib
import hashlib
import operator
from collections.abc import Iterator

from pytest_repro.errors import UsageError
from pytest_repro.frameworks.base_state import loaded_adapters
from pytest_repro.seeding import generators

#: NumPy's legacy generator accepts only 32 bits, so every seed is accepted by all frameworks.
SEED_LIMIT = 2**32

#: The last seed of each active run, the innermost run last.
_active: list[int] = []


def derive_seed(base: int, name: str) -> int:
    """Derive a seed from a base seed and a name, identically in every process, platform and version.

    Parameters
    ----------
    base : int
    name : str
        The node id, for a test.

    Returns
    -------
    int, 0 <= seed < 2**32
    """
    # The separator makes the text unambiguous, because a decimal number does not contain it.
    digest = hashlib.sha256(f"{operator.index(base)}:{name}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big")


def check_seed(seed: int) -> int:
    """Return the seed as a plain int, or raise UsageError if not every generator accepts it."""
    try:
        if isinstance(seed, bool):
            raise TypeError
        number = operator.index(seed)
    except TypeError:
        raise UsageError(f"a seed must be an integer, got {seed!r} ({type(seed).__name__})") from None
    if not 0 <= number < SEED_LIMIT:
        raise UsageError(f"a seed must be >= 0 and < 2**32 (the range of NumPy's generator), got {number}")
    return number


def seed_everything(seed: int) -> int:
    """Seed Python, NumPy, torch on every device, and each registered generator.

    Only frameworks that are already imported are seeded, and no device is initialised: an accelerator is seeded when
    it is initialised. JAX has no global generator: pass the returned seed to ``jax.random.key(seed)``.

    Parameters
    ----------
    seed : int, 0 <= seed < 2**32

    Returns
    -------
    int
        The seed.

    Raises
    ------
    UsageError
        If the seed is not an integer in this range.

    Examples
    --------
    >>> import random
    >>> seed_everything(7)
    7
    >>> first = random.random()
    >>> seed_everything(7)
    7
    >>> random.random() == first
    True
    """
    seed = check_seed(seed)
    note_seed(seed)
    for adapter in loaded_adapters():
        adapter.seed(seed)
    generators.seed_registered(seed)
    return seed


def active_seed() -> int | None:
    """Return the last seed of the active run, or None outside of a run."""
    return _active[-1] if _active else None


def note_seed(seed: int) -> None:
    """Record the seed for frameworks that are imported later in the active run."""
    if _active:
        _active[-1] = seed


@contextlib.contextmanager
def run_with(seed: int) -> Iterator[None]:
    """Mark a run as active within the context."""
    _active.append(seed)
    try:
        yield
    finally:
        _active.pop()
