"""host: an environment that the project names, behind a command such as ``ssh`` or ``podman run``."""

from __future__ import annotations

from typing import ClassVar

from pytest_repro.axes.elsewhere import EnvironmentAxis


class HostAxis(EnvironmentAxis):
    """Names of ``[tool.pytest_repro.environments]``."""

    name: ClassVar[str] = "host"
    example: ClassVar[str] = "'prod'"


AXIS = HostAxis()
