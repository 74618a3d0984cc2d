"""The hidden conditions by name, each applied like an axis."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from pytest_repro.axes.base import AxisContext, BuiltInAxis, Engine
from pytest_repro.model import JSON
from pytest_repro.sources import foreign, heap

PREFIX = "pin:"
#: Sources held still through :func:`~pytest_repro.sources.sources.watched_sources`.
SOURCES = ("entropy", "workers", "names", "time", "pid", "mtime")
#: Orders imposed through :func:`~pytest_repro.sources.serial.orderly`.
ORDERS = ("order", "serial", "inline", "threads")
#: Calls of torch that are left out.
CALLS = ("precision", "compile")
#: ADDR_NO_RANDOMIZE of personality(2), which a program keeps through exec.
_NO_RANDOMISATION = "import ctypes,os,sys;ctypes.CDLL(None).personality(0x0040000);os.execvp(sys.argv[1],sys.argv[1:])"


class SourcesPin(BuiltInAxis):
    """Notes the sources; its value lists what is pinned."""

    name: ClassVar[str] = "pin:sources"

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Replace the sources by ones that note who reaches them, and that stand still where the value says so."""
        from pytest_repro.sources.compiled import compiled_sources
        from pytest_repro.sources.pinned_clock import pinned_moment
        from pytest_repro.sources.serial import orderly
        from pytest_repro.sources.sources import pinned_entropy, watched_sources
        from pytest_repro.sources.started_interpreters import held_in_started

        pins = frozenset(str(pin) for pin in value) if isinstance(value, list) else frozenset()
        with (
            watched_sources(pins & set(SOURCES)),
            orderly(pins & {*ORDERS, *CALLS}),
            compiled_sources(pins, pinned_moment, pinned_entropy),
            held_in_started(pins),
        ):
            yield


class HashPin(BuiltInAxis):
    """PYTHONHASHSEED fixed."""

    name: ClassVar[str] = "pin:hash"
    needs: ClassVar[Engine] = "spawn"

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Fix the seed, whatever the process' number would make of it."""
        return {"PYTHONHASHSEED": "0"}


class AddressPin(BuiltInAxis):
    """Addresses no longer randomised, on Linux."""

    name: ClassVar[str] = "pin:address"
    needs: ClassVar[Engine] = "spawn"

    def command_prefix(self, value: JSON) -> list[str]:
        """Start the interpreter as ``setarch -R`` would."""
        return [sys.executable, "-I", "-S", "-c", _NO_RANDOMISATION] if sys.platform == "linux" else []


class OmpPin(BuiltInAxis):
    """One thread of OpenMP for every library, also where the code asks for more."""

    name: ClassVar[str] = "pin:omp"
    needs: ClassVar[Engine] = "spawn"

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Limit the runtime itself."""
        return {"OMP_THREAD_LIMIT": "1"}


class ForeignPin(BuiltInAxis):
    """Generators seeded that neither Python nor NumPy's own functions reach."""

    name: ClassVar[str] = "pin:foreign"

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Seed what is loaded."""
        foreign.seed()
        yield


class ShiftPin(BuiltInAxis):
    """New objects at other addresses than they would have."""

    name: ClassVar[str] = "pin:shift"

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Keep blocks of every size for the time of the run, as many as the value makes of it."""
        held = heap.shift(int(str(value)))
        yield
        held.clear()


class HeapPin(BuiltInAxis):
    """New objects at the same addresses in every fork of one process."""

    name: ClassVar[str] = "pin:heap"

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Use up what the process before the fork left free, for the time of the run."""
        with heap.fresh_memory():
            yield


_PINS: dict[str, BuiltInAxis] = {
    pin.name: pin for pin in (SourcesPin(), HashPin(), AddressPin(), OmpPin(), ForeignPin(), ShiftPin(), HeapPin())
}


def find_pin(name: str) -> BuiltInAxis:
    """Return a hidden condition."""
    return _PINS[name]
