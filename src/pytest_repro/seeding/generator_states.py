"""States of generator objects, such as those that variables and parameters hold."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

_GENERATORS: tuple[type, ...] = (
    random.Random,
    np.random.Generator,
    np.random.RandomState,
    np.random.BitGenerator,
    np.random.SeedSequence,
)


def is_generator(kind: type) -> bool:
    """Return whether a type is that of a generator of random numbers."""
    return issubclass(kind, _GENERATORS) or (kind.__name__ == "Generator" and kind.__module__.startswith("torch"))


def remember_state(value: Any) -> Callable[[], None] | None:
    """Return what restores a generator's present state, or None for any other value."""
    kind = type(value)
    if not is_generator(kind):
        return None
    if issubclass(kind, np.random.Generator):
        value, kind = value.bit_generator, type(value.bit_generator)
    if issubclass(kind, np.random.BitGenerator):
        return _remember_attribute(value)
    names = [(get, put) for get, put in (("getstate", "setstate"), ("get_state", "set_state")) if hasattr(value, put)]
    if not names:
        return None
    get, put = names[0]
    try:
        state = getattr(value, get)()
    except NotImplementedError:  # the operating system's generator has no state
        return None
    return lambda: getattr(value, put)(state)


def _remember_attribute(generator: Any) -> Callable[[], None]:
    state = generator.state

    def restore() -> None:
        generator.state = state

    return restore
