"""Check of integer arguments, and the base class of axes whose values are integers."""

from __future__ import annotations

from typing import Any, ClassVar

from pytest_repro.axes.base import BuiltInAxis
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON


def check_integer(name: str, value: Any, *, least: int = 0, most: int | None = None, hint: str = "") -> int:
    """Return an integer that lies within its bounds.

    Parameters
    ----------
    name : str
        Name of the argument, at the beginning of the message.
    value : object
        A bool is rejected.
    least, most : int
        Bounds, both included.
    hint : str
        Added to the message: what the bounds mean, or what to write instead.

    Raises
    ------
    UsageError
    """
    if isinstance(value, int) and not isinstance(value, bool) and least <= value and (most is None or value <= most):
        return value
    bounds = f">= {least}" if most is None else f"from {least} to {most}"
    raise UsageError(f"{name} must be an integer {bounds}{hint and f' ({hint})'}, got {value!r}")


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
