"""env: environment variables of the user's choice."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from pytest_repro.axes.base import AxisContext, BuiltInAxis, Effect, EngineName
from pytest_repro.axes.machine import Machine
from pytest_repro.axes.patches import set_variables
from pytest_repro.axes.spec import BUILT_IN_NAMES
from pytest_repro.axes.table import find_axis
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON
from pytest_repro.model.redaction import HIDDEN, redact_assignments
from pytest_repro.model.secret_names import is_secret_variable

#: Component for all variables that no other axis owns.
_REST = "environment"
#: Parts of the names of variables about thread pools, which an interpreter that forks starts with one thread, and about
#: accelerators, which do not survive a fork.
_NOT_FOR_FORKS = ("THREAD", "OMP_", "KMP_", "MKL_DYNAMIC", "CPU_COUNT", "CUDA", "NVIDIA", "HIP_", "ROCR_", "ZE_")


class EnvAxis(BuiltInAxis):
    """Values are dicts of variable -> text, or None to unset one. Other variables stay as they are.

    They are set before the interpreter starts: many libraries read theirs when they are loaded, and never again.
    """

    name: ClassVar[str] = "env"
    needs: ClassVar[EngineName] = "spawn"

    def default_values(self, machine: Machine) -> list[JSON]:
        """Return no values: only the user knows which variables matter."""
        return []

    def validate(self, value: JSON) -> None:
        if not isinstance(value, dict):
            raise UsageError(
                f"env must be a dict of variables, as in across={{'env': [{{}}, {{'NAME': 'text'}}]}}, "
                f"got {redact_assignments(repr(value))}"
            )
        for name, text in value.items():
            if not name or "=" in name or "\0" in name:
                raise UsageError(f"env: {name!r} cannot name an environment variable")
            if text is not None and not isinstance(text, str):
                shown = HIDDEN if is_secret_variable(name) else repr(text)
                raise UsageError(f"env: the value of {name} must be text (or None to unset it), got {shown}")
            if text is not None and "\0" in text:
                raise UsageError(f"env: the value of {name} contains a NUL character, which no environment can hold")

    def parse(self, text: str) -> JSON:
        pairs = [part.partition("=") for part in text.split(";")]
        if not all(sign for _, sign, _ in pairs):
            given = redact_assignments(text)
            raise UsageError(f"--repro-across: env takes assignments, as in env=NAME=1:NAME=2, got {given!r}")
        return {name: value for name, _, value in pairs}

    def environment(self, value: JSON) -> dict[str, str | None]:
        return _texts(value)

    def forks_suffice(self, value: JSON) -> bool:
        """Return False for variables of thread pools and accelerators."""
        return not any(part in name for name in _texts(value) for part in _NOT_FOR_FORKS)

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Set the variables again, in case something at start-up has changed them."""
        with set_variables(_texts(value)):
            yield

    def verify(self, value: JSON) -> Effect:
        """Read back a digest of the environment without pytest's own variables, and of each variable of another axis.

        All variables are read, because a variable that only another run names must count in this one too. They are
        digested because environments hold secrets.
        """
        owned = {v for name in BUILT_IN_NAMES if name != self.name for v in find_axis(name).variables}
        kept = sorted(f"{n}={text}" for n, text in os.environ.items() if n not in owned and not n.startswith("PYTEST"))
        observed: dict[str, JSON] = {_REST: _digest("\0".join(kept))}
        observed |= {name: _digest(os.environ[name]) if name in os.environ else "unset" for name in sorted(owned)}
        problems = tuple((n, "the run changed it") for n, text in _texts(value).items() if os.environ.get(n) != text)
        return Effect(self.name, value, observed, problems)

    def counts(self, component: str, *values: JSON) -> bool:
        """Return whether a component belongs to this axis: a variable of another axis only if a value names it."""
        return component == _REST or any(component in _texts(value) for value in values)

    def describe(self, value: JSON) -> str:
        parts = [f"{name}={text}" if text is not None else f"{name} unset" for name, text in _texts(value).items()]
        return " ".join(parts) or "env as is"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _texts(value: JSON) -> dict[str, str | None]:
    return (
        {name: None if text is None else str(text) for name, text in value.items()} if isinstance(value, dict) else {}
    )


AXIS = EnvAxis()
