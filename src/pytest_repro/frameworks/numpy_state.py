"""NumPy's global (legacy) generator, and the settings that change results."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_repro.frameworks.base_state import Flag, Request
from pytest_repro.frameworks.twister import has_only_drawn

#: Typed as Any because the stubs lack the functions that replace the bit generator.
_random: Any = np.random


def seed(seed: int) -> None:
    """Seed the functions of :mod:`numpy.random`, whichever bit generator they use."""
    generator = _random.get_bit_generator()
    if isinstance(generator, np.random.MT19937):
        np.random.seed(seed)
        return
    # With another one, set by np.random.set_bit_generator, np.random.seed would keep the cached normal draw.
    np.random.set_state(np.random.RandomState(type(generator)(seed)).get_state(legacy=False))


def save_rng() -> Any:
    """Return the bit generator of :mod:`numpy.random`, and its state with the cached normal draw."""
    return _random.get_bit_generator(), np.random.get_state(legacy=False)


def restore_rng(saved: Any) -> None:
    """Restore a state that :func:`save_rng` returned, with its bit generator."""
    generator, state = saved
    if _random.get_bit_generator() is not generator:
        _random.set_bit_generator(generator)
    np.random.set_state(state)


def is_reseeded(seed: int) -> bool:
    """Return whether something else has seeded :mod:`numpy.random` since it was seeded with `seed`."""
    if not isinstance(_random.get_bit_generator(), np.random.MT19937):
        return False
    fresh: Any = np.random.RandomState(seed)
    before, after = fresh.get_state()[1], _random.get_state()[1]
    return not has_only_drawn(before.tolist(), after.tolist())


FLAGS = (
    Flag("numpy.errstate", np.geterr, lambda saved: void(np.seterr(**saved))),
    # The buffer size decides how a reduction with a cast is split, which changes its rounding.
    Flag("numpy.buffer_size", np.getbufsize, lambda saved: void(np.setbufsize(saved))),
    # A captured str(array) depends on these.
    Flag("numpy.print_options", np.get_printoptions, lambda saved: np.set_printoptions(**saved)),
)


def void(_: object) -> None:
    """Discard the previous value that NumPy's setters return."""


def deterministic_requests(*, warn_only: bool, fill_uninitialized: bool) -> list[Request]:
    """Request nothing: NumPy has no such setting, and np.empty is filled by the axis ``memory``."""
    return []
