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


@pytest.hookspec(firstresult=True)
def pytest_repro_capture(value: Any) -> Any:
    """Return a tree of known values that stands for a value of a type of yours, or None for any other value.

    Called for each value of a type that pytest-repro does not list itself, subclasses of known types included, wherever
    it is found: returned, captured, or inside a container or an object. The first answer that is not None counts.

    Parameters
    ----------
    value : object
        Read it only. It is the test's own object, which goes on being used.

    Returns
    -------
    object or None
        Dicts, lists, arrays, tensors, numbers, text and whatever else can be captured, of another type than `value`.
        Everything by which two values can differ has to be in it, since nothing else of the value is compared.

    Examples
    --------
    In a ``conftest.py``, for a compiled index whose Python object has no attributes::

        from mysearch import Index

        def pytest_repro_capture(value):
            if isinstance(value, Index):
                return {"metric": value.metric, "vectors": value.to_numpy()}
            return None

    """
