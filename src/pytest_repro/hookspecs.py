"""Hooks that other plugins and conftest files may implement."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.hookspec
def pytest_repro_register_rng(config: pytest.Config) -> Any:
    """Return a generator of your package, or a list of them, to seed before every run and to restore after the test.

    Called once, before the first test. A generator has a `name` and three callables: ``seed(number)`` with
    0 <= number < 2**32, ``save()``, which returns a copy of the state, and ``restore(state)``.

    Parameters
    ----------
    config : pytest.Config

    Returns
    -------
    object with `name`, `seed`, `save` and `restore`, or an iterable of such objects, or None

    Examples
    --------
    In a ``conftest.py``, for a simulator that draws from a generator of its own::

        import mysimulator

        class SimulatorRng:
            name = "mysimulator"

            def seed(self, number):
                mysimulator.rng.seed(number)

            def save(self):
                return mysimulator.rng.getstate()

            def restore(self, state):
                mysimulator.rng.setstate(state)

        def pytest_repro_register_rng(config):
            return SimulatorRng()

    A package that supports Hypothesis by ``hypothesis.register_random`` needs no hook.
    """
