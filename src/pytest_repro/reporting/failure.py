"""The text of a test's failure, and the lines of a diagnosis. Computes no figure."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from pytest_repro.comparing.message import (
    MAX_SHOWN,
    choose_differences,
    clean,
    describe_difference,
    table_cells,
)
from pytest_repro.errors import ShownError
from pytest_repro.model import (
    ANOTHER_SEED,
    Cause,
    Comparison,
    Condition,
    FirstDivergence,
    Location,
    RunResult,
    TestResult,
    Verdict,
)
from pytest_repro.model.redaction import redact_assignments, redact_condition
from pytest_repro.model.text import MESSAGE_WIDTH, escape_lines
from pytest_repro.reporting.parts import Message, Part, finding, part_lines, plain

_E = TypeVar("_E", bound=ShownError)

#: Axes named in one line; the matrix has them all.
MAX_AXES = 4
#: What made a run, in words.
ENGINE_WORDS = {"in_process": "pytest's own process", "fork": "fork", "spawn": "fresh interpreter"}
#: Runs of which the engine is named; the JSON report has them all.
MAX_ENGINES = 6
#: Conditions listed that are not the cause; the JSON report has them all.
MAX_RULED_OUT = 8
#: Name of a first difference that is no value: an exception leaves the statement in one of the runs.
RAISED = "(raised)"
#: The evidence of a cause that runs have shown: with and without it, then its meaning.
_SHOWN_BY_RUNS = re.compile(r"(?P<runs>with .*?\d+ of \d+ [^;]*; [^:]*): (?P<meaning>.+)", re.DOTALL)
#: A run's outcome, in words.
OUTCOME_WORDS = {
    "passed": "passed",
    "failed": "failed",
    "skipped": "skipped",
    "error": "broke in its setup or teardown",
}


def describe_failure(result: TestResult) -> Message:
    """Describe which run differs from run 1, in what, by how much, what was allowed, why, and how to repeat it."""
    diverged = [(run, comparison) for run, comparison in result.comparisons if comparison.divergences]
    asserted = _assertion_parts(result)
    if not diverged:
        return Message((*asserted, *_closing(result)))
    run, comparison = diverged[0]
    total = max(r.index for r in result.runs)
    heading = _heading(f"Run {run.index} of {total} differs from run 1 ({_circumstances(result, run)})")
    parts = [heading, *_diagnosis(result), *_axis(result, run), *comparison_parts(comparison, result.causes)]
    if len(diverged) > 1:
        parts.append(finding("runs", _other_runs(diverged[1:]), is_detail=True))
    return Message((*parts, *asserted, *_closing(result)))


def comparison_parts(comparison: Comparison, causes: Sequence[Cause] = ()) -> list[Part]:
    """Return the table of the differing artifacts, and the values of the worst of them."""
    differences, heading = choose_differences(comparison)
    if not differences:
        return [Part("title", text=heading)]
    extent = f"{len(differences):,} of {comparison.artifacts:,} artifact{'s' * (comparison.artifacts != 1)}"
    cells = tuple(table_cells(differences[:MAX_SHOWN]))
    parts = [
        Part("title", text=heading, is_detail=True),
        Part("table", text=extent, rows=cells, total=len(differences)),
    ]
    for difference in differences[:MAX_SHOWN]:
        title, rows = describe_difference(difference, [cause.code for cause in causes])
        parts.append(Part("title", text=title, is_detail=True))
        parts += [Part("value", label, text, is_detail=True) for label, text in rows]
    return parts


def _heading(text: str, lead: int = 0) -> Part:
    return Part("heading", text=clean(text.replace("\n", " ")), lead=lead)


def _assertion_parts(result: TestResult) -> list[Part]:
    """Return the messages of the equivalence assertions that diverged, each under its axis and once."""
    found = [f for run in result.runs for f in run.equivalences if f.verdict is Verdict.DIVERGED]
    messages = dict.fromkeys(f"axis {f.axis}: {f.message}" for f in found)
    return [Part("text", "asserted", escape_lines(redact_assignments(message))) for message in messages]


def describe_inconclusive(result: TestResult) -> Message:
    """Describe why a test is inconclusive."""
    return Message((_heading(f"Inconclusive: {result.reason}", len("Inconclusive:")), *_closing(result)))


def with_message(kind: type[_E], message: Message) -> _E:
    """Return an error with a message, which keeps its parts for the terminal."""
    error = kind(str(message))
    error.summary, error.parts = message.summary, message.to_json()
    return error


def compare_endings(first: RunResult, run: RunResult) -> str:
    """Say in a sentence how run 1 and a run that ended otherwise ended, where and why."""
    return f"{_ending(first)}, {_ending(run)}"


def _ending(run: RunResult) -> str:
    if run.outcome == "passed":
        return f"run {run.index} passed"
    word = "xfailed" if run.ending == "xfailed" else OUTCOME_WORDS[run.outcome]
    place = f" at {_short(run.where)}" if run.where else ""
    return f"run {run.index} {word}{place}: {run.reason}"


def describe_endings(result: TestResult, run: RunResult) -> Message:
    """Describe a run that did not end as run 1 did, with how to repeat it."""
    ended = _heading(compare_endings(result.runs[0], run))
    return Message((ended, finding("runs", _circumstances(result, run)), *_diagnosis(result), *_closing(result)))


def describe_run(result: TestResult, run: RunResult, *, planned: int) -> Message:
    """Describe a run that failed by itself, without a comparison."""
    text = f"run {run.index} of {planned} {OUTCOME_WORDS[run.outcome]} by itself ({_circumstances(result, run)})"
    parts = [_heading(text)]
    if ANOTHER_SEED in run.condition.as_dict():
        parts.append(_heading(f"run 1 passed with seed {result.seed}"))
    elif run.index > 1:
        condition = "another condition" if run.condition.values else "the same condition"
        parts.append(_heading(f"run 1 passed with the same seed and {condition}"))
    return Message((*parts, *_assertion_parts(result), *_diagnosis(result), *_closing(result)))


def describe_own_failure(text: str, described: Message) -> Message:
    """Describe a run that failed in a process of its own: pytest's text of it there, and what is known beyond."""
    return Message((Part("text", "whole", escape_lines(redact_assignments(text))), *described.parts))


def _circumstances(result: TestResult, run: RunResult) -> str:
    """Return the seed and the axes to blame or, where that is open, the first axes that the run varied."""
    blamed = result.blamed.get(run.index)
    shown = redact_condition(run.condition.as_dict())
    values = [(axis, value) for axis, value in shown.items() if not blamed or axis in blamed]
    more = f" and {len(values) - MAX_AXES} more" if len(values) > MAX_AXES else ""
    return f"seed {result.seed}; {Condition(tuple(values[:MAX_AXES])).describe()}{more}"


def _other_runs(others: list[tuple[RunResult, Comparison]]) -> str:
    shown = ", ".join(str(run.index) for run, _ in others[:10])
    more = f" and {len(others) - 10} more" if len(others) > 10 else ""
    return f"also different from run 1: run{'s' if len(others) > 1 else ''} {shown}{more}"


def _axis(result: TestResult, run: RunResult) -> list[Part]:
    """Name the axis to blame, where several were varied or the blame could be shown."""
    if not run.condition.values:
        return []
    blamed = result.blamed.get(run.index, [])
    if not blamed:
        return [finding("axis", "no axis could be blamed")]
    harmless = [axis for axis, cell in result.matrix.items() if cell in ("identical", "within_tolerance")]
    named = ", ".join(harmless) if len(harmless) <= MAX_AXES else f"the other {len(harmless)}"
    verb = "changes" if len(harmless) == 1 else "change"
    others = f"; {named} {verb} nothing when varied alone" if harmless else ""
    return [finding("axis", f"{' and '.join(blamed)}{others}")]


def _diagnosis(result: TestResult) -> list[Part]:
    found = result.diagnosis
    if found is None:
        named = [*_cause_place(result.causes), *cause_parts(result.causes)] if result.causes else []
    else:
        named = diagnosis_parts(found.first_divergence, result.causes, found.ruled_out)
    return [*named, *cause_parts(result.suspected, label="suspect")]


def diagnosis_parts(first: FirstDivergence | None, causes: Sequence[Cause], ruled_out: Sequence[str]) -> list[Part]:
    """Return where the runs start to differ, why, and the fix, or without a cause the sources that are ruled out."""
    place = _first_place(first) if first is not None else _cause_place(causes)
    if causes:
        return [*place, *cause_parts(causes)]
    out = join_labels(ruled_out[:MAX_RULED_OUT])
    return [*place, finding("cause", f"unknown{f'; ruled out: {out}' if out else ''}", lead=len("unknown"))]


def _first_place(first: FirstDivergence) -> list[Part]:
    place, values = _place_and_values(first)
    lead = place.find(" in ")
    shown = [finding("where", place, lead=max(lead, 0))]
    return [*shown, finding("", values, is_detail=True)] if values else shown


def lines_of(parts: Iterable[Part], width: int = MESSAGE_WIDTH) -> list[str]:
    """Return the lines of some parts, without colours."""
    return [plain(line) for part in parts for line in part_lines(part, width)]


def join_labels(ruled_out: Iterable[str]) -> str:
    """Return the names for readers of sources that were ruled out, of which the JSON report has the machine names."""
    # Only now: it loads every source, which a session without a divergence never needs.
    from pytest_repro.sources.registry import label_of

    return ", ".join(dict.fromkeys(map(label_of, ruled_out)))  # several sources are addresses


def cause_parts(causes: Iterable[Cause], *, label: str = "cause") -> list[Part]:
    """Return each cause with its evidence and its fix."""
    parts = []
    for cause in causes:
        parts.append(finding(label, f"{cause.code}: {_meaning_first(cause.evidence)}", lead=len(cause.code)))
        parts.append(finding("fix", f"{_place(cause.location)}{cause.fix}"))
    return parts


def _meaning_first(evidence: str) -> str:
    """Return the text of a cause with its meaning before the runs that showed it, since a short message cuts the end.

    A text without runs stays as it is.
    """
    match = _SHOWN_BY_RUNS.fullmatch(evidence)
    return f"{match['meaning']} ({match['runs']})" if match else evidence


def _cause_place(causes: Iterable[Cause]) -> list[Part]:
    """Return the place of the first cause that has one, where the first differing value is not known."""
    place = next((cause.location for cause in causes if cause.location is not None), None)
    if place is None:
        return []
    return [finding("where", f"{_place(place)}`{place.source}`", lead=len(_place(place)) - 2)]


def describe_place(first: FirstDivergence) -> str:
    """Describe where the runs start to differ, and the value."""
    place, values = _place_and_values(first)
    return f"{place}: {values}" if values else place


def _place_and_values(first: FirstDivergence) -> tuple[str, str]:
    step = f" (step {first.step})" if first.step is not None else ""
    column = f":{first.column}" if first.column is not None else ""
    place = f"{_short(first.file)}:{first.line}{column} in {first.function}{step}"
    if first.kind == "operation":
        module = f" in {first.module}" if first.module else ""
        return f"{place}: `{first.op}`{module} is the first operation whose output differs while its inputs match", ""
    if first.name == RAISED:
        return f"{place}: an exception leaves this statement in one of the runs", ""
    inside = " ".join(filter(None, (first.module, first.op)))
    values = f"{first.expected} in one run, {first.actual} in the other" if first.expected else ""
    return f"{place}: `{first.name}` differs first{f', from {inside}' if inside else ''}", values


def _place(location: Location | None) -> str:
    return "" if location is None else f"{_short(location.file)}:{location.line}: "


def _short(path: str) -> str:
    """Return a path relative to the working directory, where the file is below it."""
    here = str(Path.cwd())
    return path[len(here) + 1 :] if path.startswith(f"{here}{os.sep}") else path


def wrapped(label: str, text: str, width: int = MESSAGE_WIDTH) -> list[str]:
    """Return one finding: its label, and the text next to it over as many lines as it takes."""
    return lines_of([finding(label, text)], width)


def _closing(result: TestResult) -> list[Part]:
    parts = [*_engines(result.runs), *(finding("note", note, is_detail=True) for note in result.notes)]
    if result.repeat_command:
        parts.append(Part("command", "next", clean(result.repeat_command)))
    return parts


def describe_engine(engine: str, interpreter: str) -> str:
    """Describe what made a run. A name that this release does not know is returned as it is."""
    if engine == "fork" and interpreter:
        return f"fork of an interpreter started under {interpreter}"
    return ENGINE_WORDS.get(engine, engine)


def _engines(runs: Sequence[RunResult]) -> list[Part]:
    """Say what made each run, where some were forks of interpreters that were started for their conditions."""
    if not any(run.interpreter for run in runs):
        return []
    shown = [f"run {run.index}: {describe_engine(run.engine, run.interpreter)}" for run in runs[:MAX_ENGINES]]
    more = [f"and {len(runs) - MAX_ENGINES} more"] if len(runs) > MAX_ENGINES else []
    return [finding("" if n else "engine", line, is_detail=True) for n, line in enumerate([*shown, *more])]


def indented(text: str) -> list[str]:
    """Return the lines of a text, indented by two spaces."""
    return [f"  {line}" if line else "" for line in text.splitlines()]
