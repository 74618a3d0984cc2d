"""python: another interpreter, virtual environment or release of a package."""

from __future__ import annotations

from typing import ClassVar

from pytest_repro.axes.elsewhere import EnvironmentAxis


class PythonAxis(EnvironmentAxis):
    """Another interpreter, by its path, its virtual environment, its requirements or its name."""

    name: ClassVar[str] = "python"
    example: ClassVar[str] = "'numpy==2.2.*'"

    def split(self, text: str) -> list[str]:
        """Split the values at colons, but not a Windows drive from its path."""
        parts: list[str] = []
        for part in text.split(":"):
            if parts and len(parts[-1]) == 1 and parts[-1].isalpha() and part[:1] in ("\\", "/"):
                parts[-1] += f":{part}"
            else:
                parts.append(part)
        return parts


AXIS = PythonAxis()
