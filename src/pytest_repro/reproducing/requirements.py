"""The packages of a record as requirements for a fresh environment, and the interpreter to make it with."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from pytest_repro.capturing.packages import normalise
from pytest_repro.errors import RecordError
from pytest_repro.reproducing.subject import mapping

OWN = "pytest-repro"
#: Made with the environment, by the tool that makes it.
INSTALLER = "pip"
_RELEASE = re.compile(r"(\d{1,2})\.(\d{1,3})\.")
_SETUP_NAME = re.compile(r"^\s*name\s*=\s*[\"']?([A-Za-z0-9._-]+)[\"']?,?\s*$", re.MULTILINE)
_PROJECT_FILES = ("pyproject.toml", "setup.cfg", "setup.py")
_PROBE_S = 20


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a fresh environment is to have.

    Attributes
    ----------
    lines : tuple of str
        ``name==version`` each.
    local : tuple of str
        Packages that were installed from a directory, which are to be found in the checkout.
    elsewhere : tuple of str
        Packages that were used from another checkout, which cannot be had, with its commit.
    """

    lines: tuple[str, ...]
    local: tuple[str, ...]
    elsewhere: tuple[str, ...]


def list_requirements(packages: Mapping[str, Any]) -> Requirements:
    """Return the requirements for recorded packages.

    Raises
    ------
    RecordError
        If a name or a version is none: it would be an option or an address for the installer.
    """
    lines, local, elsewhere = [], [], []
    for name, package in sorted(packages.items()):
        line = _read_line(name, mapping(package).get("version"))
        if name in (OWN, INSTALLER):
            continue
        if code := mapping(mapping(package).get("code")):
            elsewhere.append(f"{name} (commit {str(code.get('commit'))[:12]} of another repository)")
        elif mapping(package).get("local"):
            local.append(name)
        else:
            lines.append(line)
    return Requirements(tuple(lines), tuple(local), tuple(elsewhere))


def _read_line(name: str, version: Any) -> str:
    try:
        found = Requirement(f"{name}=={Version(str(version))}")
    except (InvalidRequirement, InvalidVersion):
        found = None
    if found is None or found.name != name or found.extras or found.marker or found.url:
        raise RecordError(
            f"the recorded package {name[:60]!r} {str(version)[:60]!r} has no name and version of a release"
        )
    return f"{name}=={version}"


def find_sources(checkout: Path, names: tuple[str, ...], files: list[str]) -> tuple[list[Path], list[str]]:
    """Return the folders from which packages of a checkout are imported, and the names that it does not have.

    Parameters
    ----------
    checkout : Path
    names : tuple of str
        Normalised.
    files : list of str
        All files that git has in the checkout.
    """
    found: dict[str, Path] = {}
    for file in files:
        if file.rpartition("/")[2] in _PROJECT_FILES and (checkout / file).is_file():
            for name in _read_names(checkout / file):
                found.setdefault(normalise(name), (checkout / file).parent)
    # Not installed: it is imported from where its code is, as an editable one was.
    folders = [
        found[name] / "src" if (found[name] / "src").is_dir() else found[name] for name in names if name in found
    ]
    return folders, [name for name in names if name not in found]


def _read_names(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            content = tomllib.loads(text)
            tools = mapping(content.get("tool"))
            return [
                str(table["name"])
                for table in (mapping(content.get("project")), mapping(tools.get("poetry")))
                if "name" in table
            ]
    except (OSError, ValueError):
        return []
    return _SETUP_NAME.findall(text)


def find_python(environment: Mapping[str, Any]) -> str:
    """Return an interpreter of the recorded minor release that is on the search path, or an empty text for this one."""
    match = _RELEASE.match(str(mapping(environment.get("python")).get("version")))
    if match is None or (int(match[1]), int(match[2])) == sys.version_info[:2]:
        return ""
    command = shutil.which(f"python{match[1]}.{match[2]}")
    return command if command is not None and _starts(command, f"{match[1]}.{match[2]}") else ""


def _starts(command: str, release: str) -> bool:
    """Return whether an interpreter starts and is of a release: a shim may only say how to install it."""
    program = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [command, "-I", "-c", program],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_PROBE_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.stdout.strip() == release
