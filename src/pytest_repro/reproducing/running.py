"""Make the environment of a reproduction, and run the recorded tests in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pytest_repro.environments.declared import find_declared, read_declared
from pytest_repro.environments.environment import Environment, EnvironmentUnusableError
from pytest_repro.environments.interpreters import find_interpreter
from pytest_repro.environments.made import EnvironmentStore, find_absent
from pytest_repro.environments.made import Request as EnvironmentRequest
from pytest_repro.environments.places import PACKAGE
from pytest_repro.environments.probing import show_end
from pytest_repro.environments.processes import ChildExit, ChildProcesses
from pytest_repro.errors import UsageError
from pytest_repro.reproducing import start
from pytest_repro.reproducing.plan import Plan
from pytest_repro.reproducing.variables import KEPT, kept_variables

RECORDS, EVIDENCE_FOLDER = "records", "evidence"
_PLUGIN = "plugin"


@dataclass(frozen=True, slots=True)
class Started:
    """A session that ended: how, and the last lines that it printed."""

    exit: ChildExit

    def describe(self) -> str:
        """Describe how it ended, with the end of what it printed."""
        return f"pytest {self.exit.describe()}:\n{show_end(self.exit.output)}"


def find_environment(plan: Plan, repository: Path, workspace: Path) -> tuple[Environment | None, list[str]]:
    """Return where the tests are run, or what of the recorded packages cannot be had.

    Raises
    ------
    UsageError
        If no environment has the name that the user gave, or it does not see the files of this machine.
    EnvironmentUnusableError
        If it cannot be made.
    """
    name = plan.request.environment
    if name is not None:
        return _find_named(name, repository, workspace), []
    if not plan.requirements.lines:
        return None, ["the packages, which were not recorded"]
    # This process' own interpreter is not named, so that the environment serves every session that it starts.
    request = EnvironmentRequest(
        f"packages of {plan.subject.original.name} {plan.subject.original.sha256[:12]}",
        plan.requirements.lines,
        python=plan.python,
    )
    try:
        return Environment("the recorded packages", str(EnvironmentStore().make(request))), []
    except EnvironmentUnusableError as error:
        absent = find_absent(plan.requirements.lines, plan.python)
        if not absent:
            return None, [f"the recorded packages: {error}"]
        return None, [f"the package {line}: pip finds no such release for this Python in any index" for line in absent]


def _find_named(name: str, repository: Path, workspace: Path) -> Environment:
    file = repository / "pyproject.toml"
    found = find_declared(read_declared(repository, None), name)
    if found.is_local:
        return find_interpreter(name, repository, read_declared(repository, None), EnvironmentStore())
    if found.sync:
        raise UsageError(
            f"the environment {name!r} does not see the files of this machine (sync = true): run `pytest-repro "
            "reproduce` there"
        )
    # {root} in its command stands for the folder that has to be visible there.
    return read_declared(workspace, file)[name]


def run_session(
    plan: Plan, environment: Environment, directory: Path, workspace: Path, sources: Sequence[Path]
) -> Started:
    """Run the recorded tests against their records, in a session that leaves a bundle of evidence in the workspace.

    Parameters
    ----------
    directory : Path
        The project's folder in the checkout.
    sources : sequence of Path
        Folders from which packages of the checkout are imported.
    """
    _write_plugin(workspace / _PLUGIN)
    records = workspace / RECORDS
    records.mkdir()
    compared = {test.record for test in plan.subject.tests}
    for name, data in plan.subject.records.items():
        if name in compared or not name.endswith(".json"):
            (records / name).write_bytes(data)
    is_local = environment.is_local
    content = {
        "directory": str(directory),
        "kept": [] if is_local else [*KEPT],
        "variables": {
            **(kept_variables() if is_local else {}),
            **plan.variables.values,
            "PYTHONPATH": os.pathsep.join([str(workspace / _PLUGIN), *map(str, sources)]),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        "arguments": _list_arguments(plan, directory, workspace, has_records=any(compared)),
    }
    (workspace / "start.json").write_text(json.dumps(content), encoding="utf-8")
    shutil.copyfile(start.__file__, workspace / "start.py")
    command = [*environment.prefix, environment.python, "-I", str(workspace / "start.py")]
    done = ChildProcesses().run(command, environment=os.environ, directory=workspace, timeout_s=None)
    return Started(done)


def _list_arguments(plan: Plan, directory: Path, workspace: Path, *, has_records: bool) -> list[str]:
    # Relative: the command stands in the evidence, which is to have no path of this machine.
    records, evidence = (os.path.relpath(workspace / name, directory) for name in (RECORDS, EVIDENCE_FOLDER))
    compare = [f"--repro-verify={records}"] if has_records else ["-o", "repro_verify="]
    return [
        "--rootdir=.",
        "-p",
        "no:cacheprovider",
        *compare,
        f"--repro-evidence={evidence}",
        *plan.options,
        *(test.nodeid for test in plan.subject.tests),
    ]


def _write_plugin(folder: Path) -> None:
    """Copy this package, with the metadata by which it finds its own version."""
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    release = version("pytest-repro")
    metadata = folder / f"pytest_repro-{release}.dist-info"
    metadata.mkdir()
    text = f"Metadata-Version: 2.1\nName: pytest-repro\nVersion: {release}\n"
    (metadata / "METADATA").write_text(text, encoding="utf-8")
