"""Calls that are noted and never pinned: the evidence for axes and for arguments of a test."""

from __future__ import annotations

import os
import random
import sys
from typing import Any

from pytest_repro.sources.frames import find_near_user_frame
from pytest_repro.sources.patching import SourcePatches, noted
from pytest_repro.sources.sightings import note

#: Functions of NumPy whose result depends on the order of equal elements.
SORTS = ("sort", "argsort", "partition", "argpartition", "unique")
_LAYOUTS = ("asfortranarray", "ascontiguousarray")


def patch_noted_calls(patches: SourcePatches) -> None:
    """Note calls that read the machine, the directory or the environment, that sort, and that save or load a state."""
    named: list[tuple[Any, str, str]] = [(os, "cpu_count", "cores"), (os, "getcwd", "cwd")]
    if hasattr(os, "sched_getaffinity"):
        named.append((os, "sched_getaffinity", "cores"))
    numpy = sys.modules.get("numpy")
    # numba recognises NumPy's functions by more than equality, and rejects a replacement.
    if numpy is not None and "numba" not in sys.modules:
        named += [(numpy, name, "sort") for name in SORTS]
        named += [(numpy, name, "layout") for name in _LAYOUTS]
    for owner, name, kind in named:
        real = getattr(owner, name)
        patches.swap(real, noted(real, kind, name))
    patches.put(random, "getstate", noted(random.getstate, "saves", "python_rng"))
    patches.put(random, "setstate", noted(random.setstate, "loads", "python_rng"))
    _patch_environ(patches)
    patches.call_adapter("torch_sources.patch_noted_calls")


def _patch_environ(patches: SourcePatches) -> None:
    kind: Any = type(os.environ)
    real = kind.__getitem__

    def getitem(self: Any, key: Any) -> Any:
        if find_near_user_frame() is not None:
            note("environ", str(key))
        return real(self, key)

    patches.put(kind, "__getitem__", getitem)


def note_relative(event: str, args: tuple[Any, ...]) -> None:
    """Note a file that is opened by a path relative to the current directory."""
    if isinstance(args[0], str) and not os.path.isabs(args[0]):  # noqa: PTH117
        note("relative", args[0])
