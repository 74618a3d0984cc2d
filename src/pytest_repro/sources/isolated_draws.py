"""Generators restored after one line of the user's code, as if its call had a generator of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pytest_repro import seeding
from pytest_repro.seeding.generator_states import remember_state
from pytest_repro.sources.base import Source
from pytest_repro.sources.patching import SourcePatches
from pytest_repro.sources.sightings import lines_of
from pytest_repro.tracing.statements import read_statements

#: Attributes of an object among whose values generators are looked for.
MAX_ATTRIBUTES = 200
_Restore = Callable[[], object]


class IsolatedDraws(Source):
    """Draws at one line that leave the generators as they were."""

    name = "isolated"
    label = "shared generators"
    pinned = "with the generators restored after the call"
    code = "rng.shared_generator"
    is_searched = False

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        if lines := lines_of(self.name):
            patches.enter_context(_restored_after(lines))


@contextmanager
def _restored_after(lines: frozenset[str]) -> Iterator[None]:
    """Restore after each statement that begins at one of these lines, in this thread."""
    files = {line.rpartition(":")[0] for line in lines}
    waiting: dict[int, tuple[int, int, list[_Restore]]] = {}

    def restore(frame: FrameType) -> None:
        _, _, found = waiting.pop(id(frame))
        for each in found:
            each()

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        name = frame.f_code.co_filename
        if event == "call":
            return trace if name in files else None
        pending = waiting.get(id(frame))
        if event == "return" and pending is not None:
            restore(frame)
        elif event == "line":
            if pending is not None and not pending[0] <= frame.f_lineno <= pending[1]:
                restore(frame)
            if id(frame) not in waiting and f"{name}:{frame.f_lineno}" in lines:
                statement = read_statements(name).get(frame.f_lineno)
                end = statement.end if statement is not None else frame.f_lineno
                waiting[id(frame)] = frame.f_lineno, end, list(_save(frame))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def _save(frame: FrameType) -> Iterator[_Restore]:
    """Yield what restores the global generators, and those that a frame's variables hold."""
    state = seeding.save_state()
    yield lambda: seeding.restore_state(state, flags=False)
    for value in list(frame.f_locals.values()):
        own = vars(value) if hasattr(value, "__dict__") and not isinstance(value, type) else {}
        for each in [value, *list(own.values())[:MAX_ATTRIBUTES]]:
            if (restore := remember_state(each)) is not None:
                yield restore
