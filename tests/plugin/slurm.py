"""A Slurm cluster of one node on this machine, with a folder, keys and ports of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from tests.plugin.sshd import find_port

#: Time for the node to be ready, and for a daemon to end [s].
START_S, END_S = 60.0, 20.0


class SlurmCluster:
    """Serves ``srun``, with the variable SLURM_CONF, until the end of a block. It needs root.

    Attributes
    ----------
    config : Path
        Value for SLURM_CONF.
    """

    def __init__(self) -> None:
        # Not a folder of pytest's: the path of a socket has at most 107 characters.
        self._folder = Path(tempfile.mkdtemp(prefix="repro-slurm-", dir="/tmp"))
        self.config = self._folder / "slurm.conf"

    def __enter__(self) -> SlurmCluster:
        folder, name = self._folder, socket.gethostname().partition(".")[0]
        folder.chmod(0o755)
        for each in ("state", "spool"):
            (folder / each).mkdir()
        key = folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        files = {each: str(folder / f"{each}.{{}}") for each in ("slurmctld", "slurmd")}
        settings = {
            "ClusterName": "repro",
            "SlurmctldHost": f"{name}(127.0.0.1)",
            "SlurmUser": "root",
            "SlurmctldPort": find_port(),
            "SlurmdPort": find_port(),
            "AuthInfo": f"socket={folder}/munge.socket",
            "StateSaveLocation": folder / "state",
            "SlurmdSpoolDir": folder / "spool",
            "SlurmctldPidFile": files["slurmctld"].format("pid"),
            "SlurmdPidFile": files["slurmd"].format("pid"),
            "SlurmctldLogFile": files["slurmctld"].format("log"),
            "SlurmdLogFile": files["slurmd"].format("log"),
            "ProctrackType": "proctrack/pgid",
            "TaskPlugin": "task/none",
            "MpiDefault": "none",
            "ReturnToService": 2,
            "KillWait": 2,
        }
        lines = [f"{key}={value}" for key, value in settings.items()]
        lines.append(f"NodeName={name} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN")
        lines.append("PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP")
        self.config.write_text("\n".join([*lines, ""]), encoding="utf-8")
        ends = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        paths = [f"--{what}={folder}/munge.{end}" for what, end in ends.items()]
        self._start("munged", "--force", *paths)
        self._start("slurmctld", "-c", "-f", str(self.config))
        self._start("slurmd", "-f", str(self.config))
        deadline = time.monotonic() + START_S
        while "idle" not in (states := self.call("sinfo", "-h", "-o", "%T")):
            assert time.monotonic() < deadline, states
            time.sleep(0.2)
        return self

    def _start(self, program: str, *arguments: str) -> None:
        path = shutil.which(program, path="/usr/sbin:/usr/bin")
        assert path is not None
        done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False, cwd=self._folder)
        assert done.returncode == 0, done.stderr

    def call(self, *command: str) -> str:
        """Return what a command of Slurm prints."""
        environment = {**os.environ, "SLURM_CONF": str(self.config)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call("scancel", "--user=root")
        deadline = time.monotonic() + END_S
        while self.call("squeue", "-h").strip() and time.monotonic() < deadline:
            time.sleep(0.2)
        for name in ("slurmd", "slurmctld", "munge"):
            with contextlib.suppress(OSError, ValueError):
                _end(int((self._folder / f"{name}.pid").read_text()))
        shutil.rmtree(self._folder, ignore_errors=True)


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + END_S
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
