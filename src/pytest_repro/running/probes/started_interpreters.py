"""Hold sources still in Python interpreters that a run starts by itself, as code does that calls a command line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: What can be held still there.
SOURCES = frozenset({"entropy", "time", "pid"})
_FOLDER = str(Path(__file__).with_name("started"))
_HELD = "PYTEST_REPRO_HELD"
_PATH = "PYTHONPATH"
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
    before = {name: os.environ.get(name) for name in (_PATH, _HELD)}
    os.environ[_HELD] = ",".join(sorted(pins & SOURCES))
    os.environ[_PATH] = os.pathsep.join(filter(None, [_FOLDER, before[_PATH]]))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
