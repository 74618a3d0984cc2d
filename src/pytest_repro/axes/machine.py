"""Facts about this machine on which the axes depend, read once by the standard library alone."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """Facts about a machine that decide which axes and values it can take.

    Attributes
    ----------
    system : str
        ``linux``, ``darwin``, ``win32`` ... (``sys.platform``).
    arch : str
        ``x86_64``, ``aarch64`` ...
    cores : int
        Cores that this process may use.
    cpu_flags : frozenset of str
        As the kernel names them (``avx2``, ``fma``). Empty where it does not report them.
    libc : tuple of (name, version)
        ``("glibc", "2.36")``, or empty strings for any other C library.
    can_set_affinity : bool
    known_locales : tuple of str, optional
        Installed locales. None reads them from ``locale -a`` on first use.
    """

    system: str
    arch: str
    cores: int
    cpu_flags: frozenset[str] = frozenset()
    libc: tuple[str, str] = ("", "")
    can_set_affinity: bool = False
    known_locales: tuple[str, ...] | None = field(default=None)

    @classmethod
    @functools.cache
    def here(cls) -> Machine:
        """Return the facts of this machine."""
        total = os.cpu_count() or 1
        can_set = hasattr(os, "sched_setaffinity")
        return cls(
            system=sys.platform,
            arch=platform.machine(),
            cores=len(os.sched_getaffinity(0)) if can_set else total,
            cpu_flags=_read_cpu_flags(),
            libc=_read_libc(),
            can_set_affinity=can_set,
        )

    @property
    def is_x86(self) -> bool:
        """Whether the processor is a 64-bit x86."""
        return self.arch in ("x86_64", "AMD64")

    @property
    def has_glibc(self) -> bool:
        """Whether the C library is glibc, which has tunables and can fill memory that malloc returns."""
        return self.libc[0] == "glibc"

    @functools.cached_property
    def locales(self) -> tuple[str, ...]:
        """Names of the installed locales, sorted."""
        return self.known_locales if self.known_locales is not None else _read_locales()


def _read_cpu_flags() -> frozenset[str]:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith(("flags", "Features")):
                return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()


def _read_libc() -> tuple[str, str]:
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, OSError, ValueError):
        return ("", "")
    return (name, version)


def _read_locales() -> tuple[str, ...]:
    tool = shutil.which("locale")
    if tool is None:
        return ("C", "POSIX")
    try:
        done = subprocess.run([tool, "-a"], capture_output=True, timeout=10, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return ("C", "POSIX")
    return tuple(sorted(set(done.stdout.decode("utf-8", "replace").split()))) or ("C", "POSIX")
