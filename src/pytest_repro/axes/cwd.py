"""cwd: the working directory, for files found by a relative path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from pytest_repro.axes.base import AxisContext, BuiltInAxis, Effect
from pytest_repro.axes.machine import Machine
from pytest_repro.axes.patches import set_variables
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON

#: Value for an empty folder made for the run.
EMPTY = "<empty>"


class CwdAxis(BuiltInAxis):
    """Changes to another directory for the run, into which nothing is copied."""

    name: ClassVar[str] = "cwd"
    variables: ClassVar[tuple[str, ...]] = ("PWD",)

    def __init__(self) -> None:
        #: Where the run in progress began, None outside of one.
        self._began: str | None = None

    def default_values(self, machine: Machine) -> list[JSON]:
        """Return the directory of the invocation, and an empty one."""
        return [None, EMPTY]

    def unavailable_value(self, value: JSON, machine: Machine) -> str | None:
        """Reject a directory that does not exist, so that no run fails for it."""
        if value == EMPTY or Path(str(value)).is_dir():
            return None
        return f"no directory {Path(str(value)).absolute()} exists"

    def validate(self, value: JSON) -> None:
        if not isinstance(value, str) or not value or "\0" in value:
            raise UsageError(f"cwd must be the path of a directory, or {EMPTY!r} for an empty one, got {value!r}")

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Change the directory and PWD, and restore both unless the run has left for a directory of its own."""
        if value is None:
            with self._begun():
                yield
            return
        before = Path.cwd()
        target = Path(str(value)).absolute()
        if value == EMPTY:
            target = ctx.scratch / "cwd"
            target.mkdir(parents=True)
        os.chdir(target)
        try:
            with set_variables({"PWD": str(target)}), self._begun():
                yield
        finally:
            if _is_below(target):
                os.chdir(before)

    def verify(self, value: JSON) -> Effect:
        """Return the directory in which the run began, as it was read there: a test may leave it for its own."""
        try:
            here = str(Path.cwd())
        except FileNotFoundError:
            return Effect(self.name, value, {"getcwd": None}, (("getcwd", "the run removed its directory"),))
        return Effect(self.name, value, {"getcwd": self._began or here})

    @contextmanager
    def _begun(self) -> Iterator[None]:
        before, self._began = self._began, str(Path.cwd())
        try:
            yield
        finally:
            self._began = before


def _is_below(folder: Path) -> bool:
    """Return whether the working directory is this folder or in it, or does not exist any more."""
    try:
        return Path.cwd().is_relative_to(folder.resolve())
    except FileNotFoundError:
        return True


AXIS = CwdAxis()
