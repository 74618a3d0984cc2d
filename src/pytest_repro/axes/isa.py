"""isa: the instruction set, so that this processor runs the kernels of others."""

from __future__ import annotations

import hashlib
import importlib
import math
import os
import struct
from collections.abc import Mapping
from typing import Any, ClassVar

from pytest_repro.axes.base import BuiltInAxis, Effect, EngineName
from pytest_repro.axes.machine import Machine
from pytest_repro.axes.native import find_adapters, find_pools
from pytest_repro.errors import UsageError
from pytest_repro.model import JSON

#: Switch of each library, and level -> its values. Each switch changes one library only, so a level sets all of them.
_NAMES = ("OPENBLAS_CORETYPE", "ATEN_CPU_CAPABILITY", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
_X86_NAMES = (*_NAMES, "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA")
_X86_LEVELS: dict[str, dict[str, str | None]] = {
    level: dict(zip(_X86_NAMES, values, strict=True))
    for level, values in {
        "avx2": ("Haswell", "avx2", "haswell", None, "AVX2", "AVX2", "AVX2"),
        "avx": ("Sandybridge", "default", "sandybridge", None, "AVX", "AVX", "AVX"),
        "generic": ("Nehalem", "default", "x86-64", "", "COMPATIBLE", "SSE4_2", "SSE41"),
    }.items()
}
_ARM_LEVELS: dict[str, dict[str, str | None]] = {
    "generic": dict(zip(_NAMES, ("ARMV8", "default", "generic", ""), strict=True))
}
#: Level -> flags that a processor needs, since without them the kernels end the process by an illegal instruction.
_NEEDED_FLAGS = {"avx2": {"avx2", "fma"}, "avx": {"avx"}, "generic": set[str]()}

#: Changes libm's exp, log, sin and pow. The last three are the names before glibc 2.33. glibc ignores unknown names.
_GLIBC_WITHOUT_FMA = "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX2_Usable,-FMA_Usable,-FMA4_Usable"

#: Switches that a dict may set.
SWITCHES = tuple(sorted((*_X86_NAMES, "GLIBC_TUNABLES", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES")))
#: Kernels of OpenBLAS that need AVX-512. On a processor without it they end the process by SIGILL.
_AVX512_CORES = ("skylakex", "cooperlake", "sapphirerapids", "cannonlake", "icelake")


class IsaAxis(BuiltInAxis):
    """Values are levels ("avx2", "avx", "generic"), or dicts of single switches.

    Libraries read their switches when they are loaded, so a new interpreter is needed.
    """

    name: ClassVar[str] = "isa"
    needs: ClassVar[EngineName] = "spawn"
    variables: ClassVar[tuple[str, ...]] = SWITCHES

    def default_values(self, machine: Machine) -> list[JSON]:
        """Return no level, the next one below this processor's, and the lowest."""
        levels = [level for level in _levels_of(machine) if self.unavailable_value(level, machine) is None]
        if "avx512f" not in machine.cpu_flags and "avx2" in levels:
            levels.remove("avx2")  # this processor runs these kernels by itself
        return [None, *dict.fromkeys((levels[0], levels[-1]))] if levels else []

    def unavailable(self, machine: Machine) -> str | None:
        if _levels_of(machine):
            return None
        return f"no library has kernels to choose from on {machine.arch}"

    def unavailable_value(self, value: JSON, machine: Machine) -> str | None:
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
        if isinstance(value, str) and value in _X86_LEVELS:
            return
        if not isinstance(value, dict):
            raise UsageError(
                f"isa must be a level ({', '.join(_X86_LEVELS)}) or a dict of switches such as {{'MKL_CBWR': 'AVX2'}}, "
                f"got {value!r}"
            )
        for name, text in value.items():
            if name not in SWITCHES:
                raise UsageError(
                    f"isa: the switches are {', '.join(SWITCHES)}, got {name!r}; other variables belong to the axis env"
                )
            if not isinstance(text, str):
                raise UsageError(f"isa: the value of {name} must be text, got {text!r}")

    def environment(self, value: JSON) -> dict[str, str | None]:
        if isinstance(value, dict):
            return {name: str(text) for name, text in value.items()}
        machine = Machine.here()
        switches = _levels_of(machine).get(str(value))
        if switches is None:
            return {}
        switches = dict(switches)
        if machine.has_glibc and machine.is_x86 and value != "avx2":
            switches["GLIBC_TUNABLES"] = _GLIBC_WITHOUT_FMA
        # NumPy cannot be imported with both variables set.
        switches["NPY_ENABLE_CPU_FEATURES"] = None
        switches["NPY_DISABLE_CPU_FEATURES"] = _find_numpy_features(keep_avx2=value == "avx2")
        return switches

    def verify(self, value: JSON) -> Effect:
        """Read back the kernels that each loaded library reports, or a digest of its results on fixed inputs."""
        observed: dict[str, JSON] = {"libm": _digest_libm()}
        observed |= {pool.name: pool.architecture for pool in find_pools() if pool.architecture}
        for adapter in find_adapters("numpy", "torch", "numba").values():
            observed |= adapter.read_cpu_kernels()
        return Effect(self.name, value, observed, tuple(_find_problems(value, observed)))

    def describe(self, value: JSON) -> str:
        if isinstance(value, dict):
            return " ".join(f"{name}={text}" for name, text in value.items())
        return super().describe(value)


def _levels_of(machine: Machine) -> dict[str, dict[str, str | None]]:
    if machine.is_x86:
        return _X86_LEVELS
    return _ARM_LEVELS if machine.arch in ("aarch64", "arm64") else {}


def _find_numpy_features(*, keep_avx2: bool) -> str | None:
    """Return the names that the installed NumPy knows: it warns of others, or fails to import."""
    numpy_axes: Any = importlib.import_module("pytest_repro.frameworks.numpy_axes")
    features = [name for name in numpy_axes.find_enabled_features() if not (keep_avx2 and not _is_above_avx2(name))]
    already = os.environ.get("NPY_DISABLE_CPU_FEATURES", "").replace(",", " ").split()
    return " ".join(dict.fromkeys((*already, *features))) or None


def _is_above_avx2(feature: str) -> bool:
    return feature.startswith("AVX512") or feature in ("X86_V4", "AVX10")


def _digest_libm() -> str:
    """Digest exp, log, sin, cos, tan and pow at 600 points, where they change with fused multiply-add."""
    functions = (math.exp, math.log, math.sin, math.cos, math.tan, lambda x: math.pow(x, 1.37))
    points = [1.0 + i / 61.7 for i in range(600)]
    values = [function(x) for function in functions for x in points]
    return hashlib.sha256(struct.pack(f"<{len(values)}d", *values)).hexdigest()[:16]


def _find_problems(value: JSON, observed: dict[str, JSON]) -> list[tuple[str, str]]:
    """Return each library that reports other kernels than its switch requests."""
    # Not by environment(): that imports NumPy, which the run itself may not import.
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
