"""An image of Debian trixie for podman: another Python, C library and NumPy than the machine's."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

IMAGE = "localhost/pytest-repro-trixie:1"
#: What also works within another container, where crun and cgroups do not.
PODMAN = ("podman", "--storage-driver=vfs", "--runtime", "runc")
_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
RUN = (*PODMAN, "run", "--rm", "-i", "--network=host", *_LIMITS, IMAGE)
_PYTHON = "3.13"


def make_image() -> None:
    """Make the image, unless it exists. It takes a minute and some 400 MB."""
    if subprocess.run([*PODMAN, "image", "exists", IMAGE], check=False).returncode == 0:
        return
    with tempfile.TemporaryDirectory(prefix="repro-trixie-") as folder:
        include = "--include=python3,python3-numpy"
        _run("debootstrap", "--variant=minbase", include, "trixie", folder)
        # Debian's pytest is older than what the plugin needs.
        target = Path(folder, "usr/local/lib", f"python{_PYTHON}", "dist-packages")
        options = ["--python-version", _PYTHON, "--only-binary=:all:", "--target", str(target)]
        _run(sys.executable, "-m", "pip", "install", "--quiet", *options, "pytest>=8.4")
        archive = Path(folder, "image.tar")
        names = ("image.tar", "proc/*", "sys/*", "var/cache/apt", "var/lib/apt/lists")
        left_out = [f"--exclude=./{name}" for name in names]
        _run("tar", "-C", folder, *left_out, "-cf", str(archive), ".")
        _run(*PODMAN, "import", "--quiet", str(archive), IMAGE)


def list_containers() -> str:
    """Return the containers that there are, running or not."""
    return subprocess.run([*PODMAN, "ps", "-aq"], capture_output=True, text=True, check=True).stdout.strip()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
