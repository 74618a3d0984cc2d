"""Texts that the user's code holds under names of secrets, to be hidden wherever a report has them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType, TracebackType

from pytest_repro.model.redaction import remember_variables
from pytest_repro.tracing.user_code import is_user_file

#: Frames of a traceback, and exceptions that led to one, that are looked at.
_MAX_FRAMES, _MAX_CAUSES = 100, 10
#: Identity of a module's variables -> which ones it had when they were looked at.
_looked_at: dict[int, int] = {}


def remember_modules() -> None:
    """Remember the secrets in variables of the user's modules that this process has imported."""
    for module in [*sys.modules.values()]:
        if isinstance(module, ModuleType):
            file = module.__dict__.get("__file__")
            if isinstance(file, str) and is_user_file(file) and _is_new(module):
                remember_variables(module.__dict__)


def _is_new(module: ModuleType) -> bool:
    """Return whether a module has other variables than when it was last looked at.

    One process may have many sessions, as that of a plugin's own tests, and as many modules of the first ones.
    """
    variables = module.__dict__
    state = hash(tuple(map(id, variables.values())))
    if _looked_at.get(id(variables)) == state:
        return False
    _looked_at[id(variables)] = state
    return True


def remember_error(error: BaseException) -> None:
    """Remember the secrets in variables of the user's functions that an exception has left, which its text may have."""
    # A test's own objects, in any state: what goes wrong here must not take the place of its failure.
    with suppress(Exception):
        frames = [traceback.tb_frame for traceback in _frames_of(error)]
        modules = {id(frame.f_globals): frame.f_globals for frame in frames}
        # Since Python 3.13 the variables of a function are a view, which is no dict.
        for variables in (*(dict(frame.f_locals) for frame in frames), *modules.values()):
            remember_variables(variables)


def _frames_of(error: BaseException) -> Iterator[TracebackType]:
    current: BaseException | None = error
    left = _MAX_FRAMES
    for _ in range(_MAX_CAUSES):
        traceback = current.__traceback__ if current is not None else None
        while traceback is not None and left:
            left -= 1
            if is_user_file(traceback.tb_frame.f_code.co_filename):
                yield traceback
            traceback = traceback.tb_next
        current = (current.__cause__ or current.__context__) if current is not None else None
