"""NumPy's global (legacy) generator and the settings that change what an operation gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_repro.frameworks.base_state import Flag, Request

#: Any: the stubs lack the functions that exchange the bit generator.
_random: Any = np.random


def seed(seed: int) -> None:
    """Seed the functions of :mod:`numpy.random`, whichever bit generator stands behind them."""
    generator = _random.get_bit_generator()
    if isinstance(generator, np.random.MT19937):
        np.random.seed(seed)
        return
    # For another one, put there by np.random.set_bit_generator, np.random.seed keeps the normal draw left over.
    np.random.set_state(np.random.RandomState(type(generator)(seed)).get_state(legacy=False))


def save_rng() -> Any:
    """Return the bit generator behind :mod:`numpy.random`, and its state with the cached normal draw."""
    return _random.get_bit_generator(), np.random.get_state(legacy=False)


def restore_rng(saved: Any) -> None:
    """Put a state of :func:`save_rng` back, with the bit generator it belongs to."""
    generator, state = saved
    if _random.get_bit_generator() is not generator:
        _random.set_bit_generator(generator)
    np.random.set_state(state)


FLAGS = (
    Flag("numpy.errstate", np.geterr, lambda saved: void(np.seterr(**saved))),
    # The length of the buffer decides how a reduction with a cast is split, and so its rounding.
    Flag("numpy.buffer_size", np.getbufsize, lambda saved: void(np.setbufsize(saved))),
    # A captured str(array) depends on these.
    Flag("numpy.print_options", np.get_printoptions, lambda saved: np.set_printoptions(**saved)),
)


def void(_: object) -> None:
    """Drop the previous value that NumPy's setters return."""


def deterministic_requests(*, warn_only: bool, fill_uninitialized: bool) -> list[Request]:
    """Ask for nothing: NumPy has no switch. np.empty is filled by the axis ``memory``, which can tell that it was."""
    return []
