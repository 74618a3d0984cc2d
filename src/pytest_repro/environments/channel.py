"""The streams of a command prefix, behind which an agent answers. Nothing that comes from there is trusted."""

from __future__ import annotations

import base64
import contextlib
import inspect
import json
import os
import queue
import secrets
import signal
import subprocess
import threading
import time
import zlib
from pathlib import PurePath
from typing import Any

from pytest_repro.environments import agent
from pytest_repro.environments.environment import Environment, EnvironmentLostError
from pytest_repro.environments.keeper import COMMAND, MARK_VARIABLE
from pytest_repro.environments.names import HostNames
from pytest_repro.environments.processes import OutputTail, end_group
from pytest_repro.model.redaction import redact

#: How long the agent may take to clean up, and then its command to end [s].
CLOSE_S, COMMAND_S = 5.0, 30.0
#: Pause between two looks at whether the command still runs [s].
LOOK_S = 1.0
#: Limits of a message with files, of any other one, of those that wait, and of a line that a prefix prints.
MAX_FILES, MAX_MESSAGE, MAX_WAITING, MAX_BANNER = agent.MAX_FILES_BYTES + 2**28, 2**20, 256, 2**20
KEPT_BANNER = 4096
SHOWN_LINES = 8
_FLAGS = ("-I", "-S", "-i", "-q", "-u")
#: Takes the agent's source. An interpreter that reads its input line by line goes on after an error.
_PROGRAM = """
try:
    import base64, os, sys, zlib
    os.write(1, b'%s' + b'%s\\n')
    exec(zlib.decompress(base64.b64decode(sys.stdin.readline())).decode())
    main()
except BaseException:
    import traceback
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(70)
"""

Message = tuple[dict[str, Any], bytes]


class Channel:
    """Starts a command, and an agent behind it.

    Parameters
    ----------
    environment : Environment
    names : HostNames
    mark : str
        Of the session's processes, by which a command is ended that outlives the session.

    Raises
    ------
    EnvironmentLostError
        If the command cannot be started.
    """

    def __init__(self, environment: Environment, names: HostNames, mark: str) -> None:
        self._environment, self._names = environment, names
        self._messages: queue.Queue[Message | None] = queue.Queue(MAX_WAITING)
        self._writing = threading.Lock()
        self._is_closed = threading.Event()
        self._has_cleared_up = threading.Event()
        self._printed = b""
        self._has_answered = False
        self._reason = ""
        command = [*environment.prefix, environment.python, *_FLAGS]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, MARK_VARIABLE: f"{mark}.{COMMAND}"},
                start_new_session=True,
            )
        except OSError as error:
            what = names.hide(PurePath(command[0]).name)
            raise self.lost(f"cannot be started: {what}: {error.strerror or error}") from None
        assert self._process.stderr is not None
        self._errors = OutputTail(self._process.stderr.fileno())
        threading.Thread(target=self._read, name="pytest-repro-environment", daemon=True).start()

    @property
    def is_alive(self) -> bool:
        """Whether it still answers."""
        return not self._reason and not self._is_closed.is_set() and self._process.poll() is None

    def lost(self, what: str) -> EnvironmentLostError:
        """Return an error that names the environment."""
        return EnvironmentLostError(f"the environment {self._environment.name!r} {what}")

    def send(self, head: dict[str, Any], data: bytes = b"") -> None:
        """Send a message. That nobody takes it is seen by :meth:`receive`."""
        line = json.dumps({**head, "size": len(data)}).encode() + b"\n"
        self._write(line, data)

    def _write(self, *parts: bytes) -> None:
        assert self._process.stdin is not None
        # A connection that is not read from would block this for ever.
        watchdog = threading.Timer(self._environment.timeout_s, self._give_up)
        watchdog.daemon = True
        with self._writing, contextlib.suppress(OSError, ValueError):
            watchdog.start()
            try:
                for part in parts:
                    self._process.stdin.write(part)
                self._process.stdin.flush()
            finally:
                watchdog.cancel()

    def _give_up(self) -> None:
        self._reason = self._reason or self._describe_silence("took no input")
        self._end_command()

    def _describe_silence(self, what: str) -> str:
        return f"{what} within {self._environment.timeout_s:.3g} s, its timeout"

    def receive(self, deadline: float) -> Message | None:
        """Return the next message, or None where :meth:`wake` was called.

        Parameters
        ----------
        deadline : float
            By :func:`time.monotonic`.

        Raises
        ------
        EnvironmentLostError
            If there is none in time, or will be none.
        """
        message = self._await_message(deadline)
        if message is None:
            self.close()
            raise self.lost(f"{self._reason or 'was lost'}{self._show_output()}")
        return message if message[0]["kind"] != "woken" else None

    def _await_message(self, deadline: float) -> Message | None:
        has_ended = False
        while time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                return self._messages.get(timeout=min(LOOK_S, max(0.0, deadline - time.monotonic())))
            if has_ended:
                # What it started still holds its output.
                self._reason = self._reason or f"was lost: its command ended with exit code {self._process.poll()}"
                return None
            has_ended = self._process.poll() is not None
        self._reason = self._reason or self._describe_silence("did not answer")
        return None

    def wake(self) -> None:
        """Have :meth:`receive` return at once."""
        with contextlib.suppress(queue.Full):
            self._messages.put_nowait(({"kind": "woken"}, b""))

    def close(self) -> None:
        """End the connection, which has the other side clean up, and the command."""
        if self._is_closed.is_set():
            return
        self._is_closed.set()
        self._reason = self._reason or "was closed"
        # Not while a message is written: the command has to end first.
        if self._has_answered and self._writing.acquire(timeout=CLOSE_S):
            try:
                with contextlib.suppress(OSError, ValueError):
                    assert self._process.stdin is not None
                    self._process.stdin.close()
                self._await_end()
            finally:
                self._writing.release()
        self._end_command()
        self._errors.close()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _end_command(self) -> None:
        """End the command, which may first have to take a job out of a queue."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_S)
        end_group(self._process)

    def _await_end(self) -> None:
        """Give the agent time to clean up, and then the command, which may have a container to remove."""
        started = time.monotonic()
        while self._process.poll() is None:
            limit_s = COMMAND_S if self._has_cleared_up.is_set() else CLOSE_S
            if time.monotonic() - started > limit_s:
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)

    def _show_output(self) -> str:
        text = self._printed.decode("utf-8", "replace") + self._errors.text().replace(">>> ", "")
        shown = redact(self._names.hide_all(text))
        lines = [line for line in shown.strip().splitlines() if line.strip()][-SHOWN_LINES:]
        return ". Its last output:\n" + "\n".join(f"    {line[:300]}" for line in lines) if lines else ""

    def _read(self) -> None:
        """Start the agent, and read its messages until there are no more."""
        reason = ""
        try:
            self._start()
            while (message := self._read_message()) is not None:
                if message[0]["kind"] == "bye":
                    self._has_cleared_up.set()
                self._put(message)
        except Exception as error:
            reason = f"sent what is no message ({type(error).__name__}); is a terminal allocated?"
        if not reason:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSE_S)
            code = self._process.poll()
            reason = "was lost" if code is None else f"was lost: its command ended with exit code {code}"
        self._reason = self._reason or reason
        self._put(None)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _put(self, message: Message | None) -> None:
        """Hand a message over. What nobody takes holds the other side up, and not this one's memory."""
        while not self._is_closed.is_set():
            with contextlib.suppress(queue.Full):
                self._messages.put(message, timeout=0.5)
                return

    def _start(self) -> None:
        """Have the bare interpreter take the agent's source. It is sent only when the interpreter has answered."""
        mark = secrets.token_hex(8)
        source = base64.b64encode(zlib.compress(inspect.getsource(agent).encode()))
        # The mark is in two parts, so that an echo of this line is not taken for the answer.
        self._write(f"exec({_PROGRAM % (mark[:8], mark[8:])!r})\n".encode())
        if self._skip_to(mark.encode()):
            self._write(source, b"\n")

    def _skip_to(self, mark: bytes) -> bool:
        """Read what a banner or a login shell prints, up to the interpreter's answer. Return whether it came."""
        assert self._process.stdout is not None
        while not (line := self._process.stdout.readline(MAX_BANNER)).rstrip().endswith(mark):
            if not line:
                return False
            self._printed = (self._printed + line)[-KEPT_BANNER:]
        self._printed = b""
        self._has_answered = True
        return True

    def _read_message(self) -> Message | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline(agent.MAX_LINE)
        if not line:
            return None
        head = json.loads(line)
        size, kind = head["size"], head["kind"]
        limit = MAX_FILES if kind == "ended" else MAX_MESSAGE
        if type(size) is not int or not 0 <= size <= limit or not isinstance(kind, str):
            raise ValueError("no message")
        data = self._process.stdout.read(size + 1)
        return (head, data[:-1]) if len(data) == size + 1 else None
