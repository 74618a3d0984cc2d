"""device: the device that a run computes on, which the test reads from ``repro.device`` or its argument ``device``."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import ClassVar

from pytest_repro.axes.base import AxisContext, BuiltInAxis, Effect
from pytest_repro.axes.machine import Machine
from pytest_repro.errors import UsageError
from pytest_repro.frameworks.device_probe import DEVICE_NAME, why_missing
from pytest_repro.model import JSON


class DeviceAxis(BuiltInAxis):
    """Names a device, and moves nothing to it by itself.

    Every run of a test with this axis, also on the CPU, has deterministic kernels and computes float32 in float32.
    Without that, the comparison would be one of settings.
    """

    name: ClassVar[str] = "device"
    may_be_missing: ClassVar[bool] = True
    ignored_traits: ClassVar[tuple[str, ...]] = ("device",)
    variables: ClassVar[tuple[str, ...]] = ("CUBLAS_WORKSPACE_CONFIG",)

    def default_values(self, machine: Machine) -> list[JSON]:
        """Return the CPU, which is the reference, and the accelerators of this machine."""
        return ["cpu", *(kind for kind in ("cuda", "mps", "xpu") if why_missing(kind) is None)]

    def unavailable_value(self, value: JSON, machine: Machine) -> str | None:
        return why_missing(str(value))

    def validate(self, value: JSON) -> None:
        if not isinstance(value, str) or not DEVICE_NAME.fullmatch(value):
            raise UsageError(f"device must be 'cpu', 'cuda', 'cuda:1', 'mps' or 'xpu', got {value!r}")

    def split(self, text: str) -> list[str]:
        """Split at colons, except those before an index: ``cpu:cuda:1`` is cpu and cuda:1."""
        return re.split(r":(?!\d)", text)

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Return the workspace that makes cuBLAS deterministic, which is read when CUDA is initialised."""
        return {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"} if str(value).startswith("cuda") else {}

    @contextlib.contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Switch deterministic kernels on, and warn of settings that did not take effect."""
        from pytest_repro.seeding import deterministic

        with deterministic(warn_only=True):
            yield

    def verify(self, value: JSON) -> Effect:
        """Return the device that the test was given.

        Whether the test computed on it shows in the devices of the artifacts.
        """
        return Effect(self.name, value, {"repro.device": value})

    def describe(self, value: JSON) -> str:
        return f"device {value}" if value is not None else "device as is"


AXIS = DeviceAxis()
