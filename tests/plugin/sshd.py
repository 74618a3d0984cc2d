"""An OpenSSH server on loopback, with keys and a configuration of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

#: Time for the server to listen [s].
START_S = 30.0


class Sshd:
    """Serves ``ssh -F config far`` until the end of a block.

    Attributes
    ----------
    folder : Path
        Holds all that it needs.
    config : Path
        Configuration of the client, which names no file of the user's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, folder / "client.conf"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Sshd:
        self.folder.mkdir(mode=0o700)
        for name in ("host", "user"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        port = find_port()
        (self.folder / "server.conf").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\nStrictModes no\n"
            f"AuthorizedKeysFile {self.folder}/user.pub\nPermitRootLogin prohibit-password\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\n",
            encoding="utf-8",
        )
        self.config.write_text(
            f"Host far\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n IdentitiesOnly yes\n"
            f" IdentityFile {self.folder}/user\n UserKnownHostsFile {self.folder}/known\n"
            " StrictHostKeyChecking no\n LogLevel ERROR\n BatchMode yes\n",
            encoding="utf-8",
        )
        if os.getuid() == 0:
            # Debian's package makes it when the service starts.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        program = shutil.which("sshd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        assert program is not None
        # It starts itself anew for each connection, and needs its whole path for that.
        self._process = subprocess.Popen(
            [program, "-D", "-e", "-f", str(self.folder / "server.conf")], stderr=(self.folder / "log").open("wb")
        )
        _await_port(port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()


def find_port() -> int:
    """Return a port of loopback that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _await_port(port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
