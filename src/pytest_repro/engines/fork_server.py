"""The part of the fork server that knows no pytest: it takes jobs, forks for each, reaps, and reports their ends.

The server has imported and collected everything. A job comes over a socket with two descriptors: the fork's output and
a channel. When the fork has ended, the server reports its end on the channel. If the other side closes the channel
first, the fork and everything that it started are killed. When the socket ends, the server ends too.
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

#: A fork whose threads have all waited for locks for so long, without CPU time, has inherited a lock without owner.
STALL_S = 5.0
#: Interval between two checks for stalled forks.
CHECK_S = 0.5
MAX_MESSAGE_BYTES = 64 * 1024
_SET_PARENT_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36


@dataclass(frozen=True, slots=True)
class ForkServerSettings:
    """The settings of a server.

    Attributes
    ----------
    control : int
        Descriptor of its socket.
    paths : list of str
        Files to collect.
    environment : dict of name -> text or None
        Variables to restore in a fork: the server itself runs on one thread.
    threads : dict of name -> int
        Sizes of the thread pools in the user's process.
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
    """A fork in progress."""

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
        Receives ``{"job": path}`` with two descriptors, or ``{"preload": path}``.
    prepare : callable (path of the job) -> callable or None
        Runs in the server, and returns what the fork runs. None if the server lacks the job's test. Work is cheaper
        here than in the fork, where each page is copied when it is first written to.
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
        self._handlers: dict[signal.Signals, Any] = {}
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Take jobs until the other side closes the socket, then end every fork."""
        become_subreaper()
        self._handlers = _reset_signals()
        self._own_children = set(_children(self._pid))
        self._selector.register(self._control, selectors.EVENT_READ)
        self._control.send(b'{"ready": true}')
        checked_at = time.monotonic()
        try:
            while True:
                for key, _ in self._selector.select(CHECK_S if self._forks else None):
                    if key.fileobj is self._control:
                        if not self._take():
                            return
                    elif key.data in self._forks:
                        self._attend(self._forks[key.data], key.fd)
                if time.monotonic() - checked_at >= CHECK_S:
                    checked_at = time.monotonic()
                    for fork in list(self._forks.values()):
                        self._end_if_stalled(fork)
        finally:
            for fork in list(self._forks.values()):
                self._end(fork)

    def _take(self) -> bool:
        """Take one message, and return False at the end of the socket."""
        message, descriptors, _, _ = socket.recv_fds(self._control, MAX_MESSAGE_BYTES, 2)
        if not message:
            return False
        content = json.loads(message)
        if "preload" in content:
            _restore_signals(self._handlers)
            self._preload(Path(content["preload"]))
            self._handlers = _reset_signals()
            self._own_children |= set(_children(self._pid)) - set(self._forks)
            return True
        output, channel = descriptors[0], socket.socket(fileno=descriptors[1])
        run = self._prepare(Path(content["job"]))
        if run is None:
            _report(channel, missing=True)
        else:
            self._fork(run, output, channel)
        os.close(output)
        return True

    def _fork(self, run: Callable[[], None], output: int, channel: socket.socket) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            # Python 3.12 warns of a fork in a process with threads. Those of the user's modules must not be ended here.
            warnings.simplefilter("ignore")
            pid = os.fork()
        if pid == 0:
            self._become(run, output, channel)
        fork = _Fork(pid, channel, os.pidfd_open(pid))
        self._forks[pid] = fork
        self._selector.register(fork.handle, selectors.EVENT_READ, pid)
        self._selector.register(channel, selectors.EVENT_READ, pid)

    def _become(self, run: Callable[[], None], output: int, channel: socket.socket) -> NoReturn:
        """Continue as the fork, which closes everything of the server and never returns into its frames."""
        code = 1
        try:
            _start_afresh(output, self._pid)
            self._selector.close()
            for fork in self._forks.values():
                fork.channel.close()
                os.close(fork.handle)
            channel.close()
            self._control.close()
            _restore_signals(self._handlers)
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
        """End a fork that has exited, or that the parent no longer waits for."""
        if descriptor != fork.handle and _peek(fork.channel):
            return
        self._end(fork)

    def _end(self, fork: _Fork) -> None:
        """End a fork and everything that it started, and report how it ended."""
        del self._forks[fork.pid]
        self._selector.unregister(fork.handle)
        self._selector.unregister(fork.channel)
        os.close(fork.handle)
        # No effect on one that has ended: its process id is kept until it is reaped.
        os.kill(fork.pid, signal.SIGKILL)
        _, status = os.waitpid(fork.pid, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(fork.pid, 0)
            end_processes(lambda: find_processes(group=fork.pid))
        # Each fork is the reaper of its own descendants. The server gets those of dead forks, including processes that
        # have left the group and the session.
        end_processes(self._orphans)
        _report(fork.channel, returncode=os.waitstatus_to_exitcode(status), stalled=fork.has_stalled)

    def _orphans(self) -> list[int]:
        """Reap the dead among the server's children that it has not forked itself, and return those that live."""
        orphans = [pid for pid in _children(self._pid) if pid not in self._forks and pid not in self._own_children]
        return [pid for pid in orphans if os.waitpid(pid, os.WNOHANG)[0] == 0]

    def _end_if_stalled(self, fork: _Fork) -> None:
        """End a fork that waits for a lock without owner."""
        ticks, is_waiting = _read_progress(fork.pid)
        if ticks != fork.cpu_ticks or not is_waiting:
            fork.cpu_ticks, fork.progressed_at = ticks, time.monotonic()
        elif time.monotonic() - fork.progressed_at > STALL_S:
            fork.has_stalled = True
            self._end(fork)


def become_subreaper() -> None:
    """Make orphans among this process' descendants its children, so that they can be found."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Ask Linux to end this process when the thread that started it ends."""
    if sys.platform == "linux":
        _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


@cache
def _libc() -> ctypes.CDLL:
    """Return the C library, which each fork needs."""
    return ctypes.CDLL(None)


def _prctl(option: int, argument: int) -> None:
    _libc().prctl(option, argument, 0, 0, 0)


def _reset_signals() -> dict[signal.Signals, Any]:
    """Restore the signal handlers of a fresh process in the server, and return those that the imports have left."""
    signal.set_wakeup_fd(-1)
    handlers = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD):
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        handlers[number] = signal.signal(number, default)
    return handlers


def _restore_signals(handlers: dict[signal.Signals, Any]) -> None:
    """Give a fork the handlers that the user's modules have set, as a fresh process would have them."""
    for number, handler in handlers.items():
        if handler is not None:  # one that was not set by Python
            signal.signal(number, handler)


def _start_afresh(output: int, server: int) -> None:
    """Give the fork a session and an output of its own. A fork inherits no timers."""
    os.setsid()
    die_with_parent()
    become_subreaper()
    if os.getppid() != server:  # the server died before die_with_parent took effect
        os._exit(1)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def _report(channel: socket.socket, **how: object) -> None:
    with contextlib.suppress(OSError):
        channel.send(json.dumps(how).encode())
    channel.close()


def _peek(channel: socket.socket) -> bool:
    """Return whether the other side still holds the channel."""
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
    # "0" is the answer of a kernel that hides where a thread waits.
    return ticks, all("futex" in wait or wait in ("", "0") for wait in waits)
