"""The text of a test's failure, and the lines of a diagnosis. Computes no figure."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_repro.comparing.message import describe_comparison
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
from pytest_repro.model.text import escape, escape_lines

WIDTH = 100
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
#: A run's outcome, in words.
OUTCOME_WORDS = {
    "passed": "passed",
    "failed": "failed",
    "skipped": "skipped",
    "error": "broke in its setup or teardown",
}


def describe_failure(result: TestResult) -> str:
    """Describe which run differs from run 1, in what, by how much, what was allowed, why, and how to repeat it."""
    diverged = [(run, comparison) for run, comparison in result.comparisons if comparison.divergences]
    asserted = _assertion_messages(result)
    if not diverged:
        return _join([*asserted, "", *_closing(result)])
    run, comparison = diverged[0]
    total = max(r.index for r in result.runs)
    lines = [f"Run {run.index} of {total} differs from run 1 ({_circumstances(result, run)})", ""]
    lines += indented(describe_comparison(comparison))
    if len(diverged) > 1:
        lines += ["", f"  {_other_runs(diverged[1:])}"]
    lines += ["", *_axis(result, run), *_diagnosis(result)]
    lines += ["", *asserted, ""] if asserted else []
    return _join([*lines, *_closing(result)])


def _assertion_messages(result: TestResult) -> list[str]:
    """Return the messages of the equivalence assertions that diverged, each under its axis and once."""
    found = [f for run in result.runs for f in run.equivalences if f.verdict is Verdict.DIVERGED]
    return "\n\n".join(dict.fromkeys(f"axis {f.axis}: {f.message}" for f in found)).splitlines()


def describe_inconclusive(result: TestResult) -> str:
    """Describe why a test is inconclusive."""
    return _join([f"Inconclusive: {result.reason}", "", *_closing(result)])


def compare_endings(first: RunResult, run: RunResult) -> str:
    """Say in a sentence how run 1 and a run that ended otherwise ended, where and why."""
    return f"{_ending(first)}, {_ending(run)}"


def _ending(run: RunResult) -> str:
    if run.outcome == "passed":
        return f"run {run.index} passed"
    word = "xfailed" if run.ending == "xfailed" else OUTCOME_WORDS[run.outcome]
    place = f" at {_short(run.where)}" if run.where else ""
    return f"run {run.index} {word}{place}: {run.reason}"


def describe_endings(result: TestResult, run: RunResult) -> str:
    """Describe a run that did not end as run 1 did, with how to repeat it."""
    ended = compare_endings(result.runs[0], run)
    circumstances = f"  runs    {_circumstances(result, run)}"
    return _join([ended, "", circumstances, *_diagnosis(result), *_closing(result)])


def describe_run(result: TestResult, run: RunResult, *, planned: int) -> str:
    """Describe a run that failed by itself, without a comparison."""
    lines = [f"run {run.index} of {planned} {OUTCOME_WORDS[run.outcome]} by itself ({_circumstances(result, run)})"]
    if ANOTHER_SEED in run.condition.as_dict():
        lines.append(f"run 1 passed with seed {result.seed}")
    elif run.index > 1:
        condition = "another condition" if run.condition.values else "the same condition"
        lines.append(f"run 1 passed with the same seed and {condition}")
    asserted = _assertion_messages(result)
    lines += ["", *asserted, ""] if asserted else []
    return _join([*lines, *_diagnosis(result), *_closing(result)])


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


def _axis(result: TestResult, run: RunResult) -> list[str]:
    """Name the axis to blame, where several were varied or the blame could be shown."""
    if not run.condition.values:
        return []
    blamed = result.blamed.get(run.index, [])
    if not blamed:
        return ["  axis    no axis could be blamed"]
    harmless = [axis for axis, cell in result.matrix.items() if cell in ("identical", "within_tolerance")]
    named = ", ".join(harmless) if len(harmless) <= MAX_AXES else f"the other {len(harmless)}"
    verb = "changes" if len(harmless) == 1 else "change"
    others = f"; {named} {verb} nothing when varied alone" if harmless else ""
    return [f"  axis    {' and '.join(blamed)}{others}"]


def _diagnosis(result: TestResult) -> list[str]:
    found = result.diagnosis
    if found is None:
        named = [*_cause_place(result.causes), *cause_lines(result.causes)] if result.causes else []
    else:
        named = diagnosis_lines(found.first_divergence, result.causes, found.ruled_out)
    return [*named, *cause_lines(result.suspected, label="suspect")]


def diagnosis_lines(
    first: FirstDivergence | None, causes: Sequence[Cause], ruled_out: Sequence[str], *, width: int = WIDTH
) -> list[str]:
    """Return where the runs start to differ, why, and the fix, or without a cause the sources that are ruled out."""
    place = wrapped("where", describe_place(first), width) if first is not None else _cause_place(causes, width)
    if causes:
        return [*place, *cause_lines(causes, width)]
    out = join_labels(ruled_out[:MAX_RULED_OUT])
    return [*place, *wrapped("cause", f"unknown{f'; ruled out: {out}' if out else ''}", width)]


def join_labels(ruled_out: Iterable[str]) -> str:
    """Return the names for readers of sources that were ruled out, of which the JSON report has the machine names."""
    # Only now: it loads every source, which a session without a divergence never needs.
    from pytest_repro.sources.registry import label_of

    return ", ".join(dict.fromkeys(map(label_of, ruled_out)))  # several sources are addresses


def cause_lines(causes: Iterable[Cause], width: int = WIDTH, *, label: str = "cause") -> list[str]:
    """Return each cause with its evidence and its fix."""
    lines = []
    for cause in causes:
        lines += wrapped(label, f"{cause.code}: {cause.evidence}", width)
        lines += wrapped("fix", f"{_place(cause.location)}{cause.fix}", width)
    return lines


def _cause_place(causes: Iterable[Cause], width: int = WIDTH) -> list[str]:
    """Return the place of the first cause that has one, where the first differing value is not known."""
    place = next((cause.location for cause in causes if cause.location is not None), None)
    return wrapped("where", f"{_place(place)}`{place.source}`", width) if place is not None else []


def describe_place(first: FirstDivergence) -> str:
    """Describe where the runs start to differ, and the value."""
    step = f" (step {first.step})" if first.step is not None else ""
    column = f":{first.column}" if first.column is not None else ""
    place = f"{_short(first.file)}:{first.line}{column} in {first.function}{step}"
    if first.kind == "operation":
        module = f" in {first.module}" if first.module else ""
        return f"{place}: `{first.op}`{module} is the first operation whose output differs while its inputs match"
    if first.name == RAISED:
        return f"{place}: an exception leaves this statement in one of the runs"
    inside = " ".join(filter(None, (first.module, first.op)))
    values = f": {first.expected} in one run, {first.actual} in the other" if first.expected else ""
    return f"{place}: `{first.name}` is the first value that differs{f', from {inside}' if inside else ''}{values}"


def _place(location: Location | None) -> str:
    return "" if location is None else f"{_short(location.file)}:{location.line}: "


def _short(path: str) -> str:
    """Return a path relative to the working directory, where the file is below it."""
    here = str(Path.cwd())
    return path[len(here) + 1 :] if path.startswith(f"{here}{os.sep}") else path


def wrapped(label: str, text: str, width: int = WIDTH) -> list[str]:
    """Return one finding: its label, and the text next to it over as many lines as it takes."""
    # Before it is wrapped: half a secret on each of two lines would not be found.
    text = escape(redact_assignments(text).replace("\n", " "))
    return textwrap.wrap(text, width, initial_indent=f"  {label:<8}", subsequent_indent=" " * 10)


def _closing(result: TestResult) -> list[str]:
    lines = [*_engines(result.runs), *(f"  note    {note}" for note in result.notes)]
    if result.repeat_command:
        lines.append(f"  next    {result.repeat_command}")
    return lines


def describe_engine(engine: str, interpreter: str) -> str:
    """Describe what made a run. A name that this release does not know is returned as it is."""
    if engine == "fork" and interpreter:
        return f"fork of an interpreter started under {interpreter}"
    return ENGINE_WORDS.get(engine, engine)


def _engines(runs: Sequence[RunResult]) -> list[str]:
    """Say what made each run, where some were forks of interpreters that were started for their conditions."""
    if not any(run.interpreter for run in runs):
        return []
    shown = [f"run {run.index}: {describe_engine(run.engine, run.interpreter)}" for run in runs[:MAX_ENGINES]]
    more = [f"and {len(runs) - MAX_ENGINES} more"] if len(runs) > MAX_ENGINES else []
    return [f"  {'engine' if not n else '':<7} {line}" for n, line in enumerate([*shown, *more])]


def _join(lines: Iterable[str]) -> str:
    """Join the lines of a message, without secrets and control characters."""
    return escape_lines(redact_assignments("\n".join(lines)))


def indented(text: str) -> list[str]:
    """Return the lines of a text, indented by two spaces."""
    return [f"  {line}" if line else "" for line in text.splitlines()]
