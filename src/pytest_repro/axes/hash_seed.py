"""hash_seed: PYTHONHASHSEED, which orders sets of strings and everything built on `hash`."""

from __future__ import annotations

import sys
from typing import ClassVar

from pytest_repro.axes.base import BuiltInAxis, Effect, Engine
from pytest_repro.axes.machine import Machine
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON

_MAX_SEED = 4_294_967_295


class HashSeedAxis(BuiltInAxis):
    """Needs a new interpreter: CPython reads the seed once, before any code runs."""

    name: ClassVar[str] = "hash_seed"
    needs: ClassVar[Engine] = "spawn"
    variables: ClassVar[tuple[str, ...]] = ("PYTHONHASHSEED",)

    def default_values(self, machine: Machine) -> list[JSON]:
        """Four: a set of two strings keeps its order with chance 1/2 per further seed, so three more miss 1 in 8."""
        return [0, 1, 2, 3]

    def validate(self, value: JSON) -> None:
        """Take what the interpreter takes; another value makes it exit at start-up."""
        if type(value) is not int or not 0 <= value <= _MAX_SEED:
            raise UsageError(f"hash_seed: {value!r} is no whole number from 0 (no randomisation) to {_MAX_SEED}")

    def parse(self, text: str) -> JSON:
        """Read a whole number."""
        return int(text) if text.isdigit() else text

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Set the interpreter's variable."""
        return {} if value is None else {"PYTHONHASHSEED": str(value)}

    def verify(self, value: JSON) -> Effect:
        """Read back the hash of a fixed string, which the seed alone decides."""
        problems: tuple[tuple[str, str], ...] = ()
        if sys.flags.ignore_environment:
            problems = (("hash", "the interpreter was started with -E or -I, which ignores PYTHONHASHSEED"),)
        return Effect(self.name, value, {"hash": format(hash("pytest-repro") & (2**64 - 1), "016x")}, problems)

    def describe(self, value: JSON) -> str:
        """Name the variable, as a user would set it."""
        return "PYTHONHASHSEED as is" if value is None else f"PYTHONHASHSEED={value}"


AXIS = HashSeedAxis()
