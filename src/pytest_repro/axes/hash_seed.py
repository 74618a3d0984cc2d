"""hash_seed: PYTHONHASHSEED, which decides the order of sets of strings and of everything else that uses `hash`."""

from __future__ import annotations

import sys
from typing import ClassVar

from pytest_repro.axes.base import Effect, EngineName
from pytest_repro.axes.integers import IntegerAxis
from pytest_repro.axes.machine import Machine
from pytest_repro.model import JSON


class HashSeedAxis(IntegerAxis):
    """Needs a new interpreter: CPython reads the seed once, before any code runs.

    CPython exits at start-up if the seed is out of bounds.
    """

    name: ClassVar[str] = "hash_seed"
    needs: ClassVar[EngineName] = "spawn"
    variables: ClassVar[tuple[str, ...]] = ("PYTHONHASHSEED",)
    most: ClassVar[int | None] = 4_294_967_295
    hint: ClassVar[str] = "0 switches randomisation off"

    def default_values(self, machine: Machine) -> list[JSON]:
        """Return four seeds.

        Another seed keeps the order of a set of two strings with probability 1/2, so three other seeds miss 1 in 8.
        """
        return [0, 1, 2, 3]

    def environment(self, value: JSON) -> dict[str, str | None]:
        return {} if value is None else {"PYTHONHASHSEED": str(value)}

    def verify(self, value: JSON) -> Effect:
        """Read back the hash of a fixed string, which depends on the seed alone."""
        problems: tuple[tuple[str, str], ...] = ()
        if sys.flags.ignore_environment:
            problems = (("hash", "the interpreter was started with -E or -I, which ignores PYTHONHASHSEED"),)
        return Effect(self.name, value, {"hash": format(hash("pytest-repro") & (2**64 - 1), "016x")}, problems)

    def describe(self, value: JSON) -> str:
        return "PYTHONHASHSEED as is" if value is None else f"PYTHONHASHSEED={value}"


AXIS = HashSeedAxis()
