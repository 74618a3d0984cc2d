"""Python interpreters that a run starts by itself, as code does that calls a command line: noted, and pinned too."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_repro.axes.patches import set_variables
from pytest_repro.sources.base import STARTED
from pytest_repro.sources.sightings import note
from pytest_repro.tracing.user_code import collected_roots

_FOLDER = str(Path(__file__).with_name("started"))
_PYTHON = re.compile(r"(python|pypy)[\d.]*t?(\.exe)?")


def note_interpreter(executable: object = None, arguments: object = None) -> None:
    """Note a started program if its name is that of a Python interpreter."""
    if is_python(executable, arguments):
        note(STARTED, "a Python interpreter")


def is_python(executable: object = None, arguments: object = None) -> bool:
    """Return whether a started program is a Python interpreter, by its name."""
    first = arguments[0] if isinstance(arguments, (list, tuple)) and arguments else arguments
    program = executable if isinstance(executable, (str, bytes, os.PathLike)) else first
    if not isinstance(program, (str, bytes, os.PathLike)):
        return False
    words = os.fsdecode(program).split()
    return bool(words) and _PYTHON.fullmatch(os.path.basename(words[0])) is not None  # noqa: PTH119


@contextmanager
def pinned_in_started(names: Collection[str]) -> Iterator[None]:
    """Pin sources in all interpreters started from now on that inherit the environment."""
    if not names:
        yield
        return
    variables = {"PYTEST_REPRO_PINNED": ",".join(sorted(names))}
    if collected := os.pathsep.join(collected_roots()):
        variables["PYTEST_REPRO_COLLECTED"] = collected
    with variables_in_started(variables, path=_FOLDER):
        yield


@contextmanager
def variables_in_started(variables: Mapping[str, str], path: str = "") -> Iterator[None]:
    """Set variables for all programs started from now on, also for those that are given an environment of their own.

    A variable that such an environment has keeps its value. A `path` goes before the others of PYTHONPATH.
    """
    real: Any = subprocess.Popen.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(given := kwargs.get("env"), Mapping):
            kwargs["env"] = {**variables, **given, **_path_before(given, path)}
        real(self, *args, **kwargs)

    subprocess.Popen.__init__ = init  # type: ignore[method-assign]
    try:
        with set_variables({**variables, **_path_before(os.environ, path)}):
            yield
    finally:
        if subprocess.Popen.__init__ is init:
            subprocess.Popen.__init__ = real  # type: ignore[method-assign]


def _path_before(environment: Mapping[str, str], path: str) -> dict[str, str]:
    given = environment.get("PYTHONPATH")
    if not path or (given or "").split(os.pathsep)[0] == path:
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, [path, given]))}
