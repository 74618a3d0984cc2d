"""Runs behind a command prefix: what an environment is sent, what it is asked for, and what comes back."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pytest_repro.environments import agent, probe
from pytest_repro.environments.channel import Channel, Message
from pytest_repro.environments.environment import (
    TRACE_NAME,
    Environment,
    EnvironmentFacts,
    EnvironmentLostError,
    EnvironmentRunError,
    EnvironmentUnusableError,
    StartedRun,
)
from pytest_repro.environments.keeper import MARK_VARIABLE
from pytest_repro.environments.names import HostNames
from pytest_repro.environments.places import PACKAGE
from pytest_repro.environments.probing import PROBE_S, check_python, read_facts
from pytest_repro.environments.processes import KEPT_OUTPUT_BYTES, ChildExit, ChildProcesses, Echo
from pytest_repro.errors import ChildError
from pytest_repro.model.redaction import redact

#: Folders on the other side, within the agent's own.
PLUGIN, SOURCES = "plugin", "sources"
#: Files of a run's folder that only its own process needs.
NOT_RETURNED = ["tmp", "job.json", "start.json"]
#: A session starts an environment anew so often if it does not start at all. A queue may make each try wait.
MAX_STARTS = 2
#: How long a run may take to end when it is told to [s].
STOP_S = 30.0


class RemotePlace:
    """Makes runs behind a command prefix, one after the other, through one agent for the session.

    Parameters
    ----------
    environment : Environment
    root : Path
        The project's folder here.
    list_files : callable
        Returns the project's files that are sent where the environment does not see them.
    mark : str
        Of the session's processes.
    """

    is_local = False

    def __init__(
        self, environment: Environment, root: Path, list_files: Callable[[], Iterable[Path]], mark: str
    ) -> None:
        self._environment, self._root, self._list_files, self._mark = environment, root, list_files, mark
        self._names = HostNames(environment.name, [*environment.prefix, environment.directory], str(root))
        self._lock = threading.RLock()
        self._channel: Channel | None = None
        self._folder = ""
        self._numbers = itertools.count(1)
        self._failed_starts: list[EnvironmentLostError | EnvironmentUnusableError] = []

    @property
    def plugin_path(self) -> str:
        """Folder there that holds this package."""
        return f"{self._folder}/{PLUGIN}"

    def path_of(self, path: str) -> str:
        """Return the path there of a file of the project or of a run."""
        given = Path(path)
        if given.is_relative_to(self._root):
            within = given.relative_to(self._root).as_posix()
            return self._base if within == "." else f"{self._base}/{within}"
        return path

    def folder_of(self, run: Path) -> str:
        """Return the folder there of a run."""
        return f"{self._folder}/{run.name}"

    def translate(self, text: str) -> str:
        """Return a text of a run with the project's path of here, and without names of machines and users."""
        return self._names.hide(text.replace(self._base, str(self._root)))

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
        with self.held():
            name = self._environment.name
            path = f"{self.plugin_path}/{PACKAGE.name}/environments/{Path(probe.__file__).name}"
            command = [self._environment.python, "-I", path, *modules]
            head = self._request({"kind": "ask", "command": command, "directory": self._base, "timeout_s": PROBE_S})
            if head["kind"] == "failed":
                reason = self._show(head.get("reason"))
                raise EnvironmentUnusableError(f"the environment {name!r} cannot be looked at: {reason}")
            try:
                return read_facts(str(head.get("output", "")), name)
            except EnvironmentUnusableError as error:
                raise EnvironmentUnusableError(self._names.hide(str(error))) from None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep it open for a block. It is opened first, unless that was done.

        Raises
        ------
        EnvironmentLostError
            If it does not start in time.
        EnvironmentUnusableError
            If its Python, or the project, cannot be used.
        """
        with self._lock:
            if self._channel is None or not self._channel.is_alive:
                self._open()
            yield

    def _open(self) -> None:
        """Start the agent, and send what every run needs."""
        self.close()
        if len(self._failed_starts) >= MAX_STARTS:
            latest = self._failed_starts[-1]
            raise type(latest)(str(latest))
        try:
            channel = self._channel = Channel(self._environment, self._names, self._mark)
            self._greet(channel)
            self._send_files("package", PLUGIN, _pack(PACKAGE.parent, _list_package()))
            if self._environment.sync:
                self._send_files("files", SOURCES, self._pack_project())
        except (EnvironmentLostError, EnvironmentUnusableError) as error:
            self._failed_starts.append(error)
            self.close()
            raise
        except BaseException:
            self.close()
            raise
        self._failed_starts.clear()

    def _greet(self, channel: Channel) -> None:
        message = channel.receive(time.monotonic() + self._environment.timeout_s)
        ready = message[0] if message is not None else {}
        folder, version, names = (ready.get(key) for key in ("folder", "version", "names"))
        if not (isinstance(folder, str) and isinstance(version, str) and isinstance(names, list)):
            raise channel.lost("answered in a form that is not known")
        self._names.add(map(str, names[:8]))
        check_python(version, self._environment.name)
        self._folder = folder

    def _pack_project(self) -> bytes:
        try:
            return _pack(self._root, self._list_files())
        except OSError as error:
            reason = f"a file of the project cannot be read: {error.filename}: {error.strerror}"
            raise EnvironmentUnusableError(f"the environment {self._environment.name!r}: {reason}") from None

    def run(self, run: StartedRun, processes: ChildProcesses, *, directory: Path, echo: Echo | None) -> ChildExit:
        """Make a run there, wait for it, and unpack the files that it left into its folder here."""
        with self.held():
            files = [path for path in run.folder.iterdir() if path.is_file()]
            self._send_files("files", run.folder.name, _pack(run.folder, files))
            number = next(self._numbers)
            head = {
                "kind": "run",
                "number": number,
                "command": [*run.prefix, self._environment.python, *run.arguments],
                "variables": {**run.variables, MARK_VARIABLE: run.mark},
                "directory": self.path_of(str(directory)),
                "folder": run.folder.name,
                "begun": run.begun,
                "timeout_s": run.timeout_s,
                "skipped": NOT_RETURNED,
            }
            channel = self._channel
            assert channel is not None
            ending = RunEnding(channel, number, self._environment.timeout_s + (run.timeout_s or 0.0))
            channel.send(head)
            try:
                with processes.stopping(ending.stop):
                    return self._wait(ending, run, echo)
            except ChildError:
                # Of a run that has not ended, nothing may reach the next one.
                if not ending.has_ended:
                    channel.close()
                raise

    def _wait(self, ending: RunEnding, run: StartedRun, echo: Echo | None) -> ChildExit:
        kept = b""
        while True:
            head, data = ending.receive()
            if head["kind"] == "output":
                kept = (kept + data)[-KEPT_OUTPUT_BYTES:]
                if echo is not None:
                    echo(data)
            elif head["kind"] == "failed":
                name, reason = self._environment.name, self._show(head.get("reason"))
                raise EnvironmentRunError(f"could not be made in the environment {name!r}: {reason}")
            else:
                self._unpack(data, run.folder)
                return self._read_end(head, kept)

    def _read_end(self, head: dict[str, Any], output: bytes) -> ChildExit:
        try:
            text = redact(self.translate(output.decode("utf-8", "replace")))
            return ChildExit(int(head["code"]), head["timed_out"] is True, text, float(head["seconds"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise self._lost("described the end of a run in a form that is not known") from None

    def _unpack(self, data: bytes, folder: Path) -> None:
        """Unpack what a run left. An archive that is not plain files is refused."""
        try:
            agent.unpack(data, str(folder), is_compressed=False)
            for path in folder.glob(f"{TRACE_NAME}*"):
                here, there = (json.dumps(text)[1:-1].encode() for text in (str(self._root), self._base))
                path.write_bytes(path.read_bytes().replace(there, here))
        except (tarfile.TarError, OSError, ValueError, EOFError) as error:
            raise self._lost(f"sent files of a run that cannot be unpacked: {error}") from None

    def _send_files(self, kind: str, into: str, data: bytes) -> None:
        head = self._request({"kind": kind, "into": into, "mark": f"{self._mark}."}, data)
        if head["kind"] != "done":
            raise self._lost(f"could not take the files: {self._show(head.get('reason'))}")

    def _request(self, head: dict[str, Any], data: bytes = b"") -> dict[str, Any]:
        """Ask for something, and return the answer."""
        channel = self._channel
        assert channel is not None
        channel.send(head, data)
        deadline = time.monotonic() + self._environment.timeout_s
        while True:
            message = channel.receive(deadline)
            if message is not None and message[0]["kind"] in ("done", "failed") and "number" not in message[0]:
                return message[0]

    def _show(self, reason: object) -> str:
        return redact(self.translate(str(reason or "no reason was given")))[:600]

    def _lost(self, what: str) -> EnvironmentLostError:
        return EnvironmentLostError(f"the environment {self._environment.name!r} {what}")

    def close(self) -> None:
        """End what runs there, and have it removed."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
                self._channel = None


class RunEnding:
    """Waits for the messages of a run, for a limited time, which is short once the run was stopped."""

    def __init__(self, channel: Channel, number: int, limit_s: float) -> None:
        self._channel, self._number = channel, number
        self._deadline = time.monotonic() + limit_s
        self.has_ended: bool = False

    def stop(self) -> None:
        """Have the run ended. May be called from another thread."""
        self._deadline = min(self._deadline, time.monotonic() + STOP_S)
        self._channel.send({"kind": "stop", "number": self._number})
        self._channel.wake()

    def receive(self) -> Message:
        """Return the run's next message."""
        while True:
            message = self._channel.receive(self._deadline)
            if message is not None and message[0].get("number") == self._number:
                self.has_ended = message[0]["kind"] != "output"
                return message


def _list_package() -> list[Path]:
    """Return the files of this package. Compiled ones are for this machine alone, and the package does without."""
    return [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".json") and path.is_file()]


def _pack(base: Path, files: Iterable[Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1, dereference=True) as archive:
        for path in files:
            archive.add(path, path.relative_to(base).as_posix(), recursive=False, filter=_anonymous)
    return buffer.getvalue()


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out names of users, and what is no regular file."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member if member.isreg() else None
