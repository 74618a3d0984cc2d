"""A lock that no fork finds held by a thread that it does not have: whoever asked for it there would wait for ever."""

from __future__ import annotations

import os
import threading

#: Held by whoever forks meanwhile, in whatever thread. Reentrant, and not a new one in the child: `random` draws there
#: before what is registered here is called.
FORK_LOCK = threading.RLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=FORK_LOCK.acquire, after_in_parent=FORK_LOCK.release, after_in_child=FORK_LOCK.release)
