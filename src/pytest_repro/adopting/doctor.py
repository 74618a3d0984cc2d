"""All that `pytest-repro doctor` finds in a project."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pytest_repro.adopting.axes_here import AxisHere, describe_axes, measure_start
from pytest_repro.adopting.configuration import Configuration, describe_environment, read_configuration
from pytest_repro.adopting.extras import MissingExtra, find_missing_extras
from pytest_repro.adopting.findings import Finding
from pytest_repro.adopting.neighbours import Neighbour, find_neighbours
from pytest_repro.adopting.scan import Scan, scan_project
from pytest_repro.errors import UsageError


@dataclass(frozen=True)
class Checkup:
    """What the doctor found.

    Attributes
    ----------
    start_s : float or None
        How long an interpreter takes to start here [s].
    variables : list of (name, value, meaning)
        Variables of determinism in this environment.
    """

    root: Path
    versions: dict[str, str]
    start_s: float | None
    axes: list[AxisHere]
    extras: list[MissingExtra]
    neighbours: list[Neighbour]
    variables: list[tuple[str, str, str]]
    configuration: Configuration
    scan: Scan

    @property
    def findings(self) -> list[Finding]:
        """All findings, those of the configuration first."""
        return [*self.configuration.findings, *self.scan.findings]

    @property
    def to_mend(self) -> list[Finding]:
        """What is wrong as it stands."""
        return [each for each in self.findings if each.weight == "mend"]

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to mend, and everything was read."""
        return not self.to_mend and not self.scan.unread


def examine_project(path: Path, environment: Mapping[str, str] = os.environ) -> Checkup:
    """Look at a project, or at one file or folder of it.

    Nothing of the project is imported or run.

    Raises
    ------
    UsageError
        If the path does not exist, or is neither a folder nor a Python file.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    if path.is_file() and path.suffix != ".py":
        raise UsageError(f"{path} is not a Python file; name a folder, or nothing for the current one")
    configuration = read_configuration(path if path.is_dir() else path.parent)
    scan = scan_project(path)
    return Checkup(
        path,
        {
            **{name: version(name) for name in ("pytest-repro", "pytest", "numpy")},
            "python": platform.python_version(),
        },
        measure_start(),
        describe_axes(configuration.environments),
        find_missing_extras(scan.packages),
        find_neighbours(),
        describe_environment(environment),
        configuration,
        scan,
    )


def checkup_to_json(found: Checkup) -> dict[str, Any]:
    """Return the document that ``--json`` prints."""
    return {
        "path": str(found.root),
        "versions": found.versions,
        "is_well": found.is_well,
        "start_s": None if found.start_s is None else round(found.start_s, 3),
        "axes": [{**asdict(each), "is_available": not each.why_not} for each in found.axes],
        "missing_extras": [asdict(each) for each in found.extras],
        "plugins": [asdict(each) for each in found.neighbours],
        "variables": [{"name": name, "value": value, "meaning": text} for name, value, text in found.variables],
        "configuration": {"file": found.configuration.file, "environments": list(found.configuration.environments)},
        "findings": [asdict(each) for each in found.findings],
        "scanned": {
            "files": found.scan.files,
            "tests": found.scan.tests,
            "marked": found.scan.marked,
            "unread": [{"file": file, "reason": reason} for file, reason in found.scan.unread],
            "left_out": found.scan.left_out,
            "notes": found.scan.notes,
        },
    }
