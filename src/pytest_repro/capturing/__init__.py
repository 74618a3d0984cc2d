"""Capture of results as artifacts, their digests, and their way between processes."""

from __future__ import annotations

from pytest_repro.capturing.digesting import digest
from pytest_repro.capturing.local_values import capture_locals
from pytest_repro.capturing.merging import merge
from pytest_repro.capturing.registry import is_captured_by_attributes
from pytest_repro.capturing.spill import Spill
from pytest_repro.capturing.store import read_artifacts, write_artifacts
from pytest_repro.capturing.tree import capture_tree

__all__ = [
    "Spill",
    "capture_locals",
    "capture_tree",
    "digest",
    "is_captured_by_attributes",
    "merge",
    "read_artifacts",
    "write_artifacts",
]
