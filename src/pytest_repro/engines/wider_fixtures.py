"""Generators around fixtures that outlive the test: such a fixture has a seed of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pytest_repro.frameworks.base_state import loaded_adapters
from pytest_repro.seeding import State, restore_state, save_state, seed_everything
from pytest_repro.undisturbed import Undisturbed


class WiderFixtures:
    """Sets up fixtures that outlive the test, each from a seed of its own.

    What such a fixture draws does not move the generators of the test that requests it first. But a generator that the
    fixture seeds stays as the fixture left it, at the beginning of every test that uses the fixture: so does the first
    test of a class whose ``setup_class`` calls ``np.random.seed(0)``, when it runs alone.
    """

    def __init__(self) -> None:
        self._left: dict[Any, Mapping[str, Any]] = {}

    @contextmanager
    def setting_up(self, fixture: Any, seed: int, *, is_first: bool) -> Iterator[State]:
        """Surround the setup of a fixture, and yield the state before it. Flags stay changed.

        `is_first` is whether no fixture of the test itself has been set up, so that the test begins after this one.
        """
        with Undisturbed(keeps_settings=True):
            before = save_state()
            seed_everything(seed)
        try:
            yield before
        finally:
            with Undisturbed(keeps_settings=True):
                self._left[fixture] = {
                    adapter.__name__: adapter.save_rng()
                    for adapter in loaded_adapters()
                    if adapter.__name__ in before.frameworks and _is_reseeded(adapter, seed)
                }
                restore_state(before, flags=False)
                if is_first:
                    self.begin_test([fixture])

    def begin_test(self, fixtures: Iterable[Any]) -> None:
        """Restore the generators that the fixtures of a test have seeded, those of the narrowest scope last."""
        adapters = {adapter.__name__: adapter for adapter in loaded_adapters()}
        for fixture in fixtures:
            for name, saved in self._left.get(fixture, {}).items():
                adapters[name].restore_rng(saved)


def _is_reseeded(adapter: Any, seed: int) -> bool:
    is_reseeded = getattr(adapter, "is_reseeded", None)
    return is_reseeded is not None and bool(is_reseeded(seed))
