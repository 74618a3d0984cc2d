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
from pytest_repro.environments.places import PACKAGE, LocalPlace, Place
from pytest_repro.model import Condition

#: File with the settings, in the folder of the process.
NAME = "start.json"
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
    plugin_path : str
        Folder of this package, for an interpreter that may have none or another release. Empty for the session's own.
    own_paths : list of str
        Entries of the search path within the project, which an interpreter with other packages may lack.
    """

    plugin: str
    settings: str
    arguments: list[str]
    variables: dict[str, str | None]
    argv: list[str]
    orig_argv: list[str]
    first_path: str
    for_libraries: dict[str, str] = field(default_factory=dict)
    plugin_path: str = ""
    own_paths: list[str] = field(default_factory=list)

    def command(self, directory: Path) -> list[str]:
        """Write it into a folder, and return the command, with the interpreter's own options."""
        return [sys.executable, *self.arguments_of(directory, LocalPlace())]

    def arguments_of(self, directory: Path, place: Place) -> list[str]:
        """Write it into a folder, and return the arguments of an interpreter, with the options of this one."""
        (directory / NAME).write_text(json.dumps(asdict(self)), encoding="utf-8")
        flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        program = start_child.__file__
        if place.plugin_path:
            program = f"{place.plugin_path}/{PACKAGE.name}/{Path(program).relative_to(PACKAGE).as_posix()}"
        return [*flags, program, f"{place.folder_of(directory)}/{NAME}"]


def plan_start(
    config: pytest.Config,
    plugin: str,
    settings: Path,
    *,
    arguments: list[str],
    condition: Condition,
    for_libraries: dict[str, str] | None = None,
    place: Place | None = None,
) -> Start:
    """Return how a child of this session starts in a condition, in this environment or another one."""
    if place is not None and place.plugin_path:
        return _plan_elsewhere(config, plugin, settings, arguments, condition, place)
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


def _plan_elsewhere(
    config: pytest.Config, plugin: str, settings: Path, arguments: list[str], condition: Condition, place: Place
) -> Start:
    """Return how a child starts in an environment with other packages, and perhaps without this machine's files."""
    own = _taken_back(condition)
    paths = [first_path(config), *_find_own_paths(config)]
    return Start(
        plugin,
        f"{place.folder_of(settings.parent)}/{settings.name}",
        [_path_in(argument, place) for argument in arguments],
        # Behind a command, the variables are those of another machine, of which nothing is known here.
        variables=own if place.is_local else dict.fromkeys(own),
        argv=list(sys.argv),
        orig_argv=list(sys.orig_argv),
        first_path=place.path_of(paths[0]),
        plugin_path=place.plugin_path,
        own_paths=[place.path_of(path) for path in paths[1:]],
    )


def _path_in(argument: str, place: Place) -> str:
    """Return an argument with the path there of a file here, also where it is an option's value."""
    option, sign, value = argument.partition("=")
    if sign and option.startswith("-") and os.path.isabs(value):  # noqa: PTH117
        return f"{option}={place.path_of(value)}"
    return place.path_of(argument) if os.path.isabs(argument) else argument  # noqa: PTH117


def _find_own_paths(config: pytest.Config) -> list[str]:
    """Return the entries of the search path within the project that hold no installed packages."""
    root = config.rootpath
    found = [path for path in sys.path if path and Path(path).is_relative_to(root)]
    return [path for path in found if not {"site-packages", "dist-packages"} & set(Path(path).parts)]


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
