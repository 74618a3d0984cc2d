"""What the doctor tells of a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: "mend": wrong as it stands. "note": worth knowing; it does not change the exit status.
Weight = Literal["mend", "note"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that was seen.

    Attributes
    ----------
    file : str
        Relative to the project, with slashes. Empty where it stands in no file.
    line : int
        From 1; 0 for a whole file.
    code : str
        Kind of finding, such as ``unseeded_generator``.
    text, fix : str
        What it is, in one sentence; what to do, or nothing.
    """

    file: str
    line: int
    code: str
    weight: Weight
    text: str
    fix: str = ""

    @property
    def place(self) -> str:
        """The place as ``file:line``, or an empty text."""
        return f"{self.file}:{self.line}" if self.line else self.file
