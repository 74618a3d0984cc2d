"""Seeds: derived from names, checked, and given to every generator that the process has."""

from __future__ import annotations

import contextlib
import hashlib
import operator
from collections.abc import Iterator

from pytest_repro.errors import UsageError
from pytest_repro.frameworks.base_state import loaded_adapters
from pytest_repro.seeding import generators

#: NumPy's legacy generator takes 32 bits, so every seed of ours fits all frameworks.
SEED_LIMIT = 2**32

#: The seed last given in each run that is active, the innermost last.
_active: list[int] = []


def derive_seed(base: int, name: str) -> int:
    """Derive a seed from a base seed and a name, the same in every process, platform and version.

    Parameters
    ----------
    base : int
    name : str
        For a test its node id.

    Returns
    -------
    int, 0 <= seed < 2**32
    """
    # The length of the base is told apart by the separator: a decimal number holds none.
    digest = hashlib.sha256(f"{operator.index(base)}:{name}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big")


def check_seed(seed: int) -> int:
    """Return the seed as a plain int, or raise UsageError if it is none that every generator takes."""
    try:
        if isinstance(seed, bool):
            raise TypeError
        number = operator.index(seed)
    except TypeError:
        raise UsageError(f"a seed must be a whole number, got {seed!r} ({type(seed).__name__})") from None
    if not 0 <= number < SEED_LIMIT:
        raise UsageError(f"a seed must be at least 0 and below 2**32 (NumPy's generator takes no other), got {number}")
    return number


def seed_everything(seed: int) -> int:
    """Seed Python, NumPy, torch on every device, and each registered generator; return the seed.

    Only frameworks that are imported already are seeded, and no device is initialised: an accelerator gets
    the seed when it initialises. JAX has no global generator: make ``jax.random.key(seed)`` from the seed returned.

    Parameters
    ----------
    seed : int, 0 <= seed < 2**32

    Raises
    ------
    UsageError
        If the seed is not such a number.
    """
    seed = check_seed(seed)
    note_seed(seed)
    for adapter in loaded_adapters():
        adapter.seed(seed)
    generators.seed_registered(seed)
    return seed


def active_seed() -> int | None:
    """Return the seed last given in the run that is active, or None outside of a run."""
    return _active[-1] if _active else None


def note_seed(seed: int) -> None:
    """Remember what a framework imported from now on in this run is to be seeded with."""
    if _active:
        _active[-1] = seed


@contextlib.contextmanager
def run_with(seed: int) -> Iterator[None]:
    """Count as an active run while open."""
    _active.append(seed)
    try:
        yield
    finally:
        _active.pop()
