"""The part of the fork server that knows no pytest: it takes jobs, forks for each, reaps, and reports their ends.

The server has imported and collected everything. A job comes over a socket with two descriptors: the fork's output and
a channel. When the fork has ended, the server reports its end on the channel. If the other side closes the channel
first, the fork and everything that it started are killed. When the socket ends, the server ends too.

A job may be one of a series: then the server hands it to a fork that runs the jobs of the series one after the other,
and reports the end of the job.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import selectors
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn, cast

from pytest_repro.environments.keeper import end_processes, find_processes

#: A fork whose threads have all waited for locks for so long, without CPU time, has inherited a lock without owner.
STALL_S = 5.0
#: Interval between two checks for stalled forks.
CHECK_S = 0.5
#: Time limit for the fork of a series to tear down what it keeps, once no job follows.
ENDING_S = 5.0
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
    """A fork in progress.

    Attributes
    ----------
    channel : socket or None
        Where the end of its job is reported. None between two jobs of a series.
    link : socket or None
        Where the fork of a series takes jobs. None for one that runs a single job, or takes no more.
    """

    pid: int
    handle: int
    channel: socket.socket | None = None
    link: socket.socket | None = None
    ends_at: float | None = None
    cpu_ticks: int = 0
    progressed_at: float = field(default_factory=time.monotonic)
    has_stalled: bool = False


class ForkServer:
    """Serves jobs until its socket ends.

    Parameters
    ----------
    control : socket, SOCK_SEQPACKET
        Receives ``{"job": path, "series": bool}`` with two descriptors, ``{"preload": path}``, or ``{"end_series":
        true}``.
    prepare : callable (path of the job) -> callable or None
        Runs in the server, and returns what the fork runs. None if the server lacks the job's test. Work is cheaper
        here than in the fork, where each page is copied when it is first written to.
    prepare_series : callable () -> callable (socket)
        The same for the fork of a series, which takes jobs from the socket (:func:`receive_job`, :func:`report_job`).
    preload : callable (path of a list of modules)
        Runs in the server.
    """

    def __init__(
        self,
        control: socket.socket,
        *,
        prepare: Callable[[Path], Callable[[], None] | None],
        prepare_series: Callable[[], Callable[[socket.socket], None]],
        preload: Callable[[Path], None],
    ) -> None:
        self._control = control
        self._prepare = prepare
        self._prepare_series = prepare_series
        self._preload = preload
        self._forks: dict[int, _Fork] = {}
        self._series: _Fork | None = None
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
            if self._series is not None and self._series.channel is None:
                self._end_series()
            for fork in list(self._forks.values()):
                if fork.ends_at is not None:
                    select.select([fork.handle], [], [], max(0.0, fork.ends_at - time.monotonic()))
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
        if "end_series" in content:
            self._end_series()
            return True
        output, channel = descriptors[0], socket.socket(fileno=descriptors[1])
        if content.get("series"):
            self._continue_series(content["job"], output, channel)
        elif (run := self._prepare(Path(content["job"]))) is None:
            _report(channel, missing=True)
        else:
            self._watch_job(self._fork(run, output, channel), channel)
        os.close(output)
        return True

    def _continue_series(self, job: str, output: int, channel: socket.socket) -> None:
        """Hand a job to the fork of the series, which is made if there is none."""
        if self._series is None:
            link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._series = self._fork(partial(self._prepare_series(), theirs), output, channel, link)
            self._series.link = link
            self._selector.register(link, selectors.EVENT_READ, self._series.pid)
        assert self._series.link is not None
        self._watch_job(self._series, channel)
        with contextlib.suppress(OSError):  # it has ended, which is reported for this job
            socket.send_fds(self._series.link, [json.dumps({"job": job}).encode()], [output])

    def _end_series(self) -> None:
        """Have the fork of the series tear down what it keeps and end. Another one takes the next job."""
        fork, self._series = self._series, None
        if fork is None or fork.link is None:
            return
        self._selector.unregister(fork.link)
        fork.link.close()
        fork.link, fork.ends_at = None, time.monotonic() + ENDING_S

    def _watch_job(self, fork: _Fork, channel: socket.socket) -> None:
        """Begin a job, which the parent ends early by closing the channel."""
        fork.channel, fork.progressed_at = channel, time.monotonic()
        self._selector.register(channel, selectors.EVENT_READ, fork.pid)

    def _report_job(self, fork: _Fork, **how: object) -> None:
        if fork.channel is not None:
            self._selector.unregister(fork.channel)
            _report(fork.channel, **how)
            fork.channel = None

    def _fork(self, run: Callable[[], None], output: int, *of_server: socket.socket) -> _Fork:
        """Fork. The fork closes what belongs to the server alone."""
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            # Python 3.12 warns of a fork in a process with threads. Those of the user's modules must not be ended here.
            warnings.simplefilter("ignore")
            pid = os.fork()
        if pid == 0:
            self._become(run, output, of_server)
        fork = self._forks[pid] = _Fork(pid, os.pidfd_open(pid))
        self._selector.register(fork.handle, selectors.EVENT_READ, pid)
        return fork

    def _become(self, run: Callable[[], None], output: int, of_server: Iterable[socket.socket]) -> NoReturn:
        """Continue as the fork, which closes everything of the server and never returns into its frames."""
        code = 1
        try:
            _start_afresh(output, self._pid)
            for file in [*of_server, *(key.fileobj for key in self._selector.get_map().values())]:
                os.close(file) if isinstance(file, int) else cast("socket.socket", file).close()
            self._selector.close()
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
        """Take the end of a job, or end a fork that has exited or that the parent no longer waits for."""
        if fork.link is not None and descriptor == fork.link.fileno():
            if message := _receive(fork.link):
                self._report_job(fork, **json.loads(message))
                return
        elif fork.channel is not None and descriptor == fork.channel.fileno() and _peek(fork.channel):
            return
        self._end(fork)

    def _end(self, fork: _Fork) -> None:
        """End a fork and everything that it started, and report how it ended."""
        del self._forks[fork.pid]
        self._selector.unregister(fork.handle)
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
        self._report_job(fork, returncode=os.waitstatus_to_exitcode(status), stalled=fork.has_stalled)
        if fork is self._series:
            self._end_series()

    def _orphans(self) -> list[int]:
        """Reap the dead among the server's children that it has not forked itself, and return those that live."""
        orphans = [pid for pid in _children(self._pid) if pid not in self._forks and pid not in self._own_children]
        return [pid for pid in orphans if os.waitpid(pid, os.WNOHANG)[0] == 0]

    def _end_if_stalled(self, fork: _Fork) -> None:
        """End a fork that waits for a lock without owner, or that does not end once no job follows."""
        if fork.ends_at is not None and time.monotonic() > fork.ends_at:
            self._end(fork)
            return
        if fork.channel is None:
            return
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


def _receive(link: socket.socket) -> bytes:
    """Return the next message of a series' fork, or nothing if it has ended."""
    try:
        return link.recv(MAX_MESSAGE_BYTES)
    except OSError:
        return b""


def receive_job(link: socket.socket) -> tuple[Path, int] | None:
    """Wait in the fork of a series for the next job and the descriptor of its output. None if there is none."""
    message, descriptors, _, _ = socket.recv_fds(link, MAX_MESSAGE_BYTES, 1)
    return (Path(json.loads(message)["job"]), descriptors[0]) if message else None


def report_job(link: socket.socket, *, missing: bool = False) -> None:
    """Report in the fork of a series that a job has ended, or that its test was not collected here."""
    link.send(json.dumps({"missing": True} if missing else {"returncode": 0}).encode())


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
