"""Environment variables set for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def set_variables(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set variables (``None`` unsets), and put back what was there before, whatever the body did to them."""
    before = {name: os.environ.get(name) for name in values}
    _write(values)
    try:
        yield
    finally:
        _write(before)


def _write(values: Mapping[str, str | None]) -> None:
    for name, text in values.items():
        if text is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = text
