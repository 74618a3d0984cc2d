"""The program at the far end of a command prefix (``ssh box``, ``podman run -i ...``): makes runs, and cleans up.

It is sent through the standard input of a bare interpreter, and imports nothing of this package. It runs on releases of
Python that the plugin does not support, so that the other side can say so. It makes one folder for all that it is sent.
When its input ends, for whatever reason, it ends what it started, removes the folder and ends itself.

Messages in both directions are a line of JSON with the number of the bytes that follow it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from typing import Any

#: Seconds between two looks at a run that is in progress.
LOOK_S = 0.02
#: Kept bytes of a message's line.
MAX_LINE = 1 << 20


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
            view = memoryview(line + data)
            while view:
                view = view[os.write(self._target, view) :]


class Agent:
    """Carries out what the other side asks for, until that is gone."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._folder = tempfile.mkdtemp(prefix="pytest-repro-")
        self._process: subprocess.Popen[bytes] | None = None
        self._mark = ""
        self._is_stopped = threading.Event()

    def serve(self) -> None:
        """Carry out messages until the stream ends."""
        try:
            version = ".".join(map(str, sys.version_info[:3]))
            self._stream.write({"kind": "ready", "folder": os.path.realpath(self._folder), "version": version})
            while True:
                head, data = self._stream.read()
                if head["kind"] == "stop":
                    self._is_stopped.set()
                elif head["kind"] == "run":
                    self._is_stopped.clear()
                    threading.Thread(target=self._run, args=(head,), daemon=True).start()
                else:
                    self._answer(head, data)
        except (EndedError, OSError):
            pass
        finally:
            self._end_process()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _answer(self, head: dict[str, Any], data: bytes) -> None:
        try:
            if head["kind"] == "files":
                unpack(data, self._place(head["into"]))
                found = {}
            else:
                found = {"output": self._ask(head)}
            self._stream.write({"kind": "done", **found})
        except (OSError, ValueError, tarfile.TarError, subprocess.SubprocessError) as error:
            self._stream.write({"kind": "failed", "reason": str(error) or type(error).__name__})

    def _place(self, name: str) -> str:
        place = os.path.realpath(os.path.join(self._folder, name))
        if os.path.commonpath([place, os.path.realpath(self._folder)]) != os.path.realpath(self._folder):
            raise ValueError("a folder outside of the agent's")
        os.makedirs(place, exist_ok=True)
        return place

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

    def _run(self, head: dict[str, Any]) -> None:
        """Make a run, send its output as it comes, and then its end with the files that it left."""
        folder = os.path.join(self._folder, head["folder"])
        started = time.monotonic()
        try:
            timed_out = self._make(head, folder)
            code = self._end_process()
            end = {"code": code, "timed_out": timed_out, "seconds": time.monotonic() - started}
            self._stream.write({"kind": "ended", **end}, pack(folder, head["skipped"]))
        except OSError as error:
            self._end_process()
            with contextlib.suppress(OSError):
                self._stream.write({"kind": "failed", "reason": str(error)})
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _make(self, head: dict[str, Any], folder: str) -> bool:
        environment = dict(os.environ)
        for name, text in head["variables"].items():
            if text is None:
                environment.pop(name, None)
            else:
                environment[name] = text
        self._mark = head["mark"]
        process = self._process = subprocess.Popen(
            head["command"],
            env=environment,
            cwd=head["directory"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        reader = threading.Thread(target=self._send_output, args=(process.stdout,), daemon=True)
        reader.start()
        begun = os.path.join(folder, head["begun"])
        deadline = None
        while process.poll() is None and not self._is_stopped.is_set():
            if deadline is None and head["timeout_s"] is not None and os.path.exists(begun):
                deadline = time.monotonic() + head["timeout_s"]
            if deadline is not None and time.monotonic() > deadline:
                return True
            time.sleep(LOOK_S)
        reader.join(2.0)
        return False

    def _send_output(self, pipe: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                chunk = os.read(pipe.fileno(), 1 << 16)
                if not chunk:
                    return
                self._stream.write({"kind": "output"}, chunk)

    def _end_process(self) -> int:
        """End the run and all that it started, and return its exit code."""
        process = self._process
        if process is None:
            return 0
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        for pid in find_marked(self._mark):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        self._process = None
        return process.returncode


def find_marked(mark: str) -> list[int]:
    """Return the processes that were started with a mark, where the system tells."""
    found = []
    for name in os.listdir("/proc") if mark and os.path.isdir("/proc") else ():
        with contextlib.suppress(OSError):
            if name.isdigit() and int(name) != os.getpid():
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mark.encode() in file.read().split(b"\0"):
                        found.append(int(name))
    return found


def unpack(data: bytes, folder: str) -> None:
    """Unpack a tar archive of regular files and folders."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive.getmembers():
            parts = member.name.split("/")
            if not (member.isreg() or member.isdir()) or member.name.startswith("/") or ".." in parts:
                raise ValueError(f"an archive with {member.name!r}")
            archive.extract(member, folder)


def pack(folder: str, skipped: list[str]) -> bytes:
    """Pack the regular files of a folder, without those of some names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for base, folders, names in os.walk(folder):
            relative = os.path.relpath(base, folder)
            if relative == ".":
                folders[:] = [name for name in folders if name not in skipped]
            for name in names:
                path = os.path.join(base, name)
                if os.path.isfile(path) and not os.path.islink(path) and name not in skipped:
                    archive.add(path, os.path.normpath(os.path.join(relative, name)), recursive=False)
    return buffer.getvalue()


def main(source: int = 0) -> None:
    """Serve the standard streams. Whatever prints into the standard output from here on reaches the error stream."""
    target = os.dup(1)
    os.dup2(2, 1)
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Agent(Stream(source, target)).serve()
    os._exit(0)
