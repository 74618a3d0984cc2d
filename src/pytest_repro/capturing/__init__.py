"""Turn whatever a run gave into artifacts, keep them, digest them, and carry them between processes."""

from __future__ import annotations

from pytest_repro.capturing.digesting import digest
from pytest_repro.capturing.tree import capture_tree, merge

__all__ = ["capture_tree", "digest", "merge"]
