"""The program at the far end of a command prefix (``ssh box``, ``podman run -i ...``): makes runs, and cleans up.

It is sent through the standard input of a bare interpreter, and begins without this package, which it is sent next. It
starts on releases of Python that the plugin does not support, so that the other side can say so. It makes one folder
for all that it is sent. When its input ends, for whatever reason, it ends what it started, removes the folder and ends
itself. If it is killed, its keeper removes the folder, and the supervisor of its run ends the run.

Messages in both directions are a line of JSON with the number of the bytes that follow it. From here a line break ends
them, because Slurm passes only whole lines on.
"""

from __future__ import annotations

import contextlib
import getpass
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
from typing import Any

#: Kept bytes of a message's line.
MAX_LINE = 1 << 20
#: Limit of the files that a run leaves, and of what it is sent.
MAX_FILES_BYTES = 2 * 2**30
#: How long a run may take to end when it is told to [s].
END_S = 20.0


class EndedError(Exception):
    """The other side is gone."""


class Stream:
    """Reads and writes messages. Several threads may write."""

    def __init__(self, source: int, target: int) -> None:
        self._source = os.fdopen(source, "rb", closefd=False)
        self._target = target
        self._lock = threading.Lock()

    def read(self) -> tuple[dict[str, Any], bytes]:
        """Return the next message."""
        line = self._source.readline(MAX_LINE)
        if not line.endswith(b"\n"):
            raise EndedError
        head = json.loads(line.decode("utf-8"))
        data = self._source.read(head["size"])
        if len(data) != head["size"]:
            raise EndedError
        return head, data

    def write(self, head: dict[str, Any], data: bytes = b"") -> None:
        """Write a message."""
        line = json.dumps({**head, "size": len(data)}).encode() + b"\n"
        with self._lock:
            view = memoryview(line + data + b"\n")
            while view:
                view = view[os.write(self._target, view) :]


class Agent:
    """Carries out what the other side asks for, until that is gone."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._folder = os.path.realpath(tempfile.mkdtemp(prefix="pytest-repro-"))
        self._keeper: subprocess.Popen[bytes] | None = None
        self._runs: dict[int, tuple[Any, threading.Thread]] = {}
        self._is_ending = False

    def serve(self) -> None:
        """Carry out messages until the stream ends."""
        try:
            version = ".".join(map(str, sys.version_info[:3]))
            self._stream.write({"kind": "ready", "folder": self._folder, "version": version, "names": own_names()})
            while True:
                self._take(*self._stream.read())
        except (EndedError, OSError):
            pass
        finally:
            self._clear_up()

    def _take(self, head: dict[str, Any], data: bytes) -> None:
        try:
            if head["kind"] == "run":
                self._start(head)
            elif head["kind"] == "stop":
                self._stop(head["number"])
            elif head["kind"] == "files":
                unpack(data, self._place(head["into"]))
                self._stream.write({"kind": "done"})
            elif head["kind"] == "package":
                unpack(data, self._place(head["into"]))
                self._take_package(head)
                self._stream.write({"kind": "done"})
            else:
                self._stream.write({"kind": "done", "output": self._ask(head)})
        except EndedError:
            raise
        except Exception as error:  # whatever it is, the other side waits for an answer
            self._stream.write({"kind": "failed", "reason": str(error)[:4000] or type(error).__name__})

    def _place(self, name: str) -> str:
        place = os.path.realpath(os.path.join(self._folder, name))
        if os.path.commonpath([place, self._folder]) != self._folder:
            raise ValueError("a folder outside of the agent's")
        os.makedirs(place, exist_ok=True)
        return place

    def _take_package(self, head: dict[str, Any]) -> None:
        """Use the package that was sent: it knows how a run is made so that nothing of it stays behind."""
        sys.path.insert(0, self._place(head["into"]))
        from pytest_repro.environments import keeper

        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, self._folder, head["mark"], "there"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _ask(self, head: dict[str, Any]) -> str:
        done = subprocess.run(
            head["command"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=head["directory"],
            timeout=head["timeout_s"],
            check=False,
        )
        text = done.stdout.decode("utf-8", "replace")
        if done.returncode:
            raise ValueError(f"it ended with exit code {done.returncode}\n{text[-4000:]}")
        return text

    def _start(self, head: dict[str, Any]) -> None:
        from pytest_repro.environments.processes import ChildProcesses

        processes = ChildProcesses()
        thread = threading.Thread(target=self._run, args=(head, processes), daemon=True)
        self._runs[head["number"]] = processes, thread
        thread.start()

    def _stop(self, number: int) -> None:
        found = self._runs.get(number)
        if found is not None:
            found[0].stop()

    def _run(self, head: dict[str, Any], processes: Any) -> None:
        """Make a run, send its output as it comes, and then its end with the files that it left."""
        from pathlib import Path

        number, folder = head["number"], os.path.join(self._folder, head["folder"])
        environment = {name: text for name, text in os.environ.items() if name not in head["variables"]}
        environment.update((name, text) for name, text in head["variables"].items() if text is not None)
        try:
            ended = processes.run(
                head["command"],
                environment=environment,
                directory=Path(head["directory"]),
                timeout_s=head["timeout_s"],
                has_begun=Path(folder, head["begun"]).exists,
                echo=lambda chunk: self._stream.write({"kind": "output", "number": number}, chunk),
            )
            if self._is_ending:
                return  # it did not end by itself
            end = {"code": ended.returncode, "timed_out": ended.timed_out, "seconds": ended.seconds}
            self._stream.write({"kind": "ended", "number": number, **end}, pack(folder, head["skipped"]))
        except Exception as error:  # as in _take
            with contextlib.suppress(OSError):
                self._stream.write({"kind": "failed", "number": number, "reason": str(error)[:4000]})
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self._runs.pop(number, None)

    def _clear_up(self) -> None:
        """End the runs, and remove all that was sent."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        self._is_ending = True
        for processes, thread in list(self._runs.values()):
            processes.stop()
            thread.join(END_S)
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._keeper.wait(END_S)
        with contextlib.suppress(OSError):
            self._stream.write({"kind": "bye"})


def own_names() -> list[str]:
    """Return the names of this machine and of its user, which the other side keeps out of its reports."""
    names = [socket.gethostname()]
    with contextlib.suppress(Exception):
        names.append(getpass.getuser())
    return names


def unpack(data: bytes, folder: str, *, is_compressed: bool = True) -> None:
    """Unpack a tar archive of plain files. Of a file's attributes it keeps only whether it can be executed."""
    # What is not compressed cannot become larger than it came.
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz" if is_compressed else "r:") as archive:
        for member in archive:
            parts = member.name.split("/")
            is_plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
            if not is_plain or "" in parts or ".." in parts or "\\" in member.name or "\0" in member.name:
                raise ValueError(f"an archive with {member.name[:200]!r}")
            path = os.path.join(folder, *parts)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            source = archive.extractfile(member)
            assert source is not None
            # Created here: whatever has this name, as a link out of the folder, is replaced and not followed.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with open(os.open(path, flags, 0o700 if member.mode & 0o100 else 0o600), "wb") as target:
                shutil.copyfileobj(source, target)


def pack(folder: str, skipped: list[str]) -> bytes:
    """Pack the regular files of a folder, without those of some names."""
    buffer, size = io.BytesIO(), 0
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as archive:
        for base, folders, names in os.walk(folder):
            relative = os.path.relpath(base, folder)
            if relative == ".":
                folders[:] = [name for name in folders if name not in skipped]
            for name in names:
                path = os.path.join(base, name)
                if os.path.isfile(path) and not os.path.islink(path) and name not in skipped:
                    size += os.path.getsize(path)
                    if size > MAX_FILES_BYTES:
                        raise ValueError(f"the run left more than {MAX_FILES_BYTES >> 20} MB of files")
                    archive.add(path, os.path.normpath(os.path.join(relative, name)), recursive=False)
    return buffer.getvalue()


def _end(*_: object) -> None:
    raise EndedError


def main(source: int = 0) -> None:
    """Serve the standard streams. Whatever prints into the standard output from here on reaches the error stream."""
    target = os.dup(1)
    os.dup2(2, 1)
    # The end of the connection is seen by the end of the input, after what was sent before it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    Agent(Stream(source, target)).serve()
    os._exit(0)
