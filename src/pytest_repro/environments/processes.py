"""The part of the spawn engine that knows no pytest: start a process, wait for it, and leave nothing of it behind."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_repro.environments import supervisor
from pytest_repro.environments.keeper import ENDING_S, MARK_VARIABLE, end_processes, find_processes
from pytest_repro.errors import ChildError

#: Kept end of a child's output.
KEPT_OUTPUT_BYTES = 64 * 1024
#: The pipe is read for so long after the child has ended: a grandchild may hold it open forever.
DRAIN_S = 2.0
#: The timeout begins after so long even if the child has not reached its test.
BEGIN_S = 300.0

#: Takes a child's output as it comes.
Echo = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class ChildExit:
    """The end of a child process: its exit code (negative for a signal), and the end of its output."""

    returncode: int
    timed_out: bool
    output: str
    seconds: float

    def describe(self) -> str:
        """Describe how it ended, without its output."""
        if self.timed_out:
            return f"was stopped after {self.seconds:.3g} s, its timeout"
        if self.returncode < 0:
            number = -self.returncode
            hint = ", as the kernel does when memory runs out" if number == signal.SIGKILL else ""
            return f"was killed by {_signal_name(number)}{hint}"
        return f"ended with exit code {self.returncode}"


class ChildProcesses:
    """Runs commands, each in its own process group, until :meth:`stop`. May be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[SupervisedProcess] = set()
        self._stops: list[Callable[[], object]] = []
        self._is_stopped = False

    def run(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        timeout_s: float | None,
        has_begun: Callable[[], bool] = lambda: True,
        echo: Echo | None = None,
    ) -> ChildExit:
        """Run a command, wait for it, and end everything that it started.

        The timeout begins when the test has begun: an interpreter on a busy machine needs seconds to start.

        Raises
        ------
        OSError
            If the command cannot be started.
        ChildError
            If :meth:`stop` was called.
        """
        started = time.monotonic()
        process = self._start(command, environment, directory)
        assert process.stdout is not None
        tail = OutputTail(process.stdout.fileno(), echo)
        timed_out = False
        try:
            if timeout_s is not None:
                _wait_for_begin(process, has_begun)
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            process.end()
            with self._lock:
                self._running.discard(process)
            tail.close()
            process.stdout.close()
        return ChildExit(process.exit_code, timed_out, tail.text(), time.monotonic() - started)

    def _start(self, command: Sequence[str], environment: Mapping[str, str], directory: Path) -> SupervisedProcess:
        with self._lock:
            if self._is_stopped:
                raise ChildError("was not started: the test had ended")
            process = SupervisedProcess(command, environment, directory)
            self._running.add(process)
            return process

    @contextlib.contextmanager
    def stopping(self, stop: Callable[[], object]) -> Iterator[None]:
        """Have :meth:`stop` end something else as well while the context lasts.

        Raises
        ------
        ChildError
            If :meth:`stop` was called before.
        """
        with self._lock:
            if self._is_stopped:
                raise ChildError("was not started: the test had ended")
            self._stops.append(stop)
        try:
            yield
        finally:
            with self._lock:
                self._stops.remove(stop)

    def stop(self) -> None:
        """End every process in progress, and start no more."""
        with self._lock:
            self._is_stopped = True
            running, stops = set(self._running), [*self._stops]
        for process in running:
            process.end()
        for stop in stops:
            stop()


def _wait_for_begin(process: subprocess.Popen[bytes], has_begun: Callable[[], bool]) -> None:
    """Wait until a process has begun its test or ended, for a limited time."""
    deadline = time.monotonic() + BEGIN_S
    while not has_begun() and time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
            return


def start_in_group(
    command: Sequence[str], environment: Mapping[str, str], directory: Path, *, pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a process with its output in a pipe and in its own group.

    Ctrl-C then reaches only the parent, which ends the child and everything that it started.
    """
    return subprocess.Popen(list(command), **_in_group(environment, directory, pass_fds))


def _in_group(environment: Mapping[str, str], directory: Path, pass_fds: Sequence[int]) -> dict[str, Any]:
    return {
        "env": dict(environment),
        "cwd": directory,
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "start_new_session": True,
        "pass_fds": pass_fds,
    }


class SupervisedProcess(subprocess.Popen[bytes]):
    """A command that ends with everything that it has started, also with what left its process group.

    On Linux it is started by :mod:`pytest_repro.environments.supervisor`, which finds its descendants. The mark in its
    environment would do it only for those that inherit the mark, which the user's code is not to see.

    Raises
    ------
    OSError
        If the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        *,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._mark = environment.get(MARK_VARIABLE, "")
        self._control: socket.socket | None = None
        self._end_lock = threading.Lock()
        self._reported = b""
        if sys.platform != "linux":
            super().__init__(list(command), **_in_group(environment, directory, pass_fds))
            return
        if shutil.which(command[0], path=environment.get("PATH")) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
        self._control, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            program = [sys.executable, "-I", "-S", supervisor.__file__, str(descriptor), *command]
            super().__init__(program, **_in_group(environment, directory, [*pass_fds, descriptor]))

    @property
    def exit_code(self) -> int:
        """The command's exit code once it has ended, negative for a signal."""
        text = self._reported.decode()
        return int(text) if text else int(self.returncode)

    def end(self) -> None:
        """End the command, if it has not ended, and everything that it has started."""
        with self._end_lock:
            if self._control is not None:
                with contextlib.suppress(OSError):
                    self._control.shutdown(socket.SHUT_WR)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.wait(ENDING_S)
                self._control.setblocking(False)
                with contextlib.suppress(OSError):
                    self._reported = self._control.recv(64)
                self._control.close()
                self._control = None
            end_group(self, self._mark)


def end_group(process: subprocess.Popen[bytes], mark: str = "") -> None:
    """Kill the rest of a group and of a mark: grandchildren must not outlive the run that started them."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, signal.SIGKILL)
    process.wait()
    end_processes(lambda: find_processes(mark=mark, group=process.pid))
    # Without /proc, find_processes finds none.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class OutputTail:
    """Reads a pipe to its end and keeps the last bytes: 100 MB of output must cost neither memory nor a deadlock."""

    def __init__(self, descriptor: int, echo: Echo | None = None) -> None:
        # A copy: the caller may close its own, whose number can be reused, while another process holds the other end.
        self._descriptor = os.dup(descriptor)
        self._echo = echo
        self._kept: deque[bytes] = deque()
        self._size = 0
        self._thread = threading.Thread(target=self._read, name="pytest-repro-output", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self._descriptor, 64 * 1024):
                self._kept.append(chunk)
                self._size += len(chunk)
                while self._size - len(self._kept[0]) >= KEPT_OUTPUT_BYTES:
                    self._size -= len(self._kept.popleft())
                if self._echo is not None:
                    self._echo(chunk)
        os.close(self._descriptor)

    def close(self) -> None:
        """Wait for the end of the output, but not long for another process that holds the pipe open."""
        self._thread.join(DRAIN_S)
        self._echo = None

    def text(self) -> str:
        """Return the kept end of the output."""
        return b"".join(tuple(self._kept))[-KEPT_OUTPUT_BYTES:].decode("utf-8", "replace")
