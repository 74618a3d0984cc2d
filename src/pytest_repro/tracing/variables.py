"""Environment variables that a test's own code reads, by name.

A variable can change results if the code reads it, whatever its name is. Its value may be a secret, so a record has
only a digest of it, salted and slow to guess from. If the name is that of a secret, the record has not even a digest.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

from pytest_repro.model import JSON
from pytest_repro.model.redaction import HIDDEN, hidden_digest
from pytest_repro.model.secret_names import is_secret_variable

#: Variables that are listed of one test.
MAX_VARIABLES = 200
#: Set by pytest and this plugin for each test or process, or about the terminal.
_OWN = ("PYTEST_", "PYTHONHASHSEED", "COLUMNS", "LINES")
#: The name under which a copy of all variables is noted. No variable has it.
COPIED = "*"
_LOOKS_UP, _LISTS = os._Environ.__getitem__.__code__, os._Environ.__iter__.__code__
_PASSES_ON = {function.__code__.co_filename for function in (os.getenv, Mapping.get)}
_MAX_FRAMES = 8

#: Names that were read before the first test, by modules that were imported, and those that the test in hand has read.
_before: dict[str, None] = {}
_in_test: dict[str, None] | None = None


@contextmanager
def noting_variables(is_user_file: Callable[[str], bool]) -> Iterator[None]:
    """Note the names of the variables that the user's code looks up in ``os.environ`` within the block.

    An instruction that lists all names and looks each of them up copies the variables, as ``dict(os.environ)`` does.
    """
    environ: Any = os.environ
    encode, decode = environ.encodekey, environ.decodekey
    #: The instruction of the user's code that last listed the names.
    listed_at: tuple[CodeType, int] | None = None

    def note(name: Any) -> Any:
        frame = sys._getframe(1)
        found = _before if _in_test is None else _in_test
        if frame.f_code is _LOOKS_UP and isinstance(name, str) and name not in found and len(found) < MAX_VARIABLES:
            caller = _find_caller(frame)
            if caller is not None and is_user_file(caller.f_code.co_filename):
                found[COPIED if (caller.f_code, caller.f_lasti) == listed_at else name] = None
        return encode(name)

    def note_list(name: Any) -> Any:
        nonlocal listed_at
        frame = sys._getframe(1)
        if frame.f_code is _LISTS and (caller := _find_caller(frame)) is not None:
            listed_at = caller.f_code, caller.f_lasti
        return decode(name)

    environ.encodekey, environ.decodekey = note, note_list
    try:
        yield
    finally:
        for key, own, real in (("encodekey", note, encode), ("decodekey", note_list, decode)):
            if getattr(environ, key) is own:
                setattr(environ, key, real)


def _find_caller(frame: FrameType) -> FrameType | None:
    """Return the frame that called a method of ``os.environ``, directly or through one that passes the call on."""
    caller = frame.f_back
    for _ in range(_MAX_FRAMES):
        if caller is None or caller.f_code.co_filename not in _PASSES_ON:
            return caller
        caller = caller.f_back
    return caller


def begin_test() -> None:
    """Forget what an earlier test read."""
    global _in_test
    _in_test = {}


def variables_read() -> list[str]:
    """Return the names of the variables that the test in hand read, or a module when it was imported."""
    return [name for name in {**_before, **(_in_test or {})} if not name.startswith(_OWN)]


def describe_variables(names: Iterable[str]) -> dict[str, JSON]:
    """Return a digest of each variable's value, or why there is none."""
    return {name: _describe(name, os.environ.get(name)) for name in sorted(names)}


def _describe(name: str, value: str | None) -> str:
    if name == COPIED:
        return "copied as a whole"
    if value is None:
        return "not set"
    if is_secret_variable(name):
        return HIDDEN
    return hidden_digest(name, value)
