"""How a child process is started, so that the user's code in it finds what it finds in the user's own session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.engines import start_child
from pytest_repro.engines.condition import environment_of
from pytest_repro.environments.keeper import MARK_VARIABLE
from pytest_repro.model import Condition

#: Key of the first entry of the search path, in what xdist hands to its workers.
FIRST_PATH_KEY = "repro_first_path"
_HASH_SEED = "PYTHONHASHSEED"
#: Variables of xdist, which a worker's tests may read. Those of a run are made in a child of the worker.
_OF_WORKERS = "PYTEST_XDIST_"


@dataclass(frozen=True, slots=True)
class Start:
    """The settings that :mod:`pytest_repro.engines.start_child` reads.

    Attributes
    ----------
    plugin : str
        Module of :mod:`pytest_repro.session` that serves the process.
    settings : str
        Path of the plugin's settings.
    arguments : list of str
        pytest's.
    variables : dict of name -> text or None
        Variables with which the process is started and that the user's code is not to find, with the values that it is
        to find.
    for_libraries : dict of name -> text
        Variables that only compiled libraries are to find.
    argv, orig_argv, first_path
        As in the user's session.
    """

    plugin: str
    settings: str
    arguments: list[str]
    variables: dict[str, str | None]
    argv: list[str]
    orig_argv: list[str]
    first_path: str
    for_libraries: dict[str, str] = field(default_factory=dict)

    def command(self, directory: Path) -> list[str]:
        """Write it into a folder, and return the command, with the interpreter's own options."""
        path = directory / "start.json"
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        return [sys.executable, *flags, start_child.__file__, str(path)]


def plan_start(
    config: pytest.Config,
    plugin: str,
    settings: Path,
    *,
    arguments: list[str],
    condition: Condition,
    for_libraries: dict[str, str] | None = None,
) -> Start:
    """Return how a child of this session starts in a condition."""
    wanted = {**os.environ, **environment_of(condition)}
    return Start(
        plugin,
        str(settings),
        arguments,
        variables=_taken_back(condition) | {name: wanted.get(name) for name in for_libraries or ()},
        argv=list(sys.argv),
        orig_argv=list(sys.orig_argv),
        first_path=first_path(config),
        for_libraries=for_libraries or {},
    )


def _taken_back(condition: Condition) -> dict[str, str | None]:
    """Return what :func:`environment_of_child` set or left out for the process alone, as it is in this process."""
    variables: dict[str, str | None] = {MARK_VARIABLE: os.environ.get(MARK_VARIABLE)}
    if _HASH_SEED not in environment_of(condition):
        variables[_HASH_SEED] = os.environ.get(_HASH_SEED)
    return variables | {name: text for name, text in os.environ.items() if name.startswith(_OF_WORKERS)}


def first_path(config: pytest.Config) -> str:
    """Return the first entry of the search path with which the user's session was started.

    ``python -m pytest`` puts the current folder there, a script its own.
    """
    given: Any = getattr(config, "workerinput", {}).get(FIRST_PATH_KEY)
    if given is not None:
        return str(given)
    main = sys.modules.get("__main__")
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if file is None or spec is not None:
        return str(config.invocation_params.dir)
    return str(Path(file).resolve().parent)
