"""The base of the axes that vary the environment of a run, and how one environment is recognised beside another."""

from __future__ import annotations

import functools
import hashlib
import platform
from importlib.metadata import distributions
from typing import ClassVar

from pytest_repro.axes.base import BuiltInAxis, Effect, EngineName
from pytest_repro.axes.machine import Machine
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON

#: Packages whose release is shown.
_SHOWN = ("numpy", "torch", "scikit-learn", "pytest")


@functools.cache
def describe_packages() -> str:
    """Return the interpreter's release, some packages, and a digest of all."""
    found: dict[str, str] = {}
    for each in distributions():
        name = (each.metadata["Name"] or "").lower().replace("_", "-")
        if name != "pytest-repro":
            found.setdefault(name, each.version)
    shown = [f"{name} {found[name]}" for name in _SHOWN if name in found]
    digest = _digest(*(f"{name}=={version}" for name, version in sorted(found.items())))
    return ", ".join([f"{platform.python_implementation()} {platform.python_version()}", *shown, f"packages {digest}"])


@functools.cache
def describe_machine() -> str:
    """Return the C library, the architecture, and a digest of the processor's features, without names of machines."""
    machine = Machine.here()
    libc = " ".join(machine.libc).strip() or platform.system()
    return f"{libc}, {machine.arch}, processor {_digest(*sorted(machine.cpu_flags))}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


class EnvironmentAxis(BuiltInAxis):
    """Values are texts that name environments. The interpreter of this session is the baseline."""

    needs: ClassVar[EngineName] = "spawn"
    begins_here: ClassVar[bool] = True
    example: ClassVar[str]

    def default_values(self, machine: Machine) -> list[JSON]:
        """Return no values: only the user knows the environments."""
        return []

    def validate(self, value: JSON) -> None:
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise UsageError(
                f"{self.name}: {value!r} names no environment; give text, as in "
                f"across={{{self.name!r}: [{self.example}]}}"
            )

    def forks_suffice(self, value: JSON) -> bool:
        """Return False: each run has an interpreter of its own, as another environment's has."""
        return False

    def verify(self, value: JSON) -> Effect:
        return Effect(self.name, value, {"environment": f"{describe_packages()}; {describe_machine()}"})
