"""Restart pytest-timeout's timer for each run: a test's timeout is for one run of it, not for all of them."""

from __future__ import annotations

import sys
from typing import Any

import pytest


def restart_timer(item: pytest.Item) -> None:
    """Restart the test's timer. Without pytest-timeout, or if that limits only the test function, do nothing."""
    settings = _settings(item)
    if settings is not None:
        stop_timer(item)
        item.config.hook.pytest_timeout_set_timer(item=item, settings=settings)


def stop_timer(item: pytest.Item) -> None:
    """Stop the test's timer, while the plugin does work that is not the test's."""
    if _settings(item) is not None:
        item.config.hook.pytest_timeout_cancel_timer(item=item)


def _settings(item: pytest.Item) -> Any:
    read = getattr(sys.modules.get("pytest_timeout"), "_get_item_settings", None)
    if read is None or not hasattr(item.config.hook, "pytest_timeout_set_timer"):
        return None
    settings = read(item)
    is_ours = settings.timeout is not None and settings.timeout > 0 and settings.func_only is False
    return settings if is_ours else None
