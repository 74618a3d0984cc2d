"""A test's result as JSON, and the file of ``--repro-json`` (docs/schemas/repro-json-1.schema.json)."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_repro.errors import StoreError
from pytest_repro.model import ArtifactComparison, Cause, EquivalenceFinding, RunResult, TestResult
from pytest_repro.reporting.steps import steps_to_json

SCHEMA_VERSION = 1
#: Of a report that is read: one is read whole.
MAX_BYTES = 512 * 2**20
#: Beyond it a JavaScript reader would round the integer.
LARGEST_SAFE_INTEGER = 2**53
#: Divergences told per run; the rest are counted.
MAX_DIVERGENCES = 1000


def result_to_json(result: TestResult) -> dict[str, Any]:
    """Return a result in built-in types only, as the schema lays down."""
    divergences = [
        _divergence(run, difference, result.blamed.get(run.index))
        for run, comparison in result.comparisons
        for difference in comparison.divergences[:MAX_DIVERGENCES]
    ]
    asserted = [(run, f, comparison) for run in result.runs for f in run.equivalences for _, comparison in f.trials]
    divergences += [
        {"run": run.index, "axis": finding.axis, "axes": [finding.axis], **figures_to_json(difference)}
        for run, finding, comparison in asserted
        for difference in comparison.divergences[:MAX_DIVERGENCES]
    ]
    compared = [comparison for _, comparison in result.comparisons] + [comparison for *_, comparison in asserted]
    tolerated = [difference for comparison in compared for difference in comparison.tolerated]
    return {
        "nodeid": result.nodeid,
        "verdict": result.verdict.value,
        "seed": result.seed,
        "engine": result.engine,
        "runs": [_run(run) for run in result.runs],
        "divergences": divergences,
        "divergences_left_out": sum(len(c.divergences) for c in compared) - len(divergences),
        "largest_tolerated": figures_to_json(min(tolerated, key=lambda d: d.severity)) if tolerated else None,
        "compared": {
            "artifacts": max((c.artifacts for c in compared), default=0),
            "elements": _integer(max((c.elements for c in compared), default=0)),
        },
        "matrix": dict(result.matrix),
        "equivalences": [_equivalence(run, finding) for run in result.runs for finding in run.equivalences],
        "record": result.record,
        "reason": result.reason,
        "notes": list(result.notes),
        "repeat_command": result.repeat_command,
        "diagnosis": _diagnosis(result),
        "steps": steps_to_json(result, figures_to_json),
    }


def write_json_report(path: Path, document: Mapping[str, Any]) -> None:
    """Write the file whole or not at all."""
    write_whole(path, json.dumps(document, indent=1, ensure_ascii=True, allow_nan=False) + "\n")


def make_document(tests: Iterable[dict[str, Any]], facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the document that holds these results and, where they are known, ``environment`` and ``code``."""
    return {"schema_version": SCHEMA_VERSION, "tests": list(tests), **(facts or {})}


def write_whole(path: Path, text: str) -> None:
    """Write a report whole or not at all; one that stood there is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        # mkstemp makes it private; the report is an ordinary file.
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_document(path: Path, *, most_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Read a file that ``--repro-json`` wrote, or something else that claims to be one.

    Raises
    ------
    StoreError
        If it is too large, or none.
    OSError
        If it cannot be read.
    """
    if (size := path.stat().st_size) > most_bytes:
        raise StoreError(f"{path.name}: {size:,} bytes are more than a report may have ({most_bytes:,})")
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_int=_integer_of_text)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise StoreError(f"{path.name} is no report of --repro-json: {str(error)[:200]}") from None
    if not isinstance(document, dict):
        raise StoreError(f"{path.name} is no report of --repro-json: it is no object")
    return document


def _integer_of_text(text: str) -> int:
    if len(text) > 40:
        raise ValueError(f"an integer of {len(text):,} digits")
    return int(text)


def _run(run: RunResult) -> dict[str, Any]:
    return {
        "index": run.index,
        "condition": run.condition.as_dict(),
        "outcome": run.outcome,
        "duration_s": round(run.duration_s, 6),
        "digest": run.digest,
        "reason": run.reason,
        "settings": dict(run.settings),
    }


def _equivalence(run: RunResult, finding: EquivalenceFinding) -> dict[str, Any]:
    return {
        "run": run.index,
        "axis": finding.axis,
        "assertion": finding.name,
        "verdict": finding.verdict.value,
        "trials": [{"varied": varied, "verdict": comparison.verdict.value} for varied, comparison in finding.trials],
        "first": finding.first,
        "message": finding.message,
        "notes": list(finding.notes),
    }


def _divergence(run: RunResult, difference: ArtifactComparison, blamed: list[str] | None) -> dict[str, Any]:
    axes = [axis for axis, _ in run.condition] if blamed is None else blamed
    return {"run": run.index, "axis": axes[0] if len(axes) == 1 else None, "axes": axes, **figures_to_json(difference)}


def _diagnosis(result: TestResult) -> dict[str, Any] | None:
    found = result.diagnosis
    if not result.causes and found is None:
        return None
    agreeing = [axis for axis, cell in result.matrix.items() if cell in ("identical", "within_tolerance")]
    return {
        "causes": [_cause(cause) for cause in result.causes],
        "first_divergence": found.first_divergence if found else None,
        "ruled_out": list(dict.fromkeys(agreeing + (found.ruled_out if found else []))),
        "seconds": found.seconds if found else 0.0,
        # Without a diagnosis the place in the user's code has not been looked for.
        "complete": found.complete if found else False,
        "rows": found.rows if found else [],
    }


def _cause(cause: Cause) -> dict[str, Any]:
    place = cause.location
    return {
        "code": cause.code,
        "axis": cause.axis or None,
        "confidence": cause.confidence,
        "location": None
        if place is None
        else {"file": place.file, "line": place.line, "function": place.function, "source": place.source},
        "evidence": cause.evidence,
        "fix": cause.fix,
    }


def figures_to_json(difference: ArtifactComparison) -> dict[str, Any]:
    """Return every figure of one artifact that differs, in built-in types."""
    return {
        "artifact": difference.artifact,
        "kind": difference.kind,
        "dtype": difference.dtype or None,
        "shape": None if difference.shape is None else list(difference.shape),
        "elements": _integer(difference.elements),
        "differing": _integer(difference.differing),
        "over": _integer(difference.over),
        "max_ulp": _integer(difference.max_ulp),
        "max_abs": _number(difference.max_abs),
        "max_rel": _number(difference.max_rel),
        "norm_rel": _number(difference.norm_rel),
        "first_index": None if difference.first_index is None else list(difference.first_index),
        "expected": difference.expected,
        "actual": difference.actual,
        "allowed": difference.allowed,
        "minimum": difference.minimum,
        "error_ratio": _number(difference.error_ratio),
        "note": difference.note,
        "ulp_histogram": [_integer(count) for count in difference.ulp_histogram],
    }


def _integer(value: int | None) -> int | str | None:
    if value is None or abs(value) <= LARGEST_SAFE_INTEGER:
        return None if value is None else int(value)
    return str(int(value))


def _number(value: float | None) -> float | str | None:
    """JSON has no infinity and no NaN; a reader gets them as text."""
    if value is None:
        return None
    return float(value) if math.isfinite(value) else str(float(value))
