"""Results for machines: the document of ``--repro-json``, and the properties of JUnit's file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from pytest_repro.errors import StoreError
from pytest_repro.model import ArtifactComparison, Judgement, RunResult, TestResult
from pytest_repro.model.codec import encode
from pytest_repro.model.reading import check_count, parse_json, read_file
from pytest_repro.model.redaction import redact_condition, redact_name, redact_texts
from pytest_repro.model.reported import (
    Compared,
    MatrixCell,
    Omission,
    ReportedDiagnosis,
    ReportedEquivalence,
    ReportedRun,
    ReportedSession,
    ReportedTest,
    ReportedTrial,
    RunDifference,
    ToleratedDifference,
    decode_session,
    encode_session,
    published_figures,
)
from pytest_repro.model.text import escape_texts
from pytest_repro.reporting.steps import make_series

#: Largest report that is read [bytes]: it is read at once.
MAX_BYTES = 512 * 2**20
#: Divergences published per comparison; the rest are counted.
MAX_DIVERGENCES = 1000
#: Values that were not compared, published per test; the rest are counted.
MAX_OMISSIONS = 1000
#: Cells of the matrix of axes that changed nothing.
_HARMLESS = ("identical", "within_tolerance")


def result_to_json(result: TestResult) -> dict[str, Any]:
    """Return a test's entry of the document, in built-in types only, with texts that every encoder takes.

    Secrets are removed here, so that neither a report nor evidence nor another process gets them.
    """
    # Only here, where a result leaves its process: escaping an escaped text would change it again.
    document: dict[str, Any] = escape_texts(redact_texts(encode(report_result(result))))
    return document


def report_result(result: TestResult) -> ReportedTest:
    """Return the published form of a test's result."""
    # A comparison of each run and each trial, with the axes that it varied or is blamed on.
    found = [(run, result.blamed.get(run.index, [*run.condition.as_dict()]), c) for run, c in result.comparisons]
    found += [(run, [f.axis], c) for run in result.runs for f in run.equivalences for _, c in f.trials]
    divergences = [
        _divergence(run, axes, difference)
        for run, axes, comparison in found
        for difference in comparison.divergences[:MAX_DIVERGENCES]
    ]
    compared = [comparison for *_, comparison in found]
    tolerated = min((d for c in compared for d in c.tolerated), key=lambda d: d.severity, default=None)
    return ReportedTest(
        nodeid=redact_name(result.nodeid),
        verdict=result.verdict,
        seed=result.seed,
        engine=result.engine,
        runs=tuple(map(_run, result.runs)),
        divergences=tuple(divergences),
        divergences_left_out=sum(len(c.divergences) for c in compared) - len(divergences),
        largest_tolerated=None if tolerated is None else ToleratedDifference(**published_figures(tolerated)),
        compared=Compared(
            max((c.artifacts for c in compared), default=0), max((c.elements for c in compared), default=0)
        ),
        matrix=cast("dict[str, MatrixCell]", result.matrix),
        equivalences=tuple(equivalence for run in result.runs for equivalence in _equivalences(run)),
        record=result.record,
        reason=result.reason,
        notes=(*result.notes, *_changed_inputs(result)),
        repeat_command=result.repeat_command,
        diagnosis=_diagnosis(result),
        steps=make_series(result),
        not_compared=tuple(
            Omission(value.name, value.type_name, value.reason) for value in result.not_compared[:MAX_OMISSIONS]
        ),
        hints=_hints(result),
        not_compared_left_out=max(0, len(result.not_compared) - MAX_OMISSIONS),
        data=result.runs[0].inputs.get("data", {}) if result.runs else {},
        config=result.runs[0].inputs.get("config", {}) if result.runs else {},
    )


def judgements_to_json(found: Mapping[Judgement, int]) -> list[list[Any]]:
    """Return what assertions found as a list of (assertion, verdict, message, count), in built-in types."""
    return [[j.assertion, j.verdict, escape_texts(redact_texts(j.message)), count] for j, count in found.items()]


def _changed_inputs(result: TestResult) -> list[str]:
    """Return a note for data or hyperparameters that were others in a later run than in run 1."""
    notes: dict[str, None] = {}
    for run in result.runs[1:]:
        for kind in ("data", "config"):
            first, found = result.runs[0].inputs.get(kind, {}), run.inputs.get(kind, {})
            names = [name for name in first if name in found and found[name] != first[name]]
            notes |= {f"repro.{kind} {name!r} was not the same in run {run.index} as in run 1": None for name in names}
    return [*notes]


def _hints(result: TestResult) -> tuple[str, ...]:
    """Return what passing runs were seen to reach and none of them varied."""
    if not result.verdict or not any(run.reached for run in result.runs):
        return ()
    from pytest_repro.sources.reached import find_hints

    varied = {axis for axis, cell in result.matrix.items() if cell in _HARMLESS}
    varied |= {name for run in result.runs for name, _ in run.condition}
    return tuple(find_hints([run.reached for run in result.runs], varied))


def _divergence(run: RunResult, axes: list[str], difference: ArtifactComparison) -> RunDifference:
    axis = axes[0] if len(axes) == 1 else None
    return RunDifference(**published_figures(difference), run=run.index, axis=axis, axes=tuple(axes))


def _run(run: RunResult) -> ReportedRun:
    condition, duration_s = redact_condition(run.condition.as_dict()), round(run.duration_s, 6)
    return ReportedRun(
        run.index,
        condition,
        run.outcome,
        duration_s,
        run.digest,
        run.reason,
        run.settings,
        run.engine,
        run.interpreter,
        run.tests_before,
    )


def _equivalences(run: RunResult) -> list[ReportedEquivalence]:
    return [
        ReportedEquivalence(
            run=run.index,
            axis=finding.axis,
            assertion=finding.name,
            verdict=finding.verdict.value,
            trials=tuple(ReportedTrial(varied, comparison.verdict.value) for varied, comparison in finding.trials),
            first=finding.first,
            message=finding.message,
            notes=finding.notes,
        )
        for finding in run.equivalences
    ]


def _diagnosis(result: TestResult) -> ReportedDiagnosis | None:
    found = result.diagnosis
    causes, suspected = (
        tuple(replace(cause, axis=cause.axis or None) for cause in found) for found in (result.causes, result.suspected)
    )
    harmless = [axis for axis, cell in result.matrix.items() if cell in _HARMLESS]
    if found is None:
        # Without a diagnosis the place in the user's code was not searched for, so it is not complete.
        if not causes and not suspected:
            return None
        return ReportedDiagnosis(causes, ruled_out=tuple(harmless), suspected=suspected)
    ruled_out = tuple(dict.fromkeys(harmless + found.ruled_out))
    return ReportedDiagnosis(
        causes,
        found.first_divergence,
        ruled_out,
        found.seconds,
        found.complete,
        tuple(found.rows),
        found.cpu_s,
        tuple(found.not_tried),
        suspected,
        found.stopped_by,
    )


def junit_properties(result: TestResult) -> list[tuple[str, object]]:
    """Return ``repro_verdict``, ``repro_seed`` and, where run 1 left artifacts, their ``repro_digest``.

    The values have built-in types, since execnet accepts no others.
    """
    digest = result.runs[0].digest if result.runs else None
    properties: list[tuple[str, object]] = [("repro_verdict", str(result.verdict)), ("repro_seed", result.seed)]
    return properties if digest is None else [*properties, ("repro_digest", digest)]


def write_json_report(path: Path, session: ReportedSession) -> None:
    """Write the document of a session, complete or not at all."""
    write_atomically(path, json.dumps(encode_session(session), indent=1, ensure_ascii=True, allow_nan=False) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Write a report completely or not at all, in place of an older one."""
    from pytest_repro.records.files import replacing  # with NumPy, which not every session loads

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


#: What another document of this package says that it is -> what reads it.
_READERS = {
    "pytest-repro record": "it is the record of a test, which `pytest-repro show` reads",
    "pytest-repro evidence": "it is a part of a bundle of evidence, which `pytest-repro verify` reads",
    "pytest-repro session record": "it is a part of a bundle of evidence, which `pytest-repro verify` reads",
}


def read_report(path: Path) -> ReportedSession:
    """Read a file that ``--repro-json`` wrote, or something else that claims to be one.

    Raises
    ------
    StoreError
        If it is no file, too large, or not such a report; the message names the first place that is wrong.
    OSError
        If it cannot be read.
    """
    try:
        data = read_file(path, max_bytes=MAX_BYTES, advice="run fewer tests in one session", follows_links=True)
        document = parse_json(data, max_bytes=MAX_BYTES)
        if isinstance(document, dict):
            if hint := _READERS.get(str(document.get("format"))):
                raise StoreError(hint)
            check_count(document.get("tests"), "it")
        return decode_session(document)
    except StoreError as error:
        raise StoreError(f"{path.name} is not a report of --repro-json: {str(error)[:200]}") from None
