"""A lock that is open in a fork, whichever thread of its parent held it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no forks here")

FORKS = """
    import json, os, signal, threading, time
    {first}
    from pytest_repro.sources.sightings import FORK_LOCK as lock

    is_held, is_over = threading.Event(), threading.Event()

    def hold():
        while not is_over.is_set():
            with lock:
                is_held.set()
                time.sleep(0.05)
            time.sleep(0.001)

    threading.Thread(target=hold, daemon=True).start()
    codes = []

    def fork():
        is_held.clear()
        is_held.wait()
        pid = os.fork()
        if pid == 0:
            signal.alarm(5)
            {child}
            os._exit(7)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    {parent}
    is_over.set()
    with lock:
        print(json.dumps(codes))
"""


def codes(*, parent: str, child: str = "lock.__enter__()", first: str = "") -> list[int]:
    """Return the exit codes of forks that were made while another thread held the lock."""
    source = textwrap.dedent(FORKS).format(parent=textwrap.dedent(parent), child=child, first=first)
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True, timeout=60, text=True)
    found: list[int] = json.loads(ended.stdout)
    return found


def test_a_fork_finds_the_lock_open_whoever_held_it() -> None:
    assert codes(parent="for _ in range(5): fork()") == [7] * 5


def test_it_is_open_for_the_standard_librarys_own_callbacks_in_a_fork() -> None:
    first = "os.register_at_fork(after_in_child=lambda: lock.__enter__())"
    assert codes(parent="fork()", child="pass", first=first) == [7]


def test_threads_that_fork_at_the_same_time_do_not_wait_for_each_other() -> None:
    parent = """
        threads = [threading.Thread(target=fork) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    """
    assert codes(parent=parent) == [7] * 8
