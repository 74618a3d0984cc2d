"""What `pytest-repro init` would write into a project, and the writing of it."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from pytest_repro.adopting.ci_files import GITHUB, GITLAB, GITLAB_PART, SIGNATURE, write_github, write_gitlab
from pytest_repro.adopting.configuration import Configuration, read_configuration
from pytest_repro.adopting.first_test import write_test
from pytest_repro.adopting.settings_text import add_settings
from pytest_repro.adopting.training_functions import Candidate, find_candidates
from pytest_repro.errors import UsageError

#: Systems of CI that `--ci` names.
CI = ("github", "gitlab", "both", "none")


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file that is created, or changed by an insertion.

    Attributes
    ----------
    shown : str
        What is new in it.
    refused : str
        Why it is not written. Empty if it is.
    before : bytes or None
        Its content when the plan was made; None if it did not exist.
    """

    name: str
    content: bytes
    shown: str
    note: str = ""
    refused: str = ""
    before: bytes | None = None


@dataclass
class Plan:
    """What would be written, and what was considered."""

    root: Path
    files: list[PlannedFile] = field(default_factory=list)
    chosen: Candidate | None = None
    others: list[Candidate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make_plan(root: Path, ci: str = "") -> Plan:
    """Plan the files of a project, and change nothing.

    Parameters
    ----------
    ci : {"", "github", "gitlab", "both", "none"}
        Empty: what the project uses already, or both.

    Raises
    ------
    UsageError
        If the path is no folder.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder")
    plan = Plan(root)
    candidates = find_candidates(root)
    plan.chosen, plan.others = (candidates[0], candidates[1:]) if candidates else (None, [])
    configuration = read_configuration(root)
    plan.files.append(_plan_settings(root, configuration, plan.chosen))
    tests = "test" if (root / "test").is_dir() and not (root / "tests").is_dir() else "tests"
    name = plan.chosen.name.strip("_") if plan.chosen is not None else "training"
    plan.files.append(_plan_new(root, f"{tests}/test_reproducible_{name}.py", write_test(plan.chosen)))
    for system in _choose_ci(root, ci):
        if system == "github":
            plan.files.append(_plan_new(root, GITHUB, write_github(root)))
        elif (root / GITLAB).exists() and SIGNATURE not in (_read(root / GITLAB) or b"").decode("utf-8", "replace"):
            plan.files.append(_plan_new(root, GITLAB_PART, write_gitlab(root).partition("\n\n")[2]))
            plan.notes.append(f"add to {GITLAB}, whose stages need test and merge:\ninclude:\n  - local: {GITLAB_PART}")
        else:
            plan.files.append(_plan_new(root, GITLAB, write_gitlab(root)))
    return plan


def write_plan(plan: Plan) -> list[str]:
    """Write what was planned and not refused, and return the names of the files.

    Raises
    ------
    UsageError
        If a file was changed after the plan was made; those before it in the plan are written.
    """
    written = []
    for planned in plan.files:
        if planned.refused:
            continue
        path = plan.root / planned.name
        if _read(path) != planned.before:
            raise UsageError(f"{planned.name} was changed in the meantime; run init again")
        path.parent.mkdir(parents=True, exist_ok=True)
        if planned.before is None:
            with path.open("xb") as file:  # never over a file that appeared just now
                file.write(planned.content)
        else:
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            temporary.write_bytes(planned.content)
            temporary.chmod(path.stat().st_mode & 0o7777)
            temporary.replace(path)
        written.append(planned.name)
    return written


def _plan_settings(root: Path, configuration: Configuration, chosen: Candidate | None) -> PlannedFile:
    name = configuration.file or "pyproject.toml"
    problems = [each for each in configuration.findings if each.weight == "mend"]
    if problems:
        first = problems[0]
        return PlannedFile(name, b"", "", refused=f"mend it first: {first.place} {first.text}")
    given = [key for key in configuration.keys if key.startswith("repro_")]
    if given:
        return PlannedFile(name, b"", "", refused=f"it has settings of the plugin already: {', '.join(given)}")
    pythonpath = chosen.folder if chosen is not None and not _is_installed(chosen.module, root) else ""
    try:
        name, content, shown = add_settings(root, configuration, pythonpath)
    except (UsageError, OSError, UnicodeDecodeError) as error:
        return PlannedFile(name, b"", "", refused=str(error))
    if (root / name).is_symlink():
        return PlannedFile(name, b"", shown, refused="it is a link; add the lines where it leads")
    return PlannedFile(name, content, shown, before=_read(root / name))


def _plan_new(root: Path, name: str, text: str) -> PlannedFile:
    exists = os.path.lexists(root / name)
    refused = "it exists, and is not overwritten; this would be its text" if exists else ""
    return PlannedFile(name, text.encode("utf-8"), text.rstrip("\n"), refused=refused)


def _choose_ci(root: Path, ci: str) -> tuple[str, ...]:
    if ci == "none":
        return ()
    if ci in ("github", "gitlab"):
        return (ci,)
    found = tuple(
        system for system, sign in (("github", ".github"), ("gitlab", GITLAB)) if (root / sign).exists() and not ci
    )
    return found or ("github", "gitlab")


def _is_installed(module: str, root: Path) -> bool:
    """Return whether a module can be imported from anywhere; nothing is imported to find out."""
    here = {"", os.fspath(root), os.fspath(root.resolve()), os.getcwd()}  # noqa: PTH109 - as in sys.path
    elsewhere = [entry for entry in sys.path if entry not in here]
    top = module.partition(".")[0]
    return importlib.machinery.PathFinder.find_spec(top, elsewhere) is not None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
