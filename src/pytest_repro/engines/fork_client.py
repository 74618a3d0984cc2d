"""The parent's side of the fork server: starts it, sends it jobs, and gives it up when it cannot be trusted."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pytest_repro.engines.base import EngineUnusableError
from pytest_repro.engines.fork_server import MAX_MESSAGE_BYTES, ForkServerSettings
from pytest_repro.environments.keeper import MARK_VARIABLE, end_processes, find_processes
from pytest_repro.environments.processes import ChildExit, Echo, OutputTail, SupervisedProcess
from pytest_repro.model.redaction import redact_assignments

#: Time limit for the server's imports and its collection.
START_S = 300.0
#: Time limit for ending a run or the server.
ANSWER_S = 10.0
#: One thread: after a parallel operation in the server, a fork would wait for threads that it does not have.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
#: Threads of BLAS and OpenMP sleep while they wait for work, and do not spin: in a test of milliseconds that is most of
#: the CPU time. A user's own value stays.
SLEEPING_THREADS = {"OPENBLAS_THREAD_TIMEOUT": "4", "GOMP_SPINCOUNT": "0"}


class ForkServerError(EngineUnusableError):
    """The fork engine cannot make a run here. A fresh interpreter may."""


class MissingTestError(ForkServerError):
    """The server works, but did not collect the test."""


def why_no_fork() -> str:
    """Return the reason why runs cannot be forks on this machine. Empty if they can."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return "forks are made on Linux only"
    # Not by asking the driver: that would initialise it, and a fork cannot use an inherited device.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all") not in ("", "-1")
    if visible and any(Path(path).exists() for path in ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/kfd")):
        return "an accelerator's driver does not survive a fork"
    return ""


class ForkServerClient:
    """One fork server, started with its first run and never again. May be used by several threads.

    A list of modules that it is to preload is kept until its next fork.

    Parameters
    ----------
    command : callable (path of the server's settings) -> list of str
    environment : mapping
        Of the server, with its mark.
    settings : callable
        Makes the server's settings from the descriptor of its socket. Called when the server starts.

    Attributes
    ----------
    has_series : bool
        Whether the server has a fork that runs a series of jobs.
    """

    def __init__(
        self,
        command: Callable[[Path], Sequence[str]],
        environment: Mapping[str, str],
        directory: Path,
        settings: Callable[[int], ForkServerSettings],
    ) -> None:
        self._command = command
        self._environment = dict(environment)
        self._mark = environment[MARK_VARIABLE]
        self._directory = directory
        self._settings = settings
        self._lock = threading.Lock()
        self._process: SupervisedProcess | None = None
        self._control: socket.socket | None = None
        self._tail: OutputTail | None = None
        self._is_over = False
        self._channels: set[socket.socket] = set()
        self._preload_lock = threading.Lock()
        self._to_preload: list[Path] = []
        self.has_series: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether it was closed or given up, so that it makes no more forks."""
        return self._is_over

    def run(
        self, job: Path, *, timeout_s: float | None, echo: Echo | None = None, in_series: bool = False
    ) -> ChildExit:
        """Have a fork made for a job, wait for it, and end everything that it started.

        With `in_series` the fork is one that has run the earlier jobs of the series, and runs the later ones.

        Raises
        ------
        ForkServerError
            If the server could not be started, has ended, lacks the test, or the fork came to a standstill.
        """
        with self._lock:
            self._ensure_started()
        started = time.monotonic()
        readable, writable = os.pipe()
        channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        tail = OutputTail(readable, echo)
        self._channels.add(channel)
        try:
            try:
                if not (in_series and self.has_series):
                    self._send_preloads()
                self.has_series |= in_series
                self._send({"job": str(job), "series": in_series}, [writable, theirs.fileno()])
            finally:
                os.close(writable)
                theirs.close()
            how, timed_out = self._await_end(channel, timeout_s)
        finally:
            self._channels.discard(channel)
            channel.close()
            tail.close()
            os.close(readable)
        if how.get("missing"):
            raise MissingTestError("the test was not collected in the process that forks")
        if how.get("stalled"):
            raise ForkServerError("the fork came to a standstill, waiting for a lock without owner")
        return ChildExit(int(how["returncode"]), timed_out, tail.text(), time.monotonic() - started)

    def preload(self, modules: Path) -> None:
        """Have the server import the modules of a list before its next fork."""
        self._to_preload.append(modules)

    def end_series(self) -> None:
        """End the fork that runs a series. The next job of one gets a new fork."""
        if self.has_series:
            self.has_series = False
            with contextlib.suppress(ForkServerError):
                self._send({"end_series": True}, [])

    def _send_preloads(self) -> None:
        with self._preload_lock:  # no other thread's job may come before them
            while self._to_preload:
                self._send({"preload": str(self._to_preload.pop(0))}, [])

    def end_runs(self) -> None:
        """End every fork in progress. The threads that wait for one return."""
        for channel in list(self._channels):
            with contextlib.suppress(OSError):
                channel.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End the server. It may end by itself first, so that the user's hooks can clear up."""
        process, control = self._process, self._control
        self._is_over, self._process, self._control = True, None, None
        if process is None or control is None:
            return
        control.close()
        try:
            process.wait(ANSWER_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._end(process)

    def _await_end(self, channel: socket.socket, timeout_s: float | None) -> tuple[dict[str, int], bool]:
        timed_out = False
        channel.settimeout(timeout_s)
        try:
            message = channel.recv(MAX_MESSAGE_BYTES)
        except TimeoutError:
            timed_out = True
            channel.shutdown(socket.SHUT_WR)
            channel.settimeout(ANSWER_S)
            with contextlib.suppress(TimeoutError):
                message = channel.recv(MAX_MESSAGE_BYTES)
                return json.loads(message) if message else {"returncode": -9}, True
            message = b""
        except OSError:
            message = b""
        if not message:
            raise self._gave_up("ended in the midst of a run")
        return json.loads(message), timed_out

    def _send(self, message: Mapping[str, object], descriptors: list[int]) -> None:
        with self._lock:
            if self._control is None:
                raise ForkServerError("the process that forks has ended")
            try:
                socket.send_fds(self._control, [json.dumps(message).encode()], descriptors)
            except OSError:
                raise self._gave_up("has ended") from None

    def _ensure_started(self) -> None:
        if self._is_over:
            raise ForkServerError("the process that forks has ended")
        if self._process is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            settings = self._settings(theirs.fileno()).write()
            try:
                self._process = SupervisedProcess(
                    self._command(settings), self._environment, self._directory, pass_fds=[theirs.fileno()]
                )
            except OSError as error:
                ours.close()
                raise ForkServerError(f"the process that forks could not be started: {error}") from None
        self._control = ours
        assert self._process.stdout is not None
        self._tail = OutputTail(self._process.stdout.fileno())
        ours.settimeout(START_S)
        try:
            ready = ours.recv(MAX_MESSAGE_BYTES)
        except OSError:
            ready = b""
        except BaseException:
            self._gave_up("was interrupted")
            raise
        if not ready:
            raise self._gave_up("ended before its first fork")
        ours.settimeout(ANSWER_S)

    def _gave_up(self, how: str) -> ForkServerError:
        """End a server that cannot be trusted any more, and return the error to raise."""
        process, control, tail = self._process, self._control, self._tail
        self._is_over, self._process, self._control = True, None, None
        if process is None or control is None or tail is None:
            return ForkServerError(f"the process that forks {how}")
        control.close()
        self._end(process)
        tail.close()
        lines = redact_assignments(tail.text()).rstrip().splitlines()
        last = f"; its last output: {lines[-1][:200]}" if lines else ""
        return ForkServerError(f"the process that forks {how} (exit code {process.exit_code}){last}")

    def _end(self, process: SupervisedProcess) -> None:
        process.end()
        end_processes(lambda: find_processes(mark=self._mark))
        if process.stdout is not None:
            process.stdout.close()
