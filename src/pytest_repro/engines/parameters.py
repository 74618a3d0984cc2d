"""Digests of a test's parameters, by which two processes find that they collected the same values."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from pytest_repro.capturing import capture_locals, digest
from pytest_repro.capturing.run_texts import RunTexts

#: The names that `tempfile` drew while the tests were collected.
DRAWN_NAMES_KEY = pytest.StashKey[Collection[str]]()


def digest_parameters(item: pytest.Function) -> dict[str, str]:
    """Return name -> digest of the parameters that can be compared."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return {}
    base = getattr(getattr(item.config, "_tmp_path_factory", None), "_basetemp", None)
    texts = RunTexts([] if base is None else [str(base)], item.config.stash.get(DRAWN_NAMES_KEY, ()))
    captured = {name: capture_locals({name: value}, texts=texts).artifacts for name, value in callspec.params.items()}
    return {name: digest(artifacts) for name, artifacts in captured.items() if artifacts.leaves}


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
