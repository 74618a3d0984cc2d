"""Causes of the axes that were shown to be to blame.

An axis is blamed only after runs in which it alone was varied differed, and runs in which it was not were identical.
Two watched runs make the code more exact and give the place; without them the place stays open, and none is guessed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from pytest_repro.axes import find_axis
from pytest_repro.diagnosis.catalogue import fix_of, meaning_of
from pytest_repro.diagnosis.places import choose_place, find_library
from pytest_repro.diagnosis.trace_statements import calls_in, is_elementwise
from pytest_repro.model import JSON, Cause, Condition, FirstDivergence, Location, TestResult
from pytest_repro.sources.base import Observation, Sighting
from pytest_repro.sources.clock import has_other_seeds
from pytest_repro.sources.noted_calls import SORTS
from pytest_repro.tracing.statements import read_source

#: Variables by which libraries compute in less precision.
_PRECISION = re.compile(r"FPMATH_MODE|TF32|PRECISION|_BF16|_FP16|MATH_MODE|X64|FLOAT64|DTYPE")
_LOCALES = re.compile(r"LANG|LC_|PYTHONUTF8|PYTHONIOENCODING")
_THREADS = re.compile(r"NUM_THREADS|THREAD_LIMIT|MAX_THREADS")
#: An array or a scalar of some precision, as a trace describes it.
_FLOATS = re.compile(r"(?:[A-Za-z]+ )?((?:b?float|complex)\d+)\b")
#: Library -> the switches that it alone obeys.
_SWITCHES = {
    "numpy": ("NPY_DISABLE_CPU_FEATURES",),
    "openblas": ("OPENBLAS_CORETYPE",),
    "aten": ("ATEN_CPU_CAPABILITY",),
    "mkl": ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"),
    "onednn": ("ONEDNN_MAX_CPU_ISA",),
    "libm": ("GLIBC_TUNABLES",),
    "numba": ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"),
}
#: Library -> the package whose import makes it likely, and which is seldom loaded without being used.
_SUGGESTED_BY = {"aten": "torch", "mkl": "torch", "onednn": "torch", "numba": "numba"}


@dataclass(frozen=True, slots=True)
class AxisRuns:
    """Two watched runs that differ in one axis alone.

    Attributes
    ----------
    axis : str
    value : JSON
        In the second run.
    base, varied : Observation
    first : FirstDivergence or None
    place : Location or None
        Of the first value that differs.
    """

    axis: str
    value: JSON
    base: Observation
    varied: Observation
    first: FirstDivergence | None = None
    place: Location | None = None

    def sightings(self, *kinds: str) -> list[Sighting]:
        """Return the sightings of these kinds in the first run, or in the second if it has none."""
        return self.base.sightings(*kinds) or self.varied.sightings(*kinds)


class AxisCause(NamedTuple):
    """The cause that an axis stands for.

    Attributes
    ----------
    code : str
    places : tuple of str
        Kinds of sightings that give its place.
    refine : callable (code, AxisRuns) -> str, optional
        Returns the code as exactly as the runs allow.
    is_placed_by_source : bool
        Whether one line of source gives its place where watching hides the difference.
    """

    code: str
    places: tuple[str, ...] = ()
    refine: Callable[[str, AxisRuns], str] | None = None
    is_placed_by_source: bool = False


def _refine_threads(code: str, runs: AxisRuns) -> str:
    return "threads.simd_tail" if runs.first is not None and is_elementwise(runs.first.op) else code


def _refine_clock(code: str, runs: AxisRuns) -> str:
    return "time.seed" if has_other_seeds(runs.base, runs.varied) else code


def _refine_isa(code: str, runs: AxisRuns) -> str:
    """Recognise sorting, which is among NumPy's kernels, by the first value that differs being sorted.

    Where numba is loaded no call of NumPy's is noted, and the line's source must show it.
    """
    place = runs.place
    if code != "isa.numpy" or place is None:
        return code
    is_seen = any((e["file"], e["line"]) == (place.file, place.line) for e in runs.base.sightings("sort"))
    if is_seen or any(name in SORTS for _, name in calls_in(read_source(place.file, place.line))):
        return "isa.numpy_sort"
    return code


def _refine_env(code: str, runs: AxisRuns) -> str:
    if not isinstance(runs.value, dict):
        return code
    code = _code_of_variables(runs.value, is_read=bool(_reads(runs)))
    if code == "env.variable" and runs.first is not None and _has_other_precision(runs.first):
        return "precision.env"
    return code


def _reads(runs: AxisRuns) -> list[Sighting]:
    """Return where the user's code reads one of the varied variables."""
    names = runs.value if isinstance(runs.value, dict) else {}
    return [entry for entry in runs.varied.sightings("environ") if entry["detail"] in names]


def _code_of_variables(names: dict[str, Any], *, is_read: bool) -> str:
    """Return the code of variables by who reads them: the user's code, or a library that they switch."""
    if is_read:
        return "env.variable"
    switches = {name: library for library, of_library in _SWITCHES.items() for name in of_library}
    for name in names:
        if switches.get(name) in ("aten", "mkl", "openblas", "numpy"):
            return f"isa.{switches[name]}"
        if _PRECISION.search(name):
            return "precision.env"
        if _THREADS.search(name):
            return "threads.reduction_order"
        if name == "TZ":
            return "env.timezone"
        if _LOCALES.search(name):
            return "env.locale"
        if name == "PYTHONHASHSEED":
            return "hash.str_hashseed"
    return "env.variable"


def _has_other_precision(first: FirstDivergence) -> bool:
    """Return whether the first value that differs has floating-point numbers of another precision in one run."""
    kinds = [_FLOATS.match(str(text)) for text in (first.expected, first.actual)]
    return all(kinds) and len({kind[1] for kind in kinds if kind}) == 2


AXES = {
    "hash_seed": AxisCause("hash.str_hashseed"),
    "threads": AxisCause("threads.reduction_order", refine=_refine_threads),
    "isa": AxisCause("isa.kernels", refine=_refine_isa),
    "file_order": AxisCause("fs.order", ("listing",)),
    "clock": AxisCause("time.now", ("clock",), _refine_clock),
    "timezone": AxisCause("env.timezone"),
    "locale": AxisCause("env.locale"),
    "cwd": AxisCause("env.cwd", ("cwd", "relative")),
    "env": AxisCause("env.variable", refine=_refine_env),
    "cpu_count": AxisCause("env.cpu_affinity", ("cores",)),
    "memory": AxisCause("memory.uninitialised", is_placed_by_source=True),
    "schedule": AxisCause("race.threads", ("unordered", "thread", "process")),
    "device": AxisCause("device.kernels"),
    "python": AxisCause("env.packages"),
    "host": AxisCause("env.machine"),
}


def name_axis(
    axis: str, result: TestResult, runs: AxisRuns | None = None, unwritten: Location | None = None
) -> Cause | None:
    """Return the cause of a blamed axis, or None where nothing was shown, or for an argument of the test.

    Parameters
    ----------
    axis : str
    result : TestResult
    runs : AxisRuns, optional
        Two watched runs, if there were any.
    unwritten : Location, optional
        The one line that leaves memory unwritten, where watching hid the difference.
    """
    known = AXES.get(axis)
    if known is None or result.matrix.get(axis) != "diverged":
        return None
    components = result.components.get(axis, [])
    code = f"{axis}.{components[0]}" if components else known.code
    location, library = unwritten if known.is_placed_by_source else None, ""
    if runs is not None:
        code = known.refine(code, runs) if known.refine is not None else code
        sightings = _reads(runs) if axis == "env" else runs.sightings(*known.places)
        location = choose_place(sightings, runs.place) or location
        library = find_library(sightings, location)
    statement = read_source(location.file, location.line) if location is not None else ""
    fix = fix_of(code, library, statement)
    return Cause(code, axis, _describe(axis, code, result, library), fix, "probed", location)


def _describe(axis: str, code: str, result: TestResult, library: str) -> str:
    along = [comparison for run, comparison in result.comparisons if axis in run.condition.as_dict()]
    differing = sum(bool(comparison.divergences) for comparison in along)
    counts = f"{differing} of {len(along)} runs" if along else "runs"
    others = [name for name, cell in result.matrix.items() if cell in ("identical", "within_tolerance")]
    parts = [
        f"{counts} with another value of {axis} differed, and runs with the same one were identical: ",
        meaning_of(code),
        f", read inside {library}" if library else "",
        f"; {', '.join(components)} alone makes them differ" if (components := result.components.get(axis)) else "",
        f"; varied alone, {', '.join(others)} changed nothing" if others else "",
    ]
    return "".join(parts)


def find_libraries(differs: Callable[[Condition], bool], value: JSON) -> Iterator[str]:
    """Find the libraries whose own switch alone makes a run differ, once the axis `isa` is to blame.

    Parameters
    ----------
    differs : callable (Condition) -> bool
        Runs the test under the baseline's condition with this one on top, and returns whether it diverges.
    value : JSON
        The value of the axis that diverged: a level, or a dict of switches.

    Yields
    ------
    str
        Each as soon as it is found, since the budget may end before the next. None if only several together differ.
    """
    level = find_axis("isa").environment(value)
    # Those of a framework that is loaded come first, and those of one that is not come last.
    ranks = {library: 0 if package in sys.modules else 2 for library, package in _SUGGESTED_BY.items()}
    for library in sorted(_SWITCHES, key=lambda library: ranks.get(library, 1)):
        own: dict[str, JSON] = {name: text for name in _SWITCHES[library] if (text := level.get(name)) is not None}
        if own and differs(Condition((("isa", own),))):
            yield library
