"""Generators registered with ``hypothesis.register_random``, so that one registration serves both tools."""

from __future__ import annotations

import random
from typing import Any

import hypothesis.core
from hypothesis.internal import entropy

from pytest_repro.frameworks.base_state import Flag, Request

FLAGS: tuple[Flag, ...] = ()


def _managed() -> dict[int | str, Any]:
    """Return the live registered generators by Hypothesis' own key, without those that have adapters here."""
    # .data is copied as in Hypothesis: iterating over the weak mapping itself races with the garbage collector.
    registered = entropy.RANDOMS_TO_MANAGE.data.copy().items()
    generators: dict[int | str, Any] = {
        key: generator
        for key, reference in registered
        if (generator := reference()) is not None and generator is not random and generator is not entropy.NP_RANDOM
    }
    return {**generators, "explorer": _explorer()}


def _explorer() -> random.Random:
    """Return the generator from which Hypothesis draws examples, and create it if it does not exist yet.

    Hypothesis registers it only for one kind of first use (6.170). Otherwise it would create it unseeded within the
    first run, which would get other examples than the next.
    """
    local = hypothesis.core.threadlocal
    if local._hypothesis_global_random is None:
        local._hypothesis_global_random = random.Random()
    return local._hypothesis_global_random  # type: ignore[no-any-return]


def seed(seed: int) -> None:
    """Seed each registered generator, and the one from which Hypothesis draws examples."""
    for generator in _managed().values():
        generator.seed(seed)


def save_rng() -> Any:
    """Return the states of the registered generators."""
    return {key: generator.getstate() for key, generator in _managed().items()}


def restore_rng(saved: Any) -> None:
    """Restore the states of the generators that are still alive."""
    for key, generator in _managed().items():
        if key in saved:
            generator.setstate(saved[key])


def deterministic_requests(*, warn_only: bool, fill_uninitialized: bool) -> list[Request]:
    """Request nothing, because ``derandomize`` is the user's choice."""
    return []
