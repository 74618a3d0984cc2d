"""Turn a test's result into the text of its failure. Computes no figure."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

from pytest_repro.comparing.message import describe_comparison
from pytest_repro.model import Comparison, Condition, Location, RunResult, TestResult, Verdict

WIDTH = 100
#: Axes named in one line; the matrix holds them all.
MAX_AXES = 4
#: Conditions told that are not the cause; the JSON report holds them all.
MAX_RULED_OUT = 8
#: How a run that ended a test by itself is told.
OUTCOME_WORDS = {
    "passed": "passed",
    "failed": "failed",
    "skipped": "skipped",
    "error": "broke in its setup or teardown",
}


def describe_failure(result: TestResult) -> str:
    """Say which run differs from run 1 and in what, what was allowed, the seed, and how to repeat it."""
    diverged = [(run, comparison) for run, comparison in result.comparisons if comparison.divergences]
    asserted = _tell_assertions(result)
    if not diverged:
        return "\n".join([*asserted, "", *_closing(result)])
    run, comparison = diverged[0]
    total = max(r.index for r in result.runs)
    lines = [f"Run {run.index} of {total} differs from run 1 ({_circumstances(result, run)})", ""]
    lines += _indented(describe_comparison(comparison))
    if len(diverged) > 1:
        lines += ["", f"  {_other_runs(diverged[1:])}"]
    lines += ["", *_axis(result, run), *_diagnosis(result)]
    lines += ["", *asserted, ""] if asserted else []
    return "\n".join([*lines, *_closing(result)])


def _tell_assertions(result: TestResult) -> list[str]:
    """Give the messages of the equivalence assertions that diverged, each under its axis and once."""
    found = [f for run in result.runs for f in run.equivalences if f.verdict is Verdict.DIVERGED]
    return "\n\n".join(dict.fromkeys(f"axis {f.axis}: {f.message}" for f in found)).splitlines()


def describe_inconclusive(result: TestResult) -> str:
    """Say why nothing can be said."""
    return "\n".join([f"Inconclusive: {result.reason}", "", *_closing(result)])


def describe_run(result: TestResult, run: RunResult, *, planned: int) -> str:
    """Say which run failed by itself."""
    lines = [f"run {run.index} of {planned} {OUTCOME_WORDS[run.outcome]} by itself ({_circumstances(result, run)})"]
    if run.index > 1:
        condition = "another condition" if run.condition.values else "the same condition"
        lines.append(f"run 1 passed with the same seed and {condition}")
    asserted = _tell_assertions(result)
    return "\n".join([*lines, *(["", *asserted, ""] if asserted else []), *_closing(result)])


def _circumstances(result: TestResult, run: RunResult) -> str:
    """Say the seed, and of the condition what is to blame or, where that is open, its first axes."""
    blamed = result.blamed.get(run.index)
    values = [(axis, value) for axis, value in run.condition if not blamed or axis in blamed]
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
    agreeing = [axis for axis, cell in result.matrix.items() if cell in ("identical", "within_tolerance")]
    named = ", ".join(agreeing) if len(agreeing) <= MAX_AXES else f"the other {len(agreeing)}"
    others = f"; varied alone, {named} agree{'s' * (len(agreeing) == 1)}" if agreeing else ""
    return [f"  axis    {' and '.join(blamed)}{others}" if blamed else "  axis    none could be blamed"]


def _diagnosis(result: TestResult) -> list[str]:
    """Say where the runs part, why, and what to change; and what is not the cause where none was found."""
    lines = _where(result)
    for cause in result.causes:
        lines += wrapped("cause", f"{cause.code}: {cause.evidence}")
        lines += wrapped("fix", f"{_place(cause.location)}{cause.fix}")
    found = result.diagnosis
    if found is not None and not result.causes:
        out = ", ".join(found.ruled_out[:MAX_RULED_OUT])
        lines += wrapped("cause", f"cause unknown{f'; not it: {out}' if out else ''}")
    return lines


def _where(result: TestResult) -> list[str]:
    found = result.diagnosis.first_divergence if result.diagnosis is not None else None
    if found is None:
        places = [cause.location for cause in result.causes if cause.location is not None]
        return wrapped("where", f"{_place(places[0])}`{places[0].source}`") if places else []
    step = f" (step {found['step']})" if found.get("step") is not None else ""
    if found.get("kind") == "operation":
        place = f"{_short(str(found['file']))}:{found['line']} in {found['function']}{step}"
        module = f" in {found['module']}" if found.get("module") else ""
        told = f"`{found['op']}`{module} is the first operation that gives something else from the same inputs"
        return wrapped("where", f"{place}: {told}")
    inside = " ".join(str(found[key]) for key in ("module", "op") if found.get(key))
    values = f": {found['expected']} in one run, {found['actual']} in the other" if found.get("expected") else ""
    text = (
        f"{_short(str(found['file']))}:{found['line']} in {found['function']}{step}: `{found['name']}` is the first "
        f"value that differs{f', from {inside}' if inside else ''}{values}"
    )
    return wrapped("where", text)


def _place(location: Location | None) -> str:
    return "" if location is None else f"{_short(location.file)}:{location.line}: "


def _short(path: str) -> str:
    """Name a file as seen from here, where it lies below."""
    here = str(Path.cwd())
    return path[len(here) + 1 :] if path.startswith(f"{here}{os.sep}") else path


def wrapped(label: str, text: str, width: int = WIDTH) -> list[str]:
    """Lay out one finding: its label, and the text beside it over as many lines as it takes."""
    return textwrap.wrap(text, width, initial_indent=f"  {label:<8}", subsequent_indent=" " * 10)


def _closing(result: TestResult) -> list[str]:
    lines = [f"  note    {note}" for note in result.notes]
    if result.repeat_command:
        lines.append(f"  next    {result.repeat_command}")
    return lines


def _indented(text: str) -> list[str]:
    return [f"  {line}" if line else "" for line in text.splitlines()]
