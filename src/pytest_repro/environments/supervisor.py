"""A program that runs one command and ends everything that the command has started, also what left its group.

``python -I -S supervisor.py DESCRIPTOR COMMAND...``: on Linux it becomes the reaper of all descendants, which are found
without a mark that they would inherit. When the command has ended, the supervisor kills what is left, writes the
command's exit code to the descriptor, and ends. If the other side closes the descriptor first, the command is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Mapping

_SET_CHILD_SUBREAPER = 36
#: Signals that Python ignores and that a program is to find as the system has them.
_RESTORED = ("SIGPIPE", "SIGXFSZ")
#: Pause where the system has no descriptors of processes.
_PAUSE_S = 0.01
#: As in pytest_repro.environments.keeper, which is not imported.
TRACKER_S, ENDING_S = 2.0, 10.0


def supervise(descriptor: int, command: list[str]) -> None:
    """Run the command, and end its descendants."""
    os.set_inheritable(descriptor, False)
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in handlers:
        signal.signal(number, signal.SIG_IGN)
    pid = os.fork()
    if pid == 0:
        _become(command, handlers)
    code = _await_end(pid, descriptor)
    if not os.path.exists(_children_file()):  # noqa: PTH110 - a kernel without it
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    end_children()
    with contextlib.suppress(OSError):
        os.write(descriptor, str(code).encode())


def _become(command: list[str], handlers: Mapping[signal.Signals, object]) -> None:
    """Continue as the command, with a group and a session of its own."""
    try:
        os.setsid()
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_IGN if handler is signal.SIG_IGN else signal.SIG_DFL)
        for name in _RESTORED:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _await_end(pid: int, descriptor: int) -> int:
    """Wait for the end of the command, or of the session. Then the command is killed. Return its exit code."""
    handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
    while True:
        readable, _, _ = select.select([descriptor, *([handle] if handle >= 0 else [])], [], [], _pause(handle))
        if descriptor in readable:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            return os.waitstatus_to_exitcode(status)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def _pause(handle: int) -> float | None:
    return None if handle >= 0 else _PAUSE_S


def end_children() -> None:
    """Kill all children until there are none. Those of a killed one become this process' children."""
    started = time.monotonic()
    while (pids := _reap()) and time.monotonic() - started < ENDING_S:
        # Resource trackers (multiprocessing, joblib) outlive their process for a moment, to unlink its semaphores.
        trackers = {pid for pid in pids if _is_tracker(pid)}
        if len(trackers) == len(pids) and time.monotonic() - started > TRACKER_S:
            trackers = set()
        for pid in set(pids) - trackers:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def _reap() -> list[int]:
    """Reap the dead children, and return those that live."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    with contextlib.suppress(OSError):
        return [int(pid) for pid in _read(_children_file()).split()]
    return []


def _children_file() -> str:
    return f"/proc/self/task/{os.getpid()}/children"


def _is_tracker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"resource_tracker" in _read(f"/proc/{pid}/cmdline")
    return False


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs 8 ms
        return file.read()


if __name__ == "__main__":
    supervise(int(sys.argv[1]), sys.argv[2:])
