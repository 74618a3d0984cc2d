"""States of the global random generators, and which of them a computation draws from."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree, merge
from pytest_repro.capturing.digesting import digest_leaves
from pytest_repro.frameworks.base_state import loaded_adapters
from pytest_repro.model import Artifacts, Leaf

#: Module of an adapter -> name of its generator in reports.
_NAMES = {"stdlib_state": "python", "numpy_state": "numpy", "torch_state": "torch"}


def capture_generators(root: str = "generators") -> Artifacts:
    """Capture the global generators of Python, NumPy and torch, and initialise no device."""
    artifacts = Artifacts()
    for adapter in loaded_adapters():
        name = _NAMES.get(adapter.__name__.rpartition(".")[2])
        if name is not None:
            state = _as_tree(name, adapter.save_rng())
            merge(artifacts, capture_tree(state, root=f"{root}/{name}", top_level=False), where=f"generator {name}")
    return artifacts


def _as_tree(name: str, saved: Any) -> Any:
    if name == "python":
        version, words, gauss = saved
        return {"version": version, "words": np.array(words, np.uint64), "gauss": gauss}
    return saved[1] if name == "numpy" else saved


def with_generators(state: seeding.State, other: seeding.State, names: Collection[str]) -> seeding.State:
    """Return a saved state in which some of the global generators are those of another one."""
    frameworks = dict(state.frameworks)
    for adapter, saved in other.frameworks.items():
        if _NAMES.get(adapter.rpartition(".")[2]) in names:
            frameworks[adapter] = replace(frameworks.get(adapter, saved), rng=saved.rng)
    return replace(state, frameworks=frameworks)


@contextmanager
def note_draws(drawn: set[str]) -> Iterator[None]:
    """Add to `drawn` the names of the global generators that the block draws from."""
    before = _digest_generators()
    yield
    drawn |= {name for name, digest in _digest_generators().items() if digest != before.get(name)}


def _digest_generators() -> dict[str, str]:
    groups: dict[str, dict[str, Leaf]] = {}
    for path, leaf in capture_generators().leaves.items():
        groups.setdefault(path.split("/")[1], {})[path] = leaf
    return {name: digest_leaves(leaves) for name, leaves in groups.items()}
