"""The fork engine's server, as far as it knows no pytest: takes jobs, forks for each, reaps, and tells how they ended.

The server has imported and collected everything. A job comes over a socket with two descriptors: where the fork
prints to, and a channel. When the fork has ended, its end is told on the channel; if the other side closes the
channel first, the fork and all it started are killed. When the socket ends, so does the server.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from pytest_repro.engines.keeper import end_processes, find_processes

#: Names the settings' file for a server; its presence makes the plugin a server's.
FORK_SERVER_VARIABLE = "PYTEST_REPRO_FORK_SERVER"
#: A fork all of whose threads wait for a lock, and which used no CPU for so long, inherited a lock that nobody holds.
STALL_S = 5.0
#: How often that is looked at.
LOOK_S = 0.5
LARGEST_MESSAGE_BYTES = 64 * 1024
_SET_PARENT_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36


@dataclass(frozen=True, slots=True)
class ForkServerSettings:
    """What a server is told at its start.

    Attributes
    ----------
    control : int
        Descriptor of its socket.
    paths : list of str
        Files to collect.
    options : dict of name -> JSON
        As in a job.
    environment : dict of name -> text or None
        What a fork's variables are set back to: the server itself runs on one thread.
    threads : dict of name -> int
        Sizes of the pools of threads as the user has them.
    directory : str
        Removed by the parent.
    """

    control: int
    paths: list[str]
    options: dict[str, Any]
    environment: dict[str, str | None]
    threads: dict[str, int]
    directory: str

    def write(self) -> Path:
        """Write the settings where the server finds them."""
        path = Path(self.directory) / "fork_server.json"
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> ForkServerSettings:
        """Read what the parent wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


@dataclass(slots=True)
class _Fork:
    """One fork that runs."""

    pid: int
    channel: socket.socket
    handle: int
    cpu_ticks: int = 0
    progressed_at: float = field(default_factory=time.monotonic)
    has_stalled: bool = False


class ForkServer:
    """Serves jobs until its socket ends.

    Parameters
    ----------
    control : socket, SOCK_SEQPACKET
        Gives ``{"job": path}`` with two descriptors, or ``{"preload": path}``.
    prepare : callable (path of the job) -> callable or None
        Does in the server what need not be done in the fork, where each page that is written to is first copied.
        Returns what the fork runs, with its output in place, before it ends; None if the server lacks the job's test.
    preload : callable (path of a list of modules)
        Runs in the server.
    """

    def __init__(
        self,
        control: socket.socket,
        *,
        prepare: Callable[[Path], Callable[[], None] | None],
        preload: Callable[[Path], None],
    ) -> None:
        self._control = control
        self._prepare = prepare
        self._preload = preload
        self._forks: dict[int, _Fork] = {}
        self._pid = os.getpid()
        self._own_children: set[int] = set()
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Take jobs until the other side is gone, then end every fork."""
        become_subreaper()
        _reset_signals()
        self._own_children = set(_children(self._pid))
        self._selector.register(self._control, selectors.EVENT_READ)
        self._control.send(b'{"ready": true}')
        looked_at = time.monotonic()
        try:
            while True:
                for key, _ in self._selector.select(LOOK_S if self._forks else None):
                    if key.fileobj is self._control:
                        if not self._take():
                            return
                    elif key.data in self._forks:
                        self._attend(self._forks[key.data], key.fd)
                if time.monotonic() - looked_at >= LOOK_S:
                    looked_at = time.monotonic()
                    for fork in list(self._forks.values()):
                        self._look_at(fork)
        finally:
            for fork in list(self._forks.values()):
                self._end(fork)

    def _take(self) -> bool:
        """Take one message; False at the end of the socket."""
        message, descriptors, _, _ = socket.recv_fds(self._control, LARGEST_MESSAGE_BYTES, 2)
        if not message:
            return False
        content = json.loads(message)
        if "preload" in content:
            self._preload(Path(content["preload"]))
            _reset_signals()
            self._own_children |= set(_children(self._pid)) - set(self._forks)
            return True
        output, channel = descriptors[0], socket.socket(fileno=descriptors[1])
        run = self._prepare(Path(content["job"]))
        if run is None:
            _tell(channel, missing=True)
        else:
            self._fork(run, output, channel)
        os.close(output)
        return True

    def _fork(self, run: Callable[[], None], output: int, channel: socket.socket) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            # Python 3.12 warns of threads beside a fork: those that the user's modules started are not ours to end.
            warnings.simplefilter("ignore")
            pid = os.fork()
        if pid == 0:
            self._become(run, output, channel)
        fork = _Fork(pid, channel, os.pidfd_open(pid))
        self._forks[pid] = fork
        self._selector.register(fork.handle, selectors.EVENT_READ, pid)
        self._selector.register(channel, selectors.EVENT_READ, pid)

    def _become(self, run: Callable[[], None], output: int, channel: socket.socket) -> NoReturn:
        """Go on as the fork: nothing of the server may be reached from here, and nothing returns into its frames."""
        code = 1
        try:
            _start_afresh(output, self._pid)
            self._selector.close()
            for fork in self._forks.values():
                fork.channel.close()
                os.close(fork.handle)
            channel.close()
            self._control.close()
            run()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _attend(self, fork: _Fork, descriptor: int) -> None:
        """A fork has ended, or nobody waits for it any more."""
        if descriptor != fork.handle and _peek(fork.channel):
            return
        self._end(fork)

    def _end(self, fork: _Fork) -> None:
        """End a fork, all it started, and tell how it ended."""
        del self._forks[fork.pid]
        self._selector.unregister(fork.handle)
        self._selector.unregister(fork.channel)
        os.close(fork.handle)
        # Without effect on one that has ended: its number is kept until it is reaped.
        os.kill(fork.pid, signal.SIGKILL)
        _, status = os.waitpid(fork.pid, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(fork.pid, 0)
            end_processes(lambda: find_processes(group=fork.pid))
        # Only what a dead fork has started comes to the server, for each fork is the reaper of its own: also what
        # has left its group and session.
        end_processes(self._orphans)
        _tell(fork.channel, returncode=os.waitstatus_to_exitcode(status), stalled=fork.has_stalled)

    def _orphans(self) -> list[int]:
        """Reap the dead among the server's children that it has not forked itself, and return those that live."""
        orphans = [pid for pid in _children(self._pid) if pid not in self._forks and pid not in self._own_children]
        return [pid for pid in orphans if os.waitpid(pid, os.WNOHANG)[0] == 0]

    def _look_at(self, fork: _Fork) -> None:
        """End a fork that waits for a lock that nobody will release."""
        ticks, is_waiting = _read_progress(fork.pid)
        if ticks != fork.cpu_ticks or not is_waiting:
            fork.cpu_ticks, fork.progressed_at = ticks, time.monotonic()
        elif time.monotonic() - fork.progressed_at > STALL_S:
            fork.has_stalled = True
            self._end(fork)


def become_subreaper() -> None:
    """Have orphans among this process' descendants become its children, where they can be found."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Ask Linux to end this process with the thread that started it, however that one ends."""
    if sys.platform == "linux":
        _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


@cache
def _libc() -> ctypes.CDLL:
    """Return the C library, looked up once: each fork needs it."""
    return ctypes.CDLL(None)


def _prctl(option: int, argument: int) -> None:
    _libc().prctl(option, argument, 0, 0, 0)


def _reset_signals() -> None:
    """Have the server, and so each fork, take signals as a fresh process does: an import may have changed it."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD):
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, default)


def _start_afresh(output: int, server: int) -> None:
    """Give the fork a session and an output of its own; of timers it has inherited none."""
    os.setsid()
    die_with_parent()
    become_subreaper()
    if os.getppid() != server:  # it died before this could be asked for
        os._exit(1)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def _tell(channel: socket.socket, **how: object) -> None:
    with contextlib.suppress(OSError):
        channel.send(json.dumps(how).encode())
    channel.close()


def _peek(channel: socket.socket) -> bool:
    """Tell whether the other side still holds the channel."""
    try:
        return bool(channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return True
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    children: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - on the path of every run
            text = Path(f"/proc/{pid}/task/{task}/children").read_text()
            children += [int(child) for child in text.split()]
    return children


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for known in found:
        found += [child for child in _children(known) if child not in found]
    return found


def _read_progress(pid: int) -> tuple[int, bool]:
    """Return the CPU time [ticks] used by a fork and its descendants, and whether every thread waits for a lock."""
    ticks, waits = 0, []
    for process in _descendants(pid):
        with contextlib.suppress(OSError, ValueError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(number) for number in fields[11:15])
            waits += [
                Path(f"/proc/{process}/task/{task}/wchan").read_text()
                for task in os.listdir(f"/proc/{process}/task")  # noqa: PTH208
            ]
    # A kernel that hides where a thread waits says "0".
    return ticks, all("futex" in wait or wait in ("", "0") for wait in waits)
