"""The fingerprint of an environment: a digest of all that can change bits, by which two environments are one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pytest_repro.capturing.budget import is_unavailable
from pytest_repro.records.canonical import as_document, canonical_bytes

#: Collectors of the environment whose whole answer can change bits.
_WHOLE = ("python", "platform", "thread_pools", "accelerators", "variables")


def fingerprint_environment(environment: Mapping[str, Any]) -> str:
    """Return ``sha256:<hex>`` of what can change bits: equal where two environments differ in nothing of the kind.

    It has no part that :func:`pytest_repro.records.differences.find_differences` does not take for one that changes
    bits, and every one that it does: not the container, lock files, hash seed, and packages that compute nothing.
    """
    kept: dict[str, Any] = {name: environment.get(name) for name in _WHOLE}
    cpu, packages = environment.get("cpu"), environment.get("packages")
    kept["cpu"], kept["packages"], kept["package_files"] = cpu, packages, environment.get("package_files")
    if isinstance(kept["package_files"], Mapping) and not is_unavailable(kept["package_files"]):
        kept["package_files"] = kept["package_files"].get("changed")
    if isinstance(cpu, Mapping) and not is_unavailable(cpu):
        kept["cpu"] = {name: cpu.get(name) for name in ("model", "instruction_sets")}
    if isinstance(packages, Mapping) and not is_unavailable(packages):
        kept["packages"] = {
            name: [package.get("version"), package.get("record")]
            for name, package in packages.items()
            if isinstance(package, Mapping) and package.get("numerical") and not package.get("local")
        }
    # The reason for which a fact is unknown is no property of the environment.
    known = {name: "unavailable" if is_unavailable(fact) else fact for name, fact in kept.items()}
    return f"sha256:{hashlib.sha256(canonical_bytes(as_document(known))).hexdigest()}"
