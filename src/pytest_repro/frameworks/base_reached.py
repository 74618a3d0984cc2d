"""What an adapter is given to watch what a run reaches in its framework."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Watching:
    """The means to watch a run.

    Attributes
    ----------
    note : callable (kind, place)
        Notes what the run reached, and where.
    put : callable (owner, name, value)
        Replaces an attribute for the time of the run.
    baked : callable (function) -> context manager
        Notes draws and readings of the clock while a function is traced.
    is_user_file : callable (file) -> bool
    """

    note: Callable[[str, str], None]
    put: Callable[[Any, str, Any], None]
    baked: Callable[[Any], AbstractContextManager[None]]
    is_user_file: Callable[[str], bool]
