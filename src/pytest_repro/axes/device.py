"""device: where a run computes; the test reads it from ``repro.device`` or its argument ``device``."""

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
    """Names a device; moves nothing by itself.

    Every run of a test with this axis, the CPU's too, has deterministic kernels and float32 computed in float32:
    else the comparison would be one of settings.
    """

    name: ClassVar[str] = "device"
    may_be_missing: ClassVar[bool] = True
    ignored_traits: ClassVar[tuple[str, ...]] = ("device",)
    variables: ClassVar[tuple[str, ...]] = ("CUBLAS_WORKSPACE_CONFIG",)

    def default_values(self, machine: Machine) -> list[JSON]:
        """The CPU, which is the reference, and the accelerators that are here."""
        return ["cpu", *(kind for kind in ("cuda", "mps", "xpu") if why_missing(kind) is None)]

    def unavailable(self, machine: Machine) -> str | None:
        """Available everywhere: which value is, is told value by value."""
        return None

    def unavailable_value(self, value: JSON, machine: Machine) -> str | None:
        """Say why this machine lacks the device."""
        return why_missing(str(value))

    def validate(self, value: JSON) -> None:
        """Take a device's name."""
        if not isinstance(value, str) or not DEVICE_NAME.fullmatch(value):
            raise UsageError(f"device: {value!r} is no device; write 'cpu', 'cuda', 'cuda:1', 'mps' or 'xpu'")

    def split(self, text: str) -> list[str]:
        """Split at colons, but for the one of an index: ``cpu:cuda:1`` is cpu and cuda:1."""
        return re.split(r":(?!\d)", text)

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Give cuBLAS the workspace that makes it repeat itself, before CUDA is initialised."""
        return {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"} if str(value).startswith("cuda") else {}

    @contextlib.contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Switch deterministic kernels on; what did not take effect is warned of."""
        from pytest_repro.seeding import deterministic

        with deterministic(warn_only=True):
            yield

    def verify(self, value: JSON) -> Effect:
        """The test is told the device; that it computed there shows in the artifacts' own devices."""
        return Effect(self.name, value, {"repro.device": value})

    def describe(self, value: JSON) -> str:
        """Name the device."""
        return f"device {value}" if value is not None else "device as is"


AXIS = DeviceAxis()
