"""The states of the global generators as artifacts, and what changed them."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_repro.capturing import capture_tree, digest, merge
from pytest_repro.frameworks.base_state import loaded_adapters
from pytest_repro.model import Artifacts

#: Module of an adapter -> generator's name in reports.
_NAMES = {"stdlib_state": "python", "numpy_state": "numpy", "torch_state": "torch"}


def capture_generators(root: str = "generators") -> Artifacts:
    """Capture the global generators of Python, NumPy and torch, as ``<root>/torch/...``; no device is initialised."""
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


def digest_generators() -> str:
    """Digest the states: two digests differ exactly where something drew a random number between them."""
    return digest(capture_generators())
