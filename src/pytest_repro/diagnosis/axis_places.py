"""What two watched runs say beyond the axis that was shown to be to blame: the code more exactly, and the place."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from pytest_repro.diagnosis.catalogue import CATALOGUE, LIBRARY_FIXES, fix_of, meaning_of
from pytest_repro.diagnosis.naming import choose_place, gives_other_seeds, is_elementwise, library_at
from pytest_repro.diagnosis.observing import Observation
from pytest_repro.diagnosis.trace_statements import calls_in
from pytest_repro.model import JSON, Cause, Location
from pytest_repro.sources.sources import SORTS
from pytest_repro.tracing.statements import read_source

#: Axis -> kinds of sightings that are its place.
_KINDS = {
    "file_order": ("listing",),
    "clock": ("clock",),
    "cpu_count": ("cores",),
    "cwd": ("cwd", "relative"),
    "schedule": ("unordered", "thread", "process"),
}
#: Variables by which libraries compute in less precision.
_PRECISION = re.compile(r"FPMATH_MODE|TF32|PRECISION|_BF16|_FP16|MATH_MODE|X64|FLOAT64|DTYPE")
#: An array or a scalar of some precision, as a trace tells it.
_FLOATS = re.compile(r"(?:[A-Za-z]+ )?((?:b?float|complex)\d+)\b")
_ZONES, _LOCALES = ("TZ",), re.compile(r"LANG|LC_|PYTHONUTF8|PYTHONIOENCODING")
_THREADS = re.compile(r"NUM_THREADS|THREAD_LIMIT|MAX_THREADS")
_ISA = {
    "ATEN_CPU_CAPABILITY": "isa.aten",
    "MKL_CBWR": "isa.mkl",
    "MKL_ENABLE_INSTRUCTIONS": "isa.mkl",
    "OPENBLAS_CORETYPE": "isa.openblas",
    "NPY_DISABLE_CPU_FEATURES": "isa.numpy",
}


def refine_axis(
    causes: list[Cause],
    axis: str,
    value: JSON,
    base: Observation,
    varied: Observation,
    first: Any,
    place: Location | None,
) -> list[Cause]:
    """Return the causes of an axis with their place, and their code as exact as what was seen allows."""
    return [_refine(cause, axis, value, base, varied, first, place) for cause in causes]


def _refine(
    cause: Cause, axis: str, value: JSON, base: Observation, varied: Observation, first: Any, place: Location | None
) -> Cause:
    sightings = base.sightings(*_KINDS.get(axis, ())) or varied.sightings(*_KINDS.get(axis, ()))
    code = cause.code
    if axis == "env" and isinstance(value, dict):
        read = [entry for entry in varied.sightings("environ") if entry["detail"] in value]
        sightings = read
        code = _code_of_variables([str(name) for name in value], read)
        if code == "env.variable" and first is not None and _is_of_other_precision(first):
            code = "precision.env"
    elif cause.code == "isa.numpy":
        code = _code_of_sort(cause.code, base.sightings("sort"), place)
    elif axis == "threads" and first is not None and is_elementwise(str(first.op)):
        code = "threads.simd_tail"
    elif axis == "clock" and gives_other_seeds(base, varied):
        code = "time.seed"
    location = choose_place(sightings, place)
    located = replace(cause, location=location)
    if (library := library_at(sightings, location)) and code in LIBRARY_FIXES:
        reached = f"{cause.evidence}, read inside {library}"
        located = replace(located, fix=fix_of(code, library), evidence=reached)
    if code == cause.code or code not in CATALOGUE:
        return replace(located, code=code)
    return replace(located, code=code, fix=fix_of(code, library), evidence=f"{located.evidence}; {meaning_of(code)}")


def _code_of_variables(names: list[str], read: list[dict[str, Any]]) -> str:
    """Tell by who reads a variable: the user's code, or a library that it switches."""
    if read:
        return "env.variable"
    for name in names:
        if name in _ISA:
            return _ISA[name]
        if _PRECISION.search(name):
            return "precision.env"
        if _THREADS.search(name):
            return "threads.reduction_order"
        if name in _ZONES:
            return "env.timezone"
        if _LOCALES.search(name):
            return "env.locale"
        if name == "PYTHONHASHSEED":
            return "hash.str_hashseed"
    return "env.variable"


def _code_of_sort(code: str, sorts: list[dict[str, Any]], place: Location | None) -> str:
    """The kernels of NumPy include those that sort: the first value that differs is made at a line that does.

    Where numba is loaded no call of NumPy's is seen, and the line itself must tell.
    """
    if place is None:
        return code
    is_seen = any((entry["file"], entry["line"]) == (place.file, place.line) for entry in sorts)
    if is_seen or any(name in SORTS for _, name in calls_in(read_source(place.file, place.line))):
        return "isa.numpy_sort"
    return code


def _is_of_other_precision(first: Any) -> bool:
    """Tell whether the first value that differs is made of other floating-point numbers in one run."""
    kinds = [_FLOATS.match(str(text)) for text in (first.expected, first.actual)]
    return all(kinds) and len({kind[1] for kind in kinds if kind}) == 2
