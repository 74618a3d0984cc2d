"""The extras of this package that are missing here, and what each would give."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

#: Extra -> what it gives. Those of frameworks matter only to a project that uses them.
GIVES = {
    "torch": "modules, tensors and optimizers are compared and seeded",
    "sklearn": "estimators are compared by their fitted attributes",
    "pandas": "frames and series are compared cell by cell",
    "scipy": "sparse matrices are compared",
    "jax": "JAX arrays are compared",
    "hypothesis": "examples of @given are repeated and shrunk; pytest_repro.strategies",
    "lightning": "ReproCallback captures what a Lightning Trainer computes",
    "transformers": "ReproCallback captures what a Hugging Face Trainer computes",
    "hydra": "compose_config composes a Hydra configuration for a test",
    "wandb": "WandbLogger logs verdicts to W&B",
    "clock": "the axis clock also reaches compiled code and programs (time-machine)",
    "threads": "the axis threads also limits pools that are loaded already (threadpoolctl)",
    "records": "records name BLAS, its kernels and its threads (threadpoolctl)",
    "onnx": "assert_compile_equivalent and assert_roundtrip with ONNX",
    "evidence": "bundles of evidence are signed and verified",
    "audit": "--repro-audit: known vulnerabilities of the installed packages",
    "mlflow": "pytest-repro log-mlflow; pytest_repro.integrations.mlflow tags a run with the verdicts",
}
#: Package that the source imports -> extra.
_FRAMEWORKS = {
    name: name
    for name in (
        *("torch", "sklearn", "pandas", "scipy", "jax", "hypothesis"),
        *("lightning", "transformers", "wandb", "hydra", "mlflow"),
    )
}
#: Extras that stand for others, or are for work on this package.
OTHERS = ("all", "test", "plugins", "docs", "lint", "dev")
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9._-]+)\s*([^;]*);.*extra\s*==\s*['\"]([A-Za-z0-9_-]+)['\"]")


@dataclass(frozen=True, slots=True)
class MissingExtra:
    """An extra that is not installed whole, what it gives, and whether the project imports what it is for."""

    name: str
    packages: tuple[str, ...]
    gives: str
    is_used: bool


def find_missing_extras(imported: Collection[str]) -> list[MissingExtra]:
    """Return the extras that are missing here, those first that the project's imports call for."""
    missing: dict[str, list[str]] = {}
    for line in requires("pytest-repro") or ():
        match = _REQUIREMENT.match(line)
        if match is None or match[3] not in GIVES:
            continue
        try:
            version(match[1])
        except PackageNotFoundError:
            missing.setdefault(match[3], []).append(match[1])
    used = {extra for package, extra in _FRAMEWORKS.items() if package in imported}
    found = [
        MissingExtra(name, tuple(missing[name]), gives, name in used)
        for name, gives in GIVES.items()
        if name in missing
    ]
    return sorted(found, key=lambda each: not each.is_used)
