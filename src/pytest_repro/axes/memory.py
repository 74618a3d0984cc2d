"""memory: the content of uninitialised memory."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, ClassVar

from pytest_repro.axes.base import AxisContext, Effect
from pytest_repro.axes.integers import IntegerAxis
from pytest_repro.axes.machine import Machine
from pytest_repro.axes.native import find_adapters
from pytest_repro.axes.started_programs import noted_programs
from pytest_repro.model import JSON

#: `mallopt` parameter of glibc.
_M_PERTURB = -6


class MemoryAxis(IntegerAxis):
    """Values are the byte that fresh memory is filled with, from 0 to 254.

    glibc's malloc fills the memory that it returns. `mallopt` switches that on at run time, so every engine can do it.
    It reaches torch, which takes all its host memory from malloc, and C and C++ extensions. NumPy reuses small blocks
    itself, so its allocation hook fills them. Neither fills memory from `calloc`, which ``np.zeros`` uses.
    """

    name: ClassVar[str] = "memory"
    variables: ClassVar[tuple[str, ...]] = ("MALLOC_PERTURB_",)
    most: ClassVar[int | None] = 254
    hint: ClassVar[str] = "the byte to fill memory with; for glibc, 255 means switched off"

    def default_values(self, machine: Machine) -> list[JSON]:
        """Return bytes that make zeros, huge positive and huge negative numbers.

        0x7f7f7f7f is 3.4e38 as float32, 1.4e306 as float64, 2139062143 as int32 and NaN as float16, and 0xfe.. the
        negative counterpart. Tiny numbers would vanish when added to others, and careful code replaces NaN by 0.
        """
        return [0x00, 0x7F, 0xFE]

    def unavailable(self, machine: Machine) -> str | None:
        return None if machine.has_glibc else "only glibc can fill the memory that malloc returns"

    def parse(self, text: str) -> JSON:
        try:
            return int(text, 0)
        except ValueError:
            return text

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Return variables that fill memory from the interpreter's start.

        The tunable switches off the cache from which malloc returns small blocks without filling them.
        """
        if not isinstance(value, int):
            return {}
        # glibc fills memory that it returns with the complement, and memory that is freed with the byte itself.
        return {"MALLOC_PERTURB_": str(value ^ 0xFF), "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Make malloc fill memory here and in the programs that the run starts, and NumPy where it is loaded."""
        if not isinstance(value, int):
            yield
            return
        libc = ctypes.CDLL(None)
        with ExitStack() as stack:
            variables = {name: text for name, text in self.environment(value).items() if text is not None}
            stack.enter_context(noted_programs(variables))
            stack.callback(libc.mallopt, _M_PERTURB, _read_initial_perturb())
            libc.mallopt(_M_PERTURB, value ^ 0xFF)
            for adapter in find_adapters("numpy").values():
                with suppress(OSError):  # verify reports it, since it reads NumPy's memory
                    stack.enter_context(adapter.fill_new_arrays(value))
            yield

    def verify(self, value: JSON) -> Effect:
        observed: dict[str, JSON] = {"malloc": _read_malloc()}
        observed |= {name: adapter.read_new_memory() for name, adapter in find_adapters("numpy", "torch").items()}
        if not isinstance(value, int):
            # Memory that is not filled has random content, so two readings must not count as varied.
            return Effect(self.name, value, dict.fromkeys(observed, "as is"))
        wanted = f"{value:02x}"
        problems = [
            (name, f"holds the bytes {seen}, not only {wanted}") for name, seen in observed.items() if seen != wanted
        ]
        return Effect(self.name, value, observed, tuple(problems))

    def describe(self, value: JSON) -> str:
        return "memory as is" if value is None else f"memory filled with 0x{value:02x}"


def _read_initial_perturb() -> int:
    """Return the setting with which malloc started in this process."""
    text = os.environ.get("MALLOC_PERTURB_", "")
    tunable = re.search(r"glibc\.malloc\.perturb=(\d+)", os.environ.get("GLIBC_TUNABLES", ""))
    return int(text) if text.isdigit() else int(tunable.group(1)) if tunable else 0


def _read_malloc() -> str:
    """Return the distinct bytes, in hexadecimal, of a block too large for malloc's cache of small blocks."""
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


AXIS = MemoryAxis()
