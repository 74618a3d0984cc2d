"""Find and end the processes that a run started, and clear up after a session that was killed itself.

Also a program: ``python -I -S keeper.py FOLDER MARK`` waits until its standard input ends, which happens when the
session that holds the other end has ended in any way. Then it ends every process with the mark and removes the folder.
It imports only what a bare interpreter has, and costs 10 ms of CPU in parallel to the session.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable

#: Environment variable that identifies everything that a run started: ``<session>.<run>``.
MARK_VARIABLE = "PYTEST_REPRO_RUN"
#: In the place of the run, for a command behind which an environment lies. It ends by itself when its input has ended.
COMMAND = "command"
#: Resource trackers (multiprocessing, joblib) outlive their process for a moment, to unlink its semaphores.
TRACKER_S = 2.0
#: An environment's command may take so long to end what runs there and to remove what was sent.
COMMAND_S = 8.0
#: File of the program that supervises a run.
_SUPERVISOR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "supervisor.py").encode()  # noqa: PTH100, PTH118, PTH120
#: Time limit for processes that start others faster than they are found.
ENDING_S = 10.0


def find_processes(*, mark: str = "", group: int = 0) -> list[int]:
    """Return the processes of a group, or whose mark begins so, without zombies.

    Reads ``/proc``. Without it the list is empty. A process that left the group and replaced its environment is missed.
    """
    found = []
    needle = f"{MARK_VARIABLE}={mark}".encode()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():  # noqa: PTH112, PTH208 - pathlib costs 8 ms
        if not name.isdigit() or int(name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if (group and _group_of(name) == group) or (mark and _is_marked(name, needle)):
                found.append(int(name))
    return found


def _group_of(pid: str) -> int:
    """Return the group of a process, or 0 for a zombie."""
    # The name of the program, in parentheses before these fields, may itself hold spaces and parentheses.
    state, _, group = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:3]
    return 0 if state == b"Z" else int(group)


def _is_marked(pid: str, needle: bytes) -> bool:
    return any(entry.startswith(needle) for entry in _read(f"/proc/{pid}/environ").split(b"\0"))


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - see above
        return file.read()


def end_processes(find: Callable[[], list[int]]) -> None:
    """Kill the processes that `find` returns until there are none. Resource trackers get time to clear up first."""
    started = time.monotonic()
    told: set[int] = set()
    while (pids := find()) and time.monotonic() - started < ENDING_S:
        waited_s = time.monotonic() - started
        commands = {pid for pid in pids if waited_s < COMMAND_S and _is_command(pid)}
        for pid in commands - told:
            # A queue's command then takes its job out of the queue.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)
        told |= commands
        trackers = {pid for pid in pids if _is_tracker(pid)}
        if len(trackers) == len(pids) and waited_s > TRACKER_S:
            trackers = set()
        for pid in set(pids) - trackers - commands:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _is_tracker(pid: int) -> bool:
    """Return whether a process clears up after others and then ends by itself, as a run's supervisor does too."""
    try:
        command = _read(f"/proc/{pid}/cmdline")
    except OSError:
        return False
    return b"resource_tracker" in command or _SUPERVISOR in command


def _is_command(pid: int) -> bool:
    """Return whether a process is the command of an environment, or was started by it."""
    with contextlib.suppress(OSError):
        entries = _read(f"/proc/{pid}/environ").split(b"\0")
        return any(e.startswith(f"{MARK_VARIABLE}=".encode()) and e.endswith(f".{COMMAND}".encode()) for e in entries)
    return False


def main(folder: str, mark: str, side: str = "here") -> None:
    """Wait for the end of the session, then clear up.

    `side` is "there" for the keeper of an environment's agent, which is not to end the command that started the agent.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    end_processes(lambda: [pid for pid in find_processes(mark=mark) if side == "here" or not _is_command(pid)])
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
