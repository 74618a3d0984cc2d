"""From what held the runs together to a cause: its code, its evidence in a sentence, its place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pytest_repro.diagnosis.catalogue import fix_of, meaning_of
from pytest_repro.diagnosis.observing import Finding, Observation
from pytest_repro.diagnosis.uses import code_in, find_uses, is_looked_up, location_at
from pytest_repro.model import Cause, FirstDivergence, Location, TraceRow
from pytest_repro.sources.sources import FROM_COMPILED_CODE

#: Operations that compute every element by itself, in more than one rounding.
_ELEMENTWISE = frozenset({
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "celu", "cos", "cosh", "digamma", "elu", "erf", "erfc",
    "erfinv", "exp", "exp2", "expm1", "gelu", "hardswish", "lgamma", "log", "log10", "log1p", "log2", "log_sigmoid",
    "log_sigmoid_forward", "logaddexp", "logit", "mish", "pow", "rsqrt", "selu", "sigmoid", "silu", "sin", "sinc",
    "sinh", "softplus", "sqrt", "tan", "tanh", "xlogy",
})  # fmt: skip
#: Pin -> what was done, as evidence says it.
HELD = {
    "entropy": "with the operating system's entropy held still",
    "workers": "with the operating system's entropy held still in the worker processes",
    "names": "with the names of temporary files held still",
    "time": "with the clock held still",
    "pid": "with the process id held still",
    "disk": "with the files that earlier runs left moved aside",
    "mtime": "with the times of files held still",
    "listing": "with listings sorted",
    "order": "with results taken in the order of the tasks",
    "serial": "with one task running at a time",
    "inline": "with the workers' tasks done in one process, whose generators are seeded",
    "foreign": "with the generators of other libraries seeded (numba, polars, ONNX Runtime, SQLite, C)",
    "threads": "with one thread in each numerical library",
    "omp": "with one OpenMP thread",
    "memory": "with new memory filled with one byte",
    "hash": "with PYTHONHASHSEED fixed",
    "address": "with addresses not randomised",
    "heap": "with new objects laid one by one into fresh memory",
    "shift": "with the addresses of new objects left as they are",
}
#: Pin -> its code where nothing seen tells more.
_CODES = {
    "workers": "rng.worker_unseeded",
    "names": "rng.os_entropy",
    "pid": "process.pid",
    "disk": "state.disk",
    "mtime": "fs.mtime",
    "listing": "fs.order",
    "order": "race.completion_order",
    "serial": "race.threads",
    "inline": "rng.worker_unseeded",
    "foreign": "rng.foreign_state",
    "threads": "race.kernel",
    "omp": "race.kernel",
    "memory": "memory.uninitialised",
    "hash": "hash.str_hashseed",
}
#: Kind of sighting: an interpreter of Python is started, in which no source is seen.
STARTED = "interpreter"
#: Pin -> kinds of sightings that tell its place.
_PLACES = {
    "entropy": ("reseed", "entropy", STARTED),
    "workers": ("loader", "process"),
    "names": ("tempname",),
    "time": ("clock", STARTED),
    "pid": ("pid", STARTED),
    "disk": ("left",),
    "mtime": ("mtime",),
    "listing": ("listing",),
    "order": ("unordered",),
    "serial": ("thread", "process"),
    "inline": ("loader", "process"),
    "address": ("id",),
    "heap": ("id",),
    "shift": ("id",),
}
#: How the watch tells a generator.
_GENERATOR = re.compile(
    r"\b(RandomState|Generator|SeedSequence|PCG64(DXSM)?|MT19937|Philox|SFC64|Random|PRNGKeyArray)\b"
)
#: How code asks where something lies, which needs no hash.
_ADDRESS = re.compile(r"\bid\(|data_ptr\(|\.ctypes\.data\b|__array_interface__|\baddressof\(|\brepr\(|!r\}")
_OWN_ADDRESS, _HASH = re.compile(r"\bid\(|data_ptr\(|\baddressof\("), re.compile(r"\bhash\(")
#: What may be a cache, by the name of its type.
_MAPPINGS = ("dict", "OrderedDict", "defaultdict", "WeakValueDictionary")
_DURATIONS = ("monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time")


def name_finding(
    finding: Finding, first: Location | None = None, *, seeds: bool = False, callers: Iterable[str] = ()
) -> list[Cause]:
    """Return the causes that a finding stands for.

    Parameters
    ----------
    finding : Finding
    first : Location, optional
        Where the first value differed, from the traces of two runs.
    seeds : bool
        Whether a generator is among the values that differ there: it was seeded from what differs.
    callers : iterable of str
        Functions that led there, the nearest first.
    """
    if finding.state is not None:
        return [_name_state(finding, first, list(callers))]
    return [_name_pin(pin, finding, first, seeds=seeds) for pin in finding.pins]


def _name_pin(pin: str, finding: Finding, first: Location | None, *, seeds: bool) -> Cause:
    sightings = _sightings_of(pin, finding)
    code = "time.seed" if pin == "time" and seeds else _code_of(pin, finding, sightings, first)
    if code == "rng.reseeded_from_entropy":
        sightings = [entry for entry in sightings if entry["kind"] == "reseed"]
    location = choose_place(sightings, first)
    together = f" (together with {', '.join(p for p in finding.pins if p != pin)})" if len(finding.pins) > 1 else ""
    evidence = (
        f"{HELD[pin]}{together}, {finding.runs} of {finding.runs} runs agree, where {finding.differing} differ: "
        f"{meaning_of(code)}"
    )
    if pin == "disk":
        names = dict.fromkeys(Path(str(entry["detail"])).name for entry in sightings)
        evidence += f" ({', '.join(list(names)[:3])})"
    library = library_at(sightings, location)
    if location is not None and sightings:
        evidence += f", reached in {Path(location.file).name}:{location.line}{f' inside {library}' if library else ''}"
        if all(entry["kind"] == STARTED for entry in sightings):
            evidence += ", by the interpreter that is started there"
    return Cause(code, "", evidence, fix_of(code, library), "probed", location)


def _sightings_of(pin: str, finding: Finding) -> list[dict[str, Any]]:
    if finding.pair is None:
        return []
    found = finding.pair[0].sightings(*_PLACES.get(pin, ()))
    found = found or finding.pair[1].sightings(*_PLACES.get(pin, ()))
    # What this process reaches itself says more.
    return [entry for entry in found if entry["kind"] != STARTED] or found


def _code_of(pin: str, finding: Finding, sightings: list[dict[str, Any]], first: Location | None) -> str:
    if pin == "entropy":
        near = [entry for entry in sightings if first and (entry["file"], entry["line"]) == (first.file, first.line)]
        if sightings and all(entry["detail"] == FROM_COMPILED_CODE for entry in near or sightings):
            return "rng.foreign_state"
        is_reseed = any(entry["kind"] == "reseed" for entry in sightings)
        return "rng.reseeded_from_entropy" if is_reseed else "rng.os_entropy"
    if pin in ("address", "heap", "shift"):
        asks = bool(sightings) or (first is not None and _ADDRESS.search(code_in(first.source)) is not None)
        return "process.address" if asks else "hash.address"
    if pin == "time":
        return _code_of_time(finding, sightings)
    if pin == "serial" and sightings and all(entry["kind"] == "process" for entry in sightings):
        return "race.completion_order"
    return _CODES[pin]


def _code_of_time(finding: Finding, sightings: list[dict[str, Any]]) -> str:
    """Tell what the time was used for by what differs: seeds, the number of readings, or the reading itself."""
    assert finding.pair is not None
    one, other = finding.pair
    if gives_other_seeds(one, other):
        return "time.seed"
    if _readings(one) != _readings(other):
        return "time.budget"
    details = {str(entry["detail"]) for entry in sightings}
    return "time.autotune" if details and details <= set(_DURATIONS) else "time.now"


def name_order(first: FirstDivergence, place: Location | None, *, shares_hash_seed: bool) -> Cause | None:
    """Return the cause of a set's order by the set itself, where no run could be made to hold it still.

    Parameters
    ----------
    shares_hash_seed : bool
        Whether the runs had one hash seed, or others did not help: else the hashes of strings may be it.
    """
    if first.reordered not in ("address", "iteration") or not shares_hash_seed:
        return None
    takes = "holds" if first.reordered == "address" else "takes"
    evidence = (
        f"the first value that differs, {first.name}, {takes} the same elements in both runs in another order, with "
        f"the same hash seed: {meaning_of('hash.address')}"
    )
    return Cause("hash.address", "", evidence, fix_of("hash.address"), "seen", place)


def name_address(first: FirstDivergence, place: Location | None, *, shares_hash_seed: bool) -> Cause | None:
    """Return the cause of a value that is made of an address where no run could be made to hold it still.

    Parameters
    ----------
    shares_hash_seed : bool
        As for :func:`name_order`.
    """
    source = code_in(first.source) if first.flows else ""  # an address may be asked for and go nowhere
    if _OWN_ADDRESS.search(source):
        code, asks = "process.address", "asks where an object lies"
    elif shares_hash_seed and _HASH.search(source):
        code, asks = "hash.address", "asks for a hash, which differs with the same hash seed"
    else:
        return None
    evidence = f"the statement of the first value that differs, {first.name}, {asks}: {meaning_of(code)}"
    return Cause(code, "", evidence, fix_of(code), "seen", place)


def gives_other_seeds(one: Observation, other: Observation) -> bool:
    """Tell whether generators are given other seeds, and not the same ones, of which one run came to more."""
    seeds, others = (
        {(entry["detail"], entry["line"]) for entry in observation.sightings("seeding")} for observation in (one, other)
    )
    return not (seeds <= others or others <= seeds)


def _readings(observation: Observation) -> int:
    return sum(int(entry["count"]) for entry in observation.sightings("clock"))


def tells_generator(rows: list[TraceRow], place: Location) -> bool:
    """Tell whether a generator differs at a place or soon after it, in the rows of the two traces side by side."""
    return any(
        row.differs
        and row.function.rpartition(".")[2] == place.function
        and row.line >= place.line
        and _GENERATOR.search(f"{row.expected} {row.actual}")
        for row in rows
    )


def is_elementwise(op: str) -> bool:
    """Tell whether an operation computes every element by itself, so that only the ends of chunks can differ.

    Parameters
    ----------
    op : str
        As a trace names it: ``aten.sigmoid.default``, ``aten.tanh_.default``, ``aten.gelu_backward.default``.
    """
    name = op.removeprefix("aten.").partition(".")[0].removesuffix("_").removesuffix("_backward")
    return name in _ELEMENTWISE


def choose_place(sightings: list[dict[str, Any]], first: Location | None) -> Location | None:
    """Return where a source was reached: at the first value that differs if one was, else in the same function."""
    if not sightings:
        return first
    if first is not None:
        for key in ("line", "function"):
            for entry in sightings:
                if entry["file"] == first.file and entry[key] == getattr(first, key):
                    return location_at(entry["file"], entry["line"], entry["function"])
    entry = sightings[0]
    return location_at(entry["file"], entry["line"], entry["function"])


def library_at(sightings: list[dict[str, Any]], location: Location | None) -> str:
    """Return the library in which a source was reached from a line; "" where the user's own code reaches one there."""
    if location is None:
        return ""
    found = [
        str(entry.get("library", ""))
        for entry in sightings
        if (entry["file"], entry["line"]) == (location.file, location.line)
    ]
    return found[0] if found and all(found) else ""


def _name_state(finding: Finding, first: Location | None, callers: list[str]) -> Cause:
    state = finding.state
    assert state is not None
    kind, name = str(state["kind"]), str(state["name"])
    short = name.rpartition(".")[2]
    if (
        kind == "module_global"
        and str(state.get("now")) in _MAPPINGS
        and is_looked_up(str(state.get("file", "")), short)
    ):
        kind = "cache"
    code = "memory.stale_buffer" if kind == "stale_buffer" else f"state.{kind}"
    was, now = str(state.get("was", "")), str(state.get("now", ""))
    change = f" ({was} -> {now})" if was != now and was and now else ""
    what = f"the flag ({name})" if kind == "framework_flag" else f"{name}{change}"
    evidence = (
        f"the first run of each process agrees, the second in one process differs; with {what} put back to "
        f"what it was before the first, the second agrees too: {meaning_of(code)}"
    )
    return Cause(code, "", evidence, fix_of(code), "state", _place_of_state(state, first, callers))


def _place_of_state(state: dict[str, Any], first: Location | None, callers: list[str]) -> Location | None:
    """Return the line that uses what leaked, in the function of the first difference or the nearest that led there."""
    name = str(state["name"]).rpartition(".")[2].partition("(")[0]
    found = find_uses(str(state.get("file", "")), name)
    if state.get("kind") == "mutable_default" and (own := [place for place in found if place.function == name]):
        return own[0]  # a call shows nothing of a default
    if first is not None:
        same = [place for place in found if place.function == first.function and place.file == first.file]
        above = [place for caller in callers for place in found if place.function == caller.rpartition(".")[2]]
        return next(iter([*same, *above]), first)
    return found[0] if found else None
