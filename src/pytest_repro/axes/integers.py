"""Check and description of integer arguments, and the base class of axes whose values are integers."""

from __future__ import annotations

from typing import Any, ClassVar

from pytest_repro.axes.base import BuiltInAxis
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON


def check_integer(name: str, value: Any, *, least: int = 0, most: int | None = None, hint: str = "") -> int:
    """Return an integer from `least` to `most`, or raise UsageError with the argument's name and a hint.

    A bool is rejected.
    """
    if isinstance(value, int) and not isinstance(value, bool) and least <= value and (most is None or value <= most):
        return value
    bounds = f">= {least}" if most is None else f"from {least} to {most}"
    raise UsageError(f"{name} must be an integer {bounds}{hint and f' ({hint})'}, got {value!r}")


def count_of(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 thread``, ``2 processes``."""
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"


class IntegerAxis(BuiltInAxis):
    """Axis whose values are integers from `least` to `most`."""

    least: ClassVar[int] = 0
    most: ClassVar[int | None] = None
    hint: ClassVar[str] = ""

    def validate(self, value: JSON) -> None:
        """Reject everything but an integer within the bounds."""
        check_integer(self.name, value, least=self.least, most=self.most, hint=self.hint)

    def parse(self, text: str) -> JSON:
        """Read an integer, and leave any other text to :meth:`validate`."""
        return int(text) if text.isdecimal() else text
