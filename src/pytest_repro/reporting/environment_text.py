"""The environments that were made, as ``pytest-repro environments`` lists them."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_repro.environments.made import MadeEnvironment


def describe_made(folder: str, made: Sequence[tuple[MadeEnvironment, int]]) -> str:
    """List environments with what they were made for and their sizes [bytes]."""
    if not made:
        return f"no environments in {folder}"
    lines = []
    for each, size in made:
        releases = [f"{name} {each.packages[name]}" for name in ("numpy", "torch", "pytest") if name in each.packages]
        facts = [each.python, *releases, f"{len(each.packages)} packages", f"{size / 2**20:.0f} MB, by {each.made_by}"]
        lines += [f"{each.digest}  {', '.join(facts)}"]
        lines += [f"    for {text}" for text in each.texts]
    return "\n".join([*lines, f"in {folder}; pytest-repro environments --clear removes them"])
