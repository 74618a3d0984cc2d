"""isa: the kernels that other processors would run, run on this one."""

from __future__ import annotations

import hashlib
import importlib
import math
import os
import struct
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

from pytest_repro.axes.base import BuiltInAxis, Effect, Engine
from pytest_repro.axes.machine import Machine
from pytest_repro.axes.native import find_pools
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON

#: Level -> the switch of each library. They are disjoint: each moves one library only, so a level sets all of them.
_X86_LEVELS: dict[str, dict[str, str | None]] = {
    "avx2": {
        "OPENBLAS_CORETYPE": "Haswell",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_CBWR": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": None,
    },
    "avx": {
        "OPENBLAS_CORETYPE": "Sandybridge",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "AVX",
        "MKL_ENABLE_INSTRUCTIONS": "AVX",
        "ONEDNN_MAX_CPU_ISA": "AVX",
        "NUMBA_CPU_NAME": "sandybridge",
        "NUMBA_CPU_FEATURES": None,
    },
    "generic": {
        "OPENBLAS_CORETYPE": "Nehalem",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "NUMBA_CPU_NAME": "x86-64",
        "NUMBA_CPU_FEATURES": "",
    },
}
_ARM_LEVELS: dict[str, dict[str, str | None]] = {
    "generic": {
        "OPENBLAS_CORETYPE": "ARMV8",
        "ATEN_CPU_CAPABILITY": "default",
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
    },
}
#: What a processor must have for a level's kernels not to end the process by an illegal instruction.
_NEEDED_FLAGS = {"avx2": {"avx2", "fma"}, "avx": {"avx"}, "generic": set[str]()}

#: Moves libm's exp, log, sin, pow. The second pair are the names before glibc 2.33; a name that is unknown is ignored.
_GLIBC_WITHOUT_FMA = "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX2_Usable,-FMA_Usable,-FMA4_Usable"

#: Switches that a dict of the user's may set.
SWITCHES = (
    "ATEN_CPU_CAPABILITY",
    "GLIBC_TUNABLES",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "NUMBA_CPU_FEATURES",
    "NUMBA_CPU_NAME",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
)
#: Kernels of OpenBLAS that need AVX-512: forced on a processor without, the process dies by SIGILL.
_AVX512_CORES = ("skylakex", "cooperlake", "sapphirerapids", "cannonlake", "icelake")

#: Framework -> adapter with `read_cpu_kernels`.
_ADAPTERS = {"numpy": "numpy_axes", "torch": "torch_axes", "numba": "numba_axes"}


class IsaAxis(BuiltInAxis):
    """Values are levels ("avx2", "avx", "generic"), or dicts of single switches.

    Every switch is read when its library is loaded, so a new interpreter is needed.
    """

    name: ClassVar[str] = "isa"
    needs: ClassVar[Engine] = "spawn"
    variables: ClassVar[tuple[str, ...]] = SWITCHES

    def default_values(self, machine: Machine) -> list[JSON]:
        """As it is, the next level below this processor's, and the lowest."""
        levels = [level for level in _levels_of(machine) if self.unavailable_value(level, machine) is None]
        if "avx512f" not in machine.cpu_flags and "avx2" in levels:
            levels.remove("avx2")  # what this processor runs by itself
        return [None, *dict.fromkeys((levels[0], levels[-1]))] if levels else []

    def unavailable(self, machine: Machine) -> str | None:
        """Say which processors have levels."""
        if _levels_of(machine):
            return None
        return f"no library has kernels to choose from on {machine.arch}"

    def unavailable_value(self, value: JSON, machine: Machine) -> str | None:
        """Refuse kernels that this processor cannot execute."""
        if isinstance(value, dict):
            core = str(value.get("OPENBLAS_CORETYPE", "")).lower()
            if core in _AVX512_CORES and "avx512f" not in machine.cpu_flags:
                return f"this processor has no AVX-512, and OpenBLAS' {core} kernels would end the process"
            return None
        if value not in _levels_of(machine):
            return f"{machine.arch} processors have no such level"
        missing = _NEEDED_FLAGS[str(value)] - machine.cpu_flags
        return f"this processor lacks {', '.join(sorted(missing))}" if missing else None

    def validate(self, value: JSON) -> None:
        """Take a level, or a dict of the known switches."""
        if isinstance(value, str) and value in _X86_LEVELS:
            return
        if not isinstance(value, dict):
            raise UsageError(
                f"isa: {value!r} is no level ({', '.join(_X86_LEVELS)}) "
                "and no dict of switches such as {'MKL_CBWR': 'AVX2'}"
            )
        for name, text in value.items():
            if name not in SWITCHES:
                raise UsageError(
                    f"isa: {name!r} is no switch for instruction sets ({', '.join(SWITCHES)}); use the axis env for it"
                )
            if not isinstance(text, str):
                raise UsageError(f"isa: the value of {name} must be text, got {text!r}")

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Return every switch of a level, or the user's."""
        if isinstance(value, dict):
            return {name: str(text) for name, text in value.items()}
        machine = Machine.here()
        switches = _levels_of(machine).get(str(value))
        if switches is None:
            return {}
        switches = dict(switches)
        if machine.has_glibc and machine.is_x86 and value != "avx2":
            switches["GLIBC_TUNABLES"] = _GLIBC_WITHOUT_FMA
        # NumPy refuses to start with both variables set.
        switches["NPY_ENABLE_CPU_FEATURES"] = None
        switches["NPY_DISABLE_CPU_FEATURES"] = _find_numpy_features(keep_avx2=value == "avx2")
        return switches

    def verify(self, value: JSON) -> Effect:
        """Read back each loaded library's own report, or a digest of results on fixed inputs where it has none."""
        observed: dict[str, JSON] = {"libm": _digest_libm()}
        observed |= {pool.name: pool.architecture for pool in find_pools() if pool.architecture}
        for framework, module in _ADAPTERS.items():
            if framework in sys.modules:
                observed |= importlib.import_module(f"pytest_repro.frameworks.{module}").read_cpu_kernels()
        return Effect(self.name, value, observed, tuple(_find_refused(value, observed)))

    def describe(self, value: JSON) -> str:
        """Name the level or the switches."""
        if isinstance(value, dict):
            return " ".join(f"{name}={text}" for name, text in value.items())
        return "isa as is" if value is None else f"isa={value}"


def _levels_of(machine: Machine) -> dict[str, dict[str, str | None]]:
    if machine.is_x86:
        return _X86_LEVELS
    return _ARM_LEVELS if machine.arch in ("aarch64", "arm64") else {}


def _find_numpy_features(*, keep_avx2: bool) -> str | None:
    """Return the names that this NumPy's variable takes: others are ignored with no more than a warning, or refused."""
    numpy_axes: Any = importlib.import_module("pytest_repro.frameworks.numpy_axes")
    features = [name for name in numpy_axes.find_enabled_features() if not (keep_avx2 and not _is_above_avx2(name))]
    already = os.environ.get("NPY_DISABLE_CPU_FEATURES", "").replace(",", " ").split()
    return " ".join(dict.fromkeys((*already, *features))) or None


def _is_above_avx2(feature: str) -> bool:
    return feature.startswith("AVX512") or feature in ("X86_V4", "AVX10")


def _digest_libm() -> str:
    """Digest exp, log, sin, cos, tan and pow at 600 points: with and without fused multiply-add they differ."""
    functions = (math.exp, math.log, math.sin, math.cos, math.tan, lambda x: math.pow(x, 1.37))
    points = [1.0 + i / 61.7 for i in range(600)]
    values = [function(x) for function in functions for x in points]
    return hashlib.sha256(struct.pack(f"<{len(values)}d", *values)).hexdigest()[:16]


def _find_refused(value: JSON, observed: dict[str, JSON]) -> list[tuple[str, str]]:
    """Tell each library whose report contradicts the switch that it was given."""
    # Not through environment(): that imports NumPy, which the run may not have.
    switches: Mapping[str, JSON] = value if isinstance(value, dict) else _levels_of(Machine.here()).get(str(value), {})
    problems = []
    wanted = str(switches.get("ATEN_CPU_CAPABILITY") or "")
    seen = observed.get("torch")
    if wanted and seen is not None and str(seen).lower() != wanted.lower():
        problems.append(("torch", f"runs {seen} kernels, not {wanted}"))
    core = str(switches.get("OPENBLAS_CORETYPE") or "")
    for component, architecture in observed.items():
        if core and component.startswith("openblas") and str(architecture).lower() != core.lower():
            problems.append((component, f"runs {architecture} kernels, not {core}"))
    return problems


AXIS = IsaAxis()
