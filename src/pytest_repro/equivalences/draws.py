"""States of the global random generators, and which of them a computation draws from."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree, merge
from pytest_repro.capturing.digesting import digest_leaves
from pytest_repro.frameworks.base_state import loaded_adapters
from pytest_repro.model import Artifacts, Leaf
from pytest_repro.tracing.user_code import is_user_file

if TYPE_CHECKING:
    from pytest_repro.frameworks.torch_draws import Draw

#: Calls shown.
_MAX_DRAWS = 3
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


def explain_draws(function: Any) -> tuple[list[str], str]:
    """Return where a function of torch draws in eval too, as evidence, and the fix where eval() alone is none."""
    if "torch" not in sys.modules:
        return [], ""
    from pytest_repro.frameworks.torch_functions import find_mode_and_draws

    is_in_eval, draws = find_mode_and_draws(function, is_user_file)
    if not is_in_eval and not draws:
        return [], ""
    evidence = ["every module is in eval"] if is_in_eval else []
    evidence += [f"drawn at {draw.place}" for draw in draws[:_MAX_DRAWS]]
    fixes = dict.fromkeys(map(_fix_of, draws)) or ["draw only if self.training, or from one generator per sample"]
    return evidence, "; ".join([*fixes, *([] if is_in_eval else ["then model.eval()"])])


def _fix_of(draw: Draw) -> str:
    name = draw.name.rpartition(".")[2]
    if name == "scaled_dot_product_attention":
        return f"pass dropout_p=p if self.training else 0.0 to {draw.name}"
    if "dropout" in name or name == "rrelu":
        return f"pass training=self.training to {draw.name}"
    return f"call {draw.name} only if self.training, or with one generator per sample"


def _digest_generators() -> dict[str, str]:
    groups: dict[str, dict[str, Leaf]] = {}
    for path, leaf in capture_generators().leaves.items():
        groups.setdefault(path.split("/")[1], {})[path] = leaf
    return {name: digest_leaves(leaves) for name, leaves in groups.items()}
