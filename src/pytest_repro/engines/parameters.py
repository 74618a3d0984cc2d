"""A test's parameters: digests, by which two processes find that they collected the same, and generators among them."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_locals, capture_tree, digest
from pytest_repro.capturing.local_values import is_generator
from pytest_repro.capturing.run_texts import RunTexts
from pytest_repro.errors import ReproError
from pytest_repro.model import Artifacts

#: The names that `tempfile` drew while the tests were collected.
DRAWN_NAMES_KEY = pytest.StashKey[Collection[str]]()
_DIGESTS_KEY = pytest.StashKey[dict[str, str]]()


def digest_parameters(item: pytest.Function) -> dict[str, str]:
    """Return name -> digest of the parameters that can be compared, as they are at the first call for this test.

    Tests may share a parameter, such as a generator, and the first of them leaves it in another state.
    """
    if _DIGESTS_KEY not in item.stash:
        item.stash[_DIGESTS_KEY] = _digest_parameters(item)
    return item.stash[_DIGESTS_KEY]


def _digest_parameters(item: pytest.Function) -> dict[str, str]:
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return {}
    base = getattr(getattr(item.config, "_tmp_path_factory", None), "_basetemp", None)
    texts = RunTexts([] if base is None else [str(base)], item.config.stash.get(DRAWN_NAMES_KEY, ()))
    captured = {name: _capture(name, value, texts) for name, value in callspec.params.items()}
    return {name: digest(artifacts) for name, artifacts in captured.items() if artifacts.leaves}


def _capture(name: str, value: object, texts: RunTexts) -> Artifacts:
    if not is_generator(type(value)):
        return capture_locals({name: value}, texts=texts)
    try:
        return capture_tree(value, root=name, top_level=False)
    except ReproError:  # the operating system's generator has no state
        return Artifacts()


class ParameterGenerators:
    """The generators among a test's parameters, which every run is to find as the first run did.

    They are made once, when the tests are collected. A second run in the same process would go on where the first has
    stopped, although the test draws the same numbers whenever it is run alone.
    """

    def __init__(self, item: pytest.Function) -> None:
        params: Mapping[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
        self._restore = [restore for value in params.values() if (restore := _remember(value)) is not None]

    def restore(self) -> None:
        """Restore their states before the first run."""
        for restore in self._restore:
            restore()


def _remember(value: Any) -> Callable[[], None] | None:
    """Return what restores a generator's present state, or None for any other value."""
    kind = type(value)
    if not is_generator(kind) or issubclass(kind, random.SystemRandom):
        return None
    if issubclass(kind, np.random.Generator):
        value, kind = value.bit_generator, type(value.bit_generator)
    if issubclass(kind, np.random.BitGenerator):
        return _remember_attribute(value)
    names = [(get, put) for get, put in (("getstate", "setstate"), ("get_state", "set_state")) if hasattr(value, put)]
    if not names:
        return None
    get, put = names[0]
    state = getattr(value, get)()
    return lambda: getattr(value, put)(state)


def _remember_attribute(generator: Any) -> Callable[[], None]:
    state = generator.state

    def restore() -> None:
        generator.state = state

    return restore


def find_changed(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Return the parameters whose values differ between two processes."""
    return [name for name, found in here.items() if there.get(name, found) != found]


def describe_changed(names: Collection[str]) -> str:
    """Return the reason why a test with such parameters is not reproducible."""
    subject = "its parameter " if len(names) == 1 else "its parameters "
    verb, pronoun = ("has", "It is") if len(names) == 1 else ("have", "They are")
    return (
        f"{subject}{', '.join(map(repr, names))} {verb} another value in each process. {pronoun} drawn while the tests "
        "are collected, from a source that no seed reaches: draw from a seeded generator, or in the test"
    )
