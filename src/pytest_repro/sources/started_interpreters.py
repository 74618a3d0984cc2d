"""Hold sources still in Python interpreters that a run starts by itself, as code does that calls a command line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_repro.axes.patches import set_variables

#: What can be held still there.
SOURCES = frozenset({"entropy", "workers", "time", "pid"})
_FOLDER = str(Path(__file__).with_name("started"))
_PYTHON = re.compile(r"(python|pypy)[\d.]*t?(\.exe)?")


def is_python(executable: object = None, arguments: object = None) -> bool:
    """Tell whether what is started is a Python interpreter, by its name."""
    first = arguments[0] if isinstance(arguments, (list, tuple)) and arguments else arguments
    program = executable if isinstance(executable, (str, bytes, os.PathLike)) else first
    if not isinstance(program, (str, bytes, os.PathLike)):
        return False
    words = os.fsdecode(program).split()
    return bool(words) and _PYTHON.fullmatch(os.path.basename(words[0])) is not None  # noqa: PTH119


@contextmanager
def held_in_started(pins: frozenset[str]) -> Iterator[None]:
    """Have interpreters that are started from now on hold these sources still; those that get our environment do."""
    if not pins & SOURCES:
        yield
        return
    path = os.pathsep.join(filter(None, [_FOLDER, os.environ.get("PYTHONPATH")]))
    with set_variables({"PYTEST_REPRO_HELD": ",".join(sorted(pins & SOURCES)), "PYTHONPATH": path}):
        yield
