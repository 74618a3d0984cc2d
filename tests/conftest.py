"""The mark of tests that need more than pytest and NumPy."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import is_installed


def needed_by(item: pytest.Item) -> frozenset[str]:
    """Return the plugins and modules that a test's `needs` marks name."""
    return frozenset(name for mark in item.iter_markers("needs") for name in mark.args)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test where a plugin or a module that its `needs` mark names is not installed."""
    missing = sorted(name for name in needed_by(item) if not is_installed(name))
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
