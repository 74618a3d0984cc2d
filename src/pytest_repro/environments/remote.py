"""Runs behind a command prefix: the agent there, what it is sent, and what comes back."""

from __future__ import annotations

import base64
import contextlib
import inspect
import io
import json
import queue
import secrets
import subprocess
import tarfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pytest_repro.environments import agent, probe
from pytest_repro.environments.environment import (
    Environment,
    EnvironmentFacts,
    EnvironmentLostError,
    EnvironmentUnusableError,
    StartedRun,
)
from pytest_repro.environments.keeper import MARK_VARIABLE
from pytest_repro.environments.places import PACKAGE
from pytest_repro.environments.probing import PROBE_S, read_facts
from pytest_repro.environments.processes import ChildExit, ChildProcesses, Echo, OutputTail, end_group
from pytest_repro.model.redaction import redact

#: How long the other side may take to clean up and end [s].
CLOSE_S = 5.0
#: Limits of what comes back, and of what a prefix may print before its Python answers.
MAX_MESSAGE, MAX_BANNER = 8 * 2**30, 2**20
SHOWN_LINES = 8
#: Folders on the other side, within the agent's own.
PLUGIN, SOURCES = "plugin", "sources"
#: Files of a run's folder that only its own process needs.
NOT_RETURNED = ["tmp", "job.json", "start.json"]
_FLAGS = ("-I", "-S", "-i", "-q", "-u")
_LOOK_S = 0.05

Message = tuple[dict[str, Any], bytes]


class RemotePlace:
    """Makes runs behind a command prefix, one after the other, through one agent for the session.

    Parameters
    ----------
    environment : Environment
    root : Path
        The project's folder here.
    list_files : callable
        Returns the project's files that are sent where the environment does not see them.
    """

    is_local = False

    def __init__(self, environment: Environment, root: Path, list_files: Callable[[], Iterable[Path]]) -> None:
        self._environment, self._root, self._list_files = environment, root, list_files
        self._lock = threading.RLock()
        self._channel: Channel | None = None
        self._folder = ""

    @property
    def plugin_path(self) -> str:
        """Folder there that holds this package."""
        return f"{self._folder}/{PLUGIN}"

    def path_of(self, path: str) -> str:
        """Return the path there of a file of the project or of a run."""
        given = Path(path)
        if given.is_relative_to(self._root):
            within = given.relative_to(self._root).as_posix()
            base = self._base
            return base if within == "." else f"{base}/{within}"
        return path

    def folder_of(self, run: Path) -> str:
        """Return the folder there of a run."""
        return f"{self._folder}/{run.name}"

    @property
    def _base(self) -> str:
        if self._environment.sync:
            return f"{self._folder}/{SOURCES}"
        return self._environment.directory or str(self._root)

    def look(self, modules: Iterable[str]) -> EnvironmentFacts:
        """Return what the interpreter there has, which starts it.

        Raises
        ------
        EnvironmentLostError
            If it does not answer.
        EnvironmentUnusableError
            If its Python cannot be used.
        """
        with self._lock:
            self.open()
            name = self._environment.name
            path = f"{self.plugin_path}/{PACKAGE.name}/environments/{Path(probe.__file__).name}"
            command = [self._environment.python, "-I", path, *modules]
            head, _ = self._request({"kind": "ask", "command": command, "directory": self._base, "timeout_s": PROBE_S})
            if head["kind"] == "failed":
                raise EnvironmentUnusableError(f"the environment {name!r}: its Python: {self.mask(head['reason'])}")
            return read_facts(self.mask(str(head["output"])), name)

    def open(self) -> None:
        """Start the agent, and send what every run needs, unless that was done.

        Raises
        ------
        EnvironmentLostError
            If it does not start in time.
        """
        with self._lock:
            if self._channel is not None and self._channel.is_alive:
                return
            channel = self._channel = Channel(self._environment, self.mask)
            ready, _ = channel.receive(self._environment.timeout_s)
            if ready.get("kind") != "ready":
                raise self._lost("answered in a form that is not known")
            self._folder = str(ready["folder"])
            self._send_files(PLUGIN, _pack(PACKAGE.parent, _list_package()))
            if self._environment.sync:
                self._send_files(SOURCES, _pack(self._root, self._list_files()))

    def run(self, run: StartedRun, processes: ChildProcesses, *, directory: Path, echo: Echo | None) -> ChildExit:
        """Make a run there, wait for it, and unpack the files that it left into its folder here."""
        with self._lock:
            self.open()
            files = [path for path in run.folder.iterdir() if path.is_file()]
            self._send_files(run.folder.name, _pack(run.folder, files))
            head = {
                "kind": "run",
                "command": [*run.prefix, self._environment.python, *run.arguments],
                "variables": {**run.variables, MARK_VARIABLE: run.mark},
                "mark": f"{MARK_VARIABLE}={run.mark}",
                "directory": self.path_of(str(directory)),
                "folder": run.folder.name,
                "begun": run.begun,
                "timeout_s": run.timeout_s,
                "skipped": NOT_RETURNED,
            }
            channel = self._channel
            assert channel is not None
            channel.send(head)
            with processes.stopping(lambda: channel.send({"kind": "stop"})):
                return self._wait(channel, run, echo)

    def _wait(self, channel: Channel, run: StartedRun, echo: Echo | None) -> ChildExit:
        kept: list[bytes] = []
        started = time.monotonic()
        while True:
            limit_s = self._environment.timeout_s + (run.timeout_s or 0)
            head, data = channel.receive(max(1.0, started + limit_s - time.monotonic()))
            if head["kind"] == "output":
                kept = [*kept[-64:], data]
                if echo is not None:
                    echo(data)
            elif head["kind"] == "ended":
                _unpack(data, run.folder)
                output = self.mask(b"".join(kept).decode("utf-8", "replace"))
                return ChildExit(int(head["code"]), bool(head["timed_out"]), output, float(head["seconds"]))
            elif head["kind"] == "failed":
                raise self._lost(f"could not make the run: {self.mask(str(head['reason']))[:300]}")

    def _send_files(self, into: str, data: bytes) -> None:
        head, _ = self._request({"kind": "files", "into": into}, data)
        if head["kind"] != "done":
            raise self._lost(f"could not take the files: {self.mask(str(head.get('reason', '')))[:300]}")

    def _request(self, head: dict[str, Any], data: bytes = b"") -> Message:
        channel = self._channel
        assert channel is not None
        channel.send(head, data)
        return channel.receive(self._environment.timeout_s)

    def _lost(self, what: str) -> EnvironmentLostError:
        return EnvironmentLostError(f"the environment {self._environment.name!r} {what}")

    def mask(self, text: str) -> str:
        """Return a text without secrets and without the words of the prefix, which name hosts and users."""
        words = {word for word in self._environment.prefix[1:] if len(word) > 2 and not word.startswith("-")}
        words |= {part for word in words for part in word.split("@") if "@" in word and len(part) > 2}
        for word in sorted(words - {str(self._root)}, key=len, reverse=True):
            text = text.replace(word, f"<{self._environment.name}>")
        return redact(text)

    def close(self) -> None:
        """End what runs there, and have it removed."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
                self._channel = None


class Channel:
    """The streams of a command prefix, behind which an agent answers."""

    def __init__(self, environment: Environment, mask: Callable[[str], str]) -> None:
        self._environment, self._mask = environment, mask
        self._messages: queue.Queue[Message | None] = queue.Queue()
        self._lock = threading.Lock()
        self._printed = b""
        self._reason = ""
        command = [*environment.prefix, environment.python, *_FLAGS]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise EnvironmentLostError(
                f"the environment {environment.name!r} cannot be started: {mask(command[0])}: {reason}"
            ) from None
        assert self._process.stderr is not None
        self._errors = OutputTail(self._process.stderr.fileno())
        threading.Thread(target=self._read, name="pytest-repro-environment", daemon=True).start()

    @property
    def is_alive(self) -> bool:
        """Whether it still answers."""
        return not self._reason and self._process.poll() is None

    def send(self, head: dict[str, Any], data: bytes = b"") -> None:
        """Send a message. That nobody takes it is seen by :meth:`receive`."""
        line = json.dumps({**head, "size": len(data)}).encode() + b"\n"
        assert self._process.stdin is not None
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(line)
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def receive(self, timeout_s: float) -> Message:
        """Return the next message.

        Raises
        ------
        EnvironmentLostError
            If there is none in time, or will be none.
        """
        try:
            message = self._messages.get(timeout=timeout_s)
        except queue.Empty:
            message = None
            self._reason = f"did not answer within {timeout_s:.3g} s, its timeout"
        if message is None:
            reason = self._reason or "was lost"
            self.close()
            raise EnvironmentLostError(f"the environment {self._environment.name!r} {reason}{self._say_output()}")
        return message

    def close(self) -> None:
        """End the connection, which has the other side clean up, and the command."""
        self._reason = self._reason or "was closed"
        with self._lock, contextlib.suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_S)
        end_group(self._process)
        self._errors.close()

    def _say_output(self) -> str:
        text = self._errors.text().replace(">>> ", "") + self._printed.decode("utf-8", "replace")
        lines = self._mask(text).strip().splitlines()[-SHOWN_LINES:]
        shown = "\n".join(f"    {line[:300]}" for line in lines if line.strip())
        return f". Its last output:\n{shown}" if shown else ""

    def _read(self) -> None:
        """Start the agent, and read its messages until there are no more."""
        try:
            self._start()
            while (message := self._read_message()) is not None:
                self._messages.put(message)
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._reason = self._reason or f"sent what is no message ({type(error).__name__}); is a terminal allocated?"
        if not self._reason:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSE_S)
            code = self._process.poll()
            self._reason = "was lost" if code is None else f"was lost: its command ended with exit code {code}"
        self._messages.put(None)

    def _start(self) -> None:
        """Have the bare interpreter take the agent's source. It is sent only when the interpreter has answered."""
        mark = secrets.token_hex(8)
        source = base64.b64encode(zlib.compress(inspect.getsource(agent).encode())).decode()
        # The mark is in two parts, so that an echo of this line is not taken for the answer.
        answer = f"_=os.write(1,b'{mark[:8]}'+b'{mark[8:]}\\n')"
        take = "exec(__import__('zlib').decompress(__import__('base64').b64decode(sys.stdin.readline())).decode())"
        self._write(f"import os,sys;{answer};{take};main()\n")
        self._skip_to(mark.encode())
        self._write(f"{source}\n")

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()

    def _skip_to(self, mark: bytes) -> None:
        """Read what a banner or a login shell prints, up to the interpreter's answer."""
        assert self._process.stdout is not None
        while not (line := self._process.stdout.readline(MAX_BANNER)).rstrip().endswith(mark):
            if not line:
                raise OSError("no answer")
            self._printed = (self._printed + line)[-4096:]
            if len(line) >= MAX_BANNER:
                raise ValueError("too much output")

    def _read_message(self) -> Message | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline(agent.MAX_LINE)
        if not line:
            return None
        head = json.loads(line)
        size = int(head["size"])
        if not 0 <= size <= MAX_MESSAGE or not isinstance(head["kind"], str):
            raise ValueError("no message")
        data = self._process.stdout.read(size)
        return (head, data) if len(data) == size else None


def _list_package() -> list[Path]:
    """Return the files of this package. Compiled ones are for this machine alone, and the package does without."""
    return [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".json") and path.is_file()]


def _pack(base: Path, files: Iterable[Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for path in files:
            archive.add(path, path.relative_to(base).as_posix(), recursive=False, filter=_anonymous)
    return buffer.getvalue()


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out names of users, and what is no regular file."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member if member.isreg() else None


def _unpack(data: bytes, folder: Path) -> None:
    """Unpack what a run left. An archive that is not plain files is refused."""
    try:
        agent.unpack(data, str(folder))
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise EnvironmentLostError(f"what the run left cannot be unpacked: {error}") from None
