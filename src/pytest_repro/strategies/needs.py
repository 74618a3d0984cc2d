"""The packages that the strategies need, asked for by their extras."""

from __future__ import annotations

import importlib
from typing import Any

from pytest_repro.errors import MissingExtraError


def load(module: str, extra: str) -> Any:
    """Import a module of an extra.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtraError(f"this strategy needs {package}: pip install 'pytest-repro[{extra}]'") from error


st: Any = load("hypothesis.strategies", "hypothesis")
