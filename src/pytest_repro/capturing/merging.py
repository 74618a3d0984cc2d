"""Several captures of one run as one."""

from __future__ import annotations

from pytest_repro.errors import CaptureError
from pytest_repro.model import Artifacts


def merge(into: Artifacts, new: Artifacts, *, where: str) -> None:
    """Add one capture to another.

    Raises
    ------
    CaptureError
        If a path is already used. `into` is unchanged.
    """
    for path, leaf in new.leaves.items():
        if path in into.leaves:
            raise CaptureError(
                f"{where}: the name {path!r} is already used, by a {into.leaves[path].type_name} "
                f"(now a {leaf.type_name}); use another name"
            )
    into.leaves.update(new.leaves)
    into.not_compared.extend(new.not_compared)
