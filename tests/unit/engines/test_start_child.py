"""The program that starts pytest for a run."""

from __future__ import annotations

import pytest

from pytest_repro.engines.start_child import without_plugin


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["-q", "-p", "pytest_repro.plugin", "tests"], ["-q", "tests"]),
        (["-ppytest_repro.plugin", "-pother"], ["-pother"]),
        (["-p", "other", "-k", "pytest_repro.plugin"], ["-p", "other", "-k", "pytest_repro.plugin"]),
    ],
)
def test_the_plugin_is_not_named_twice(arguments: list[str], kept: list[str]) -> None:
    assert without_plugin(arguments) == kept
