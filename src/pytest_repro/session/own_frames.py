"""Tracebacks without this plugin's frames, of which a user can change nothing.

pytest hides frames by ``__tracebackhide__``, but not with ``--tb=native``, nor where a test's first frame is in another
file. So they are taken out of the exception, once, before any style is made of it.
"""

from __future__ import annotations

from types import TracebackType

import pytest
from _pytest.outcomes import OutcomeException

from pytest_repro.errors import ReproError
from pytest_repro.tracing.user_code import is_own_file, is_user_file


def remove_own_frames(call: pytest.CallInfo[object]) -> None:
    """Remove the plugin's frames from a failure, from its causes and from the members of its groups.

    A failure inside the plugin that it did not raise on purpose keeps them: it is a bug, and they say where.
    """
    error = call.excinfo.value if call.excinfo is not None else None
    if error is None or _is_bug(error):
        return
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = _without_own(each.__traceback__)
        waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
    call.excinfo = pytest.ExceptionInfo.from_exc_info((type(error), error, error.__traceback__))  # type: ignore[arg-type]


def _is_bug(error: BaseException) -> bool:
    if isinstance(error, (ReproError, AssertionError, OutcomeException)) or not _files(error.__traceback__):
        return not error.__traceback__
    last = next((file for file in reversed(_files(error.__traceback__)) if is_own_file(file) or is_user_file(file)), "")
    return is_own_file(last)


def _files(traceback: TracebackType | None) -> list[str]:
    files = []
    while traceback is not None:
        files.append(traceback.tb_frame.f_code.co_filename)
        traceback = traceback.tb_next
    return files


def _without_own(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback without own frames, or all of it if nothing else is in it."""
    kept: list[TracebackType] = []
    following = traceback
    while following is not None:
        if not is_own_file(following.tb_frame.f_code.co_filename):
            kept.append(following)
        following = following.tb_next
    shown = None
    for each in reversed(kept):  # new objects: chained exceptions share theirs
        shown = TracebackType(shown, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return shown or traceback
