"""The document of ``--repro-json`` as typed values; not trusted until every part that is shown was looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_repro.errors import StoreError
from pytest_repro.model import KIND_ORDER, Verdict
from pytest_repro.reporting.matrix import CELLS

#: Keys of a place in the user's code, in the order in which they are told.
PLACE = ("file", "line", "function", "name", "step", "module", "op")
_VERDICTS = frozenset(verdict.value for verdict in Verdict)


@dataclass(frozen=True, slots=True)
class Difference:
    """One artifact that differs from run 1, or from a record (`run` is 0)."""

    run: int
    axes: tuple[str, ...]
    artifact: str
    kind: str
    within: bool
    dtype: str
    shape: str
    elements: int
    differing: int
    max_ulp: int | None
    max_abs: float | None
    max_rel: float | None
    norm_rel: float | None
    first_index: str
    expected: str
    actual: str
    allowed: str
    minimum: str
    histogram: tuple[int, ...]

    @property
    def rank(self) -> tuple[int, int, float, float]:
        """Sort key: beyond the bounds first, then structural, then the farthest."""
        ulp = math.inf if self.max_ulp is None else float(self.max_ulp)
        return (int(self.within), KIND_ORDER.index(self.kind), -ulp, -(self.max_abs or 0.0))


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what it was given, how it ended, what it gave."""

    index: int
    condition: dict[str, Any]
    outcome: str
    duration_s: float
    digest: str | None
    reason: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Point:
    """How far one step's value is from run 1's; a figure is None where it does not apply."""

    step: int
    kind: str
    max_abs: float | None
    norm_rel: float | None


@dataclass(frozen=True, slots=True)
class Series:
    """One value over the steps of one run: how far it is at each, and at how many it differs."""

    name: str
    run: int
    captured: int
    differing: int
    first_differing: int
    points: tuple[Point, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Cause:
    """Why runs differ."""

    code: str
    axis: str
    confidence: str
    place: dict[str, str]
    evidence: str
    fix: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found out about a divergence."""

    causes: tuple[Cause, ...]
    place: dict[str, str]
    ruled_out: tuple[str, ...]
    seconds: float
    complete: bool


@dataclass(frozen=True, slots=True)
class Circumstance:
    """One thing that differs between where a record was made and here."""

    part: str
    name: str
    recorded: Any
    here: Any
    changes_bits: bool
    confirm: str


@dataclass(frozen=True, slots=True)
class Record:
    """What became of a test's record."""

    status: str
    path: str
    reason: str
    replaced: str
    tier: str
    tier_reason: str
    differences: tuple[Difference, ...]
    circumstances: tuple[Circumstance, ...]


@dataclass(frozen=True, slots=True)
class Test:
    """One test's result."""

    __test__ = False

    nodeid: str
    verdict: str
    seed: int
    engine: str
    runs: tuple[Run, ...]
    divergences: tuple[Difference, ...]
    left_out: int
    tolerated: Difference | None
    artifacts: int
    elements: int
    matrix: dict[str, str]
    record: Record | None
    reason: str
    notes: tuple[str, ...]
    repeat_command: str
    diagnosis: Diagnosis | None
    steps: tuple[Series, ...]


def parse_tests(document: Mapping[str, Any]) -> list[Test]:
    """Return the tests of a document.

    Raises
    ------
    StoreError
        Naming the first place that is not as the schema lays down (docs/schemas/repro-json-1.schema.json).
    """
    version = document.get("schema_version")
    if version != 1 or isinstance(version, bool):
        told = str(version)[:40] if isinstance(version, (int, str)) else "not there"
        raise StoreError(f"schema_version is {told}; this release reads 1 (reports of --repro-json)")
    return [
        _test(_Part(entry, f"tests[{n}]")) for n, entry in enumerate(_Part(document, "").entries("tests", _REQUIRED))
    ]


def parse_facts(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``environment`` and ``code`` of a document; empty where it has none, as documents of older releases.

    Raises
    ------
    StoreError
        If one of them is no object.
    """
    part = _Part(document, "")
    return {name: found for name in ("environment", "code") if (found := part.mapping(name))}


class _Part:
    """One object of the document: its fields by type, and where it stands for the message."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, Mapping):
            raise StoreError(f"{where or 'the report'} is no object")
        self._value = value
        self._where = where

    def _get(self, key: str, kinds: tuple[type, ...], default: Any, word: str) -> Any:
        found = self._value.get(key)
        if found is None:
            if default is _REQUIRED:
                raise StoreError(f"{self._place(key)} is missing")
            return default
        if not isinstance(found, kinds) or (isinstance(found, bool) and bool not in kinds):
            raise StoreError(f"{self._place(key)} is no {word}")
        return found

    def _place(self, key: str) -> str:
        return f"{self._where}.{key}".lstrip(".")

    def text(self, key: str, default: Any = "") -> str:
        return str(self._get(key, (str,), default, "text"))

    def choice(self, key: str, allowed: Any) -> str:
        found = self.text(key, _REQUIRED)
        if found not in allowed:
            raise StoreError(f"{self._place(key)} is {found[:40]!r}, none of {', '.join(sorted(allowed))}")
        return found

    def flag(self, key: str, default: bool = False) -> bool:
        return bool(self._get(key, (bool,), default, "truth value"))

    def count(self, key: str, default: Any = 0) -> int:
        found = self.optional_count(key)
        if found is None:
            if default is _REQUIRED:
                raise StoreError(f"{self._place(key)} is missing")
            return int(default)
        return found

    def optional_count(self, key: str) -> int | None:
        return _count(self._get(key, (int, str), None, "count"), self._place(key))

    def number(self, key: str) -> float | None:
        found = self._get(key, (int, float, str), None, "number")
        if isinstance(found, str) and found not in ("inf", "-inf", "nan"):
            raise StoreError(f"{self._place(key)} is no number")
        return None if found is None else float(found)

    def entries(self, key: str, default: Any = ()) -> list[Any]:
        return [*self._get(key, (list, tuple), default, "list")]

    def texts(self, key: str) -> tuple[str, ...]:
        found = self.entries(key)
        if not all(isinstance(entry, str) for entry in found):
            raise StoreError(f"{self._place(key)} holds something that is no text")
        return tuple(found)

    def mapping(self, key: str) -> dict[str, Any]:
        return {str(name): value for name, value in self._get(key, (Mapping,), {}, "object").items()}

    def part(self, key: str) -> _Part | None:
        found = self._value.get(key)
        return None if found is None else _Part(found, self._place(key))

    def parts(self, key: str) -> list[_Part]:
        return [_Part(entry, f"{self._place(key)}[{n}]") for n, entry in enumerate(self.entries(key))]

    def index(self, key: str) -> str:
        found = self._get(key, (list, tuple), None, "list")
        if found is None:
            return ""
        return f"({', '.join(str(_count(size, self._place(key))) for size in found[:64])})"

    def anything(self, key: str) -> Any:
        return self._value.get(key)


_REQUIRED: Any = object()


def _count(value: Any, where: str) -> int | None:
    """Read a count: an integer, or beyond 2**53 its digits as text."""
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 40:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise StoreError(f"{where} is no count")
    return value


def _test(part: _Part) -> Test:
    compared, record, diagnosis = part.part("compared"), part.part("record"), part.part("diagnosis")
    tolerated = part.part("largest_tolerated")
    matrix = part.part("matrix")
    return Test(
        nodeid=part.text("nodeid", _REQUIRED),
        verdict=part.choice("verdict", _VERDICTS),
        seed=part.count("seed", _REQUIRED),
        engine=part.text("engine"),
        runs=tuple(_run(run) for run in part.parts("runs")),
        divergences=tuple(_difference(d) for d in part.parts("divergences")),
        left_out=part.count("divergences_left_out"),
        tolerated=_difference(tolerated, within=True) if tolerated else None,
        artifacts=compared.count("artifacts") if compared else 0,
        elements=compared.count("elements") if compared else 0,
        matrix={axis: matrix.choice(axis, CELLS) for axis in part.mapping("matrix")} if matrix else {},
        record=_record(record) if record else None,
        reason=part.text("reason"),
        notes=part.texts("notes"),
        repeat_command=part.text("repeat_command"),
        diagnosis=_diagnosis(diagnosis) if diagnosis else None,
        steps=tuple(_series(series) for series in part.parts("steps")),
    )


def _run(part: _Part) -> Run:
    return Run(
        index=part.count("index", _REQUIRED),
        condition=part.mapping("condition"),
        outcome=part.text("outcome"),
        duration_s=part.number("duration_s") or 0.0,
        digest=part.text("digest") or None,
        reason=part.text("reason"),
        settings=part.mapping("settings"),
    )


def _difference(part: _Part, *, within: bool = False) -> Difference:
    return Difference(
        run=part.count("run"),
        axes=part.texts("axes"),
        artifact=part.text("artifact"),
        kind=part.choice("kind", KIND_ORDER),
        within=part.flag("within", within),
        dtype=part.text("dtype"),
        shape=part.index("shape"),
        elements=part.count("elements"),
        differing=part.count("differing"),
        max_ulp=part.optional_count("max_ulp"),
        max_abs=part.number("max_abs"),
        max_rel=part.number("max_rel"),
        norm_rel=part.number("norm_rel"),
        first_index=part.index("first_index"),
        expected=part.text("expected"),
        actual=part.text("actual"),
        allowed=part.text("allowed"),
        minimum=part.text("minimum"),
        histogram=tuple(_count(count, "ulp_histogram") or 0 for count in part.entries("ulp_histogram")[:200]),
    )


def _record(part: _Part) -> Record:
    return Record(
        status=part.text("status", _REQUIRED),
        path=part.text("path"),
        reason=part.text("reason"),
        replaced=part.text("replaced"),
        tier=part.text("tier"),
        tier_reason=part.text("tier_reason"),
        differences=tuple(_difference(d) for d in part.parts("differences")),
        circumstances=tuple(
            Circumstance(
                part=c.text("part"),
                name=c.text("name"),
                recorded=c.anything("recorded"),
                here=c.anything("here"),
                changes_bits=c.flag("changes_bits"),
                confirm=c.text("confirm"),
            )
            for c in part.parts("circumstances")
        ),
    )


def _diagnosis(part: _Part) -> Diagnosis:
    return Diagnosis(
        causes=tuple(
            Cause(
                code=cause.text("code", _REQUIRED),
                axis=cause.text("axis"),
                confidence=cause.text("confidence"),
                place=_place(cause.part("location")),
                evidence=cause.text("evidence"),
                fix=cause.text("fix"),
            )
            for cause in part.parts("causes")
        ),
        place=_place(part.part("first_divergence")),
        ruled_out=part.texts("ruled_out"),
        seconds=part.number("seconds") or 0.0,
        complete=part.flag("complete"),
    )


def _place(part: _Part | None) -> dict[str, str]:
    if part is None:
        return {}
    found = {key: part.anything(key) for key in PLACE}
    return {key: str(value) for key, value in found.items() if isinstance(value, (str, int)) and str(value)}


def _series(part: _Part) -> Series:
    return Series(
        name=part.text("name", _REQUIRED),
        run=part.count("run", _REQUIRED),
        captured=part.count("captured"),
        differing=part.count("differing"),
        first_differing=part.count("first_differing"),
        points=tuple(
            Point(point.count("step", _REQUIRED), point.text("kind"), point.number("max_abs"), point.number("norm_rel"))
            for point in part.parts("points")
        ),
        left_out=part.count("left_out"),
    )
