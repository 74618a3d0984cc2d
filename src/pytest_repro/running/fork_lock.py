"""A lock that no fork finds held by a thread that it does not have: whoever asked for it there would wait for ever."""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from typing import Any

_locks: weakref.WeakSet[ForkLock] = weakref.WeakSet()
_numbers = itertools.count()


class ForkLock:
    """A lock that whoever forks holds meanwhile, in whatever thread.

    Not a new one in the child: `random` draws there before what is registered here is called. Reentrant, for that draw.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.number = next(_numbers)
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *args: Any) -> None:
        self._lock.release()


#: What the fork that is under way holds: a lock may come to be, or end, between its two calls.
_held: list[ForkLock] = []


def _take() -> None:
    # In one order, or two threads that fork would each wait for what the other holds.
    found = sorted(_locks, key=lambda lock: lock.number)
    for lock in found:
        lock.__enter__()
    _held.extend(found)


def _let_go() -> None:
    while _held:
        _held.pop().__exit__()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take, after_in_parent=_let_go, after_in_child=_let_go)
