"""A test's parameters: digests that show whether two processes collected the same, and the values for later runs."""

from __future__ import annotations

import copy
import types
from collections.abc import Collection, Mapping
from typing import Any

import pytest

from pytest_repro.capturing import capture_locals, capture_tree, digest
from pytest_repro.capturing.run_texts import RunTexts
from pytest_repro.engines.temporary_folders import find_base
from pytest_repro.errors import ReproError
from pytest_repro.frameworks.base_values import Internal
from pytest_repro.model import Artifacts
from pytest_repro.seeding.generator_states import is_generator, remember_state
from pytest_repro.undisturbed import undisturbed

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
    base = find_base(item.config)
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


class ItemParameters:
    """A test's parameters, which every run is to find as the first run did.

    They are made once, when the tests are collected. A second run in the same process would go on where the first has
    stopped, although the test finds the same values whenever it is run alone.

    Parameters
    ----------
    item : pytest.Function
    restores_all : bool
        Whether objects and containers that the first run has changed are restored as well as generators. Where the
        user asked for the test to be repeated, changing its own input is what is to be found.
    """

    def __init__(self, item: pytest.Function, *, restores_all: bool) -> None:
        callspec = getattr(item, "callspec", None)
        params: dict[str, Any] = getattr(callspec, "params", {})
        #: Before pytest 8 the values that are passed to the function are in a mapping of their own.
        self._mappings = (params, getattr(callspec, "funcargs", {}))
        self._restore = [restore for value in params.values() if (restore := remember_state(value)) is not None]
        self._copies: dict[str, Any] = {}
        if restores_all:
            found = {name: value for name, value in params.items() if not _is_constant(value)}
            self._copies = {name: copied for name, value in found.items() if (copied := _copy(value)) is not None}
        self._before = _digest({name: params[name] for name in self._copies})

    def restore(self) -> None:
        """Restore the parameters before a later run."""
        for restore in self._restore:
            restore()
        params = self._mappings[0]
        if _digest({name: params[name] for name in self._copies}) == self._before:
            return
        for name, copied in self._copies.items():
            if _digest({name: params[name]}) != _digest({name: copied}):
                for values in self._mappings:
                    values.update({name: copy.deepcopy(copied)} if name in values else {})


def _is_constant(value: Any) -> bool:
    """Return whether no run can change a value, or what it changes is code."""
    return isinstance(value, (type, types.FunctionType)) or type(value) in _CONSTANTS or is_generator(type(value))


_CONSTANTS = frozenset([type(None), bool, int, float, complex, str, bytes])


def _copy(value: Any) -> Any:
    """Return a copy of a value, or None if its class has none."""
    try:
        return copy.deepcopy(value)
    except Exception:  # a lock, an open file, or whatever the class says
        return None


@undisturbed
def _digest(values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    try:
        # A part that cannot be captured is left out.
        return digest(capture_tree({name: Internal(value) for name, value in values.items()}, copy=False))
    except (ReproError, RecursionError):
        return ""


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
