"""Sources for the tests of the scan: small modules, and what is found in them."""

from __future__ import annotations

import textwrap
from pathlib import Path

from pytest_repro.adopting.findings import Finding
from pytest_repro.adopting.scan import scan_project


def scan_source(folder: Path, source: str, name: str = "code.py") -> list[Finding]:
    """Return what the scan finds in one module."""
    (folder / name).write_text(textwrap.dedent(source), encoding="utf-8")
    return scan_project(folder).findings


def codes(folder: Path, source: str) -> list[tuple[int, str]]:
    """Return line and code of each finding that is to be mended."""
    return [(each.line, each.code) for each in scan_source(folder, source) if each.weight == "mend"]
