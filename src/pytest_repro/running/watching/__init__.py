"""Watch the user's own code during a run, and leave a trace of what each statement changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pytest_repro.running.watching import digests
from pytest_repro.running.watching.trace_file import TraceError, TraceWriter, read_trace
from pytest_repro.running.watching.tracing import monitored, traced, why_not
from pytest_repro.running.watching.user_code import UserCode
from pytest_repro.running.watching.watcher import Watcher

__all__ = ["TraceError", "read_trace", "watched"]


@contextmanager
def watched(
    path: str | os.PathLike[str],
    roots: Iterable[str | os.PathLike[str]] = (),
    *,
    budget_s: float = 30.0,
    max_events: int = 200_000,
) -> Iterator[None]:
    """Watch what runs within the block, in this thread and in those that it starts.

    Parameters
    ----------
    path : path
        File for the trace (:mod:`~pytest_repro.running.watching.trace_file`); written over.
    roots : iterable of path
        Folders below site-packages whose code is to be watched too. The user's code is all that lies in no library's
        folder and not in this package.
    budget_s : float
        Time spent on watching [s] after which it stops, and says so.
    max_events : int
        The same for the trace's events.

    Notes
    -----
    Draws from no generator, calls no method of the user's objects and keeps no reference to any. Where a debugger
    holds the trace function nothing is watched, and the trace says why.
    """
    path = Path(path)
    if not hasattr(sys, "monitoring") and (reason := why_not(sys.gettrace())):
        TraceWriter(path).close([f"nothing was watched: {reason}"])
        yield
        return
    user_code = UserCode(roots)
    watcher = Watcher(path, user_code, budget_s=budget_s, max_events=max_events)
    digests.tell_user_files(user_code.takes_file)
    with ExitStack() as stack:
        stack.callback(digests.tell_user_files, None)
        stack.callback(watcher.close)
        stack.enter_context(monitored(watcher) if hasattr(sys, "monitoring") else traced(watcher))
        yield
