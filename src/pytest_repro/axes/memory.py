"""memory: what uninitialised memory holds."""

from __future__ import annotations

import ctypes
import importlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, ClassVar

from pytest_repro.axes.base import AxisContext, BuiltInAxis, Effect
from pytest_repro.axes.machine import Machine
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON

#: `mallopt` parameter of glibc.
_M_PERTURB = -6

#: Framework -> adapter with `read_new_memory`.
_ADAPTERS = {"numpy": "numpy_axes", "torch": "torch_axes"}


class MemoryAxis(BuiltInAxis):
    """Values are the byte that fresh memory is filled with, from 0 to 254.

    glibc's malloc fills what it hands out (at run time through `mallopt`, so that every engine can do it): that
    reaches torch, which takes all its host memory from it, and C and C++ extensions. NumPy keeps small blocks of its
    own, so its allocation hook fills too. `calloc`, and with it ``np.zeros``, is left alone by both.
    """

    name: ClassVar[str] = "memory"
    variables: ClassVar[tuple[str, ...]] = ("MALLOC_PERTURB_",)

    def default_values(self, machine: Machine) -> list[JSON]:
        """Zeros, huge positive and huge negative numbers.

        0x7f7f7f7f is 3.4e38 as float32, 1.4e306 as float64, 2139062143 as int32, NaN as float16; 0xfe.. the negative
        counterpart. Tiny numbers vanish when added to others, and NaN is what careful code replaces by 0.
        """
        return [0x00, 0x7F, 0xFE]

    def unavailable(self, machine: Machine) -> str | None:
        """Needs glibc."""
        return None if machine.has_glibc else "only glibc can fill the memory that it hands out"

    def validate(self, value: JSON) -> None:
        """Take a byte, but 255: malloc counts that as switched off."""
        if type(value) is not int or not 0 <= value <= 254:
            raise UsageError(f"memory: {value!r} is no byte to fill memory with (0 to 254; glibc cannot fill with 255)")

    def parse(self, text: str) -> JSON:
        """Read a byte, in hexadecimal too."""
        try:
            return int(text, 0)
        except ValueError:
            return text

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Fill from the start of the interpreter; small blocks too, which malloc recycles unfilled otherwise."""
        if not isinstance(value, int):
            return {}
        # glibc takes the complement for what it hands out; the byte itself fills what is freed.
        return {"MALLOC_PERTURB_": str(value ^ 0xFF), "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Have malloc fill, and NumPy where it is loaded."""
        if not isinstance(value, int):
            yield
            return
        libc = ctypes.CDLL(None)
        with ExitStack() as stack:
            stack.callback(libc.mallopt, _M_PERTURB, _read_initial_perturb())
            libc.mallopt(_M_PERTURB, value ^ 0xFF)
            if "numpy" in sys.modules:
                numpy_axes = importlib.import_module("pytest_repro.frameworks.numpy_axes")
                with suppress(OSError):  # told by verify, which reads NumPy's memory
                    stack.enter_context(numpy_axes.fill_new_arrays(value))
            yield

    def verify(self, value: JSON) -> Effect:
        """Read back what fresh memory holds."""
        observed: dict[str, JSON] = {"malloc": _read_malloc()}
        for framework, adapter in _find_adapters().items():
            observed[framework] = adapter.read_new_memory()
        if not isinstance(value, int):
            # What unfilled memory holds is chance: no two readings of it may count as varied.
            return Effect(self.name, value, dict.fromkeys(observed, "as is"))
        wanted = f"{value:02x}"
        problems = [
            (name, f"holds bytes {seen}, not {wanted} alone") for name, seen in observed.items() if seen != wanted
        ]
        return Effect(self.name, value, observed, tuple(problems))

    def describe(self, value: JSON) -> str:
        """Show the byte."""
        return "memory as is" if value is None else f"memory filled with 0x{value:02x}"


def _read_initial_perturb() -> int:
    """Return what malloc was told when the process started."""
    text = os.environ.get("MALLOC_PERTURB_", "")
    tunable = re.search(r"glibc\.malloc\.perturb=(\d+)", os.environ.get("GLIBC_TUNABLES", ""))
    return int(text) if text.isdigit() else int(tunable.group(1)) if tunable else 0


def _read_malloc() -> str:
    """Return, in hexadecimal, the distinct bytes of a block too large for malloc's cache of small ones."""
    libc: Any = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        (ctypes.c_size_t,),
        (ctypes.c_void_p,),
    )
    pointer = libc.malloc(8192)
    try:
        return bytes(sorted(set(ctypes.string_at(pointer, 8192)))[:4]).hex()
    finally:
        libc.free(pointer)


def _find_adapters() -> dict[str, Any]:
    return {
        framework: importlib.import_module(f"pytest_repro.frameworks.{module}")
        for framework, module in _ADAPTERS.items()
        if framework in sys.modules
    }


AXIS = MemoryAxis()
