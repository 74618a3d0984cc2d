"""The section of one test: why, what differs, how far, in which runs, and how to repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_repro.model import Cause, FirstDivergence, Location
from pytest_repro.model.accepted import Acceptance
from pytest_repro.model.reported import (
    Difference,
    ReportedDiagnosis,
    ReportedRecord,
    ReportedTest,
    RunDifference,
    StepSeries,
)
from pytest_repro.reporting.failure import join_labels
from pytest_repro.reporting.html import figures, tables
from pytest_repro.reporting.html.markup import Child, Markup, code, el, join, lines, user

#: Artifacts that are visible without opening anything.
MAX_OPEN = 12
_MAX_CAUSES = 20
_MAX_SETTINGS = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the section of one test, beyond which parts are only counted."""

    artifacts: int = 100
    figures: int = 4
    runs: int = 50
    notes: int = 20
    circumstances: int = 60
    points: int = 60


def test_section(test: ReportedTest, name: str, limits: Limits) -> Markup:
    """Return a test's section, with `name` as its id and the prefix of those within it."""
    parts = [
        el("h3", tables.verdict_mark(test.verdict), " ", code(test.nodeid), id=f"{name}-heading"),
        lines(test.reason) if test.reason else None,
        tables.facts(_facts(test)),
        _notes(test, limits),
        _diagnosis(test.diagnosis) if test.diagnosis else None,
        _differences(test, name, limits),
        _not_compared(test, name, limits),
        _histograms(test, name, limits),
        _curves(test, name, limits),
        _record(test.record, name, limits) if test.record else None,
        _runs(test, name, limits),
    ]
    return el("article", parts, id=name, class_=f"test {test.verdict}", aria_labelledby=f"{name}-heading")


_ENGINES = {"in_process": "in pytest's own process", "fork": "in forked processes", "spawn": "in fresh interpreters"}


def _facts(test: ReportedTest) -> list[tuple[Child, Child]]:
    engine = _ENGINES.get(test.engine) or (user(test.engine, 60) if test.engine else "unknown")
    compared = "nothing"
    if test.compared.artifacts:
        compared = f"{_count(test.compared.artifacts, 'artifact')}, {_count(test.compared.elements, 'element')}"
    found: list[tuple[Child, Child]] = [] if test.acceptance is None else _acceptance(test.acceptance)
    found += [
        ("compared", compared),
        ("seed", str(test.seed)),
        ("runs", join([f"{len(test.runs)}, ", engine]) if test.runs else engine),
    ]
    return [*found, ("repeat it", code(test.repeat_command, 1000))] if test.repeat_command else found


def _acceptance(found: Acceptance) -> list[tuple[Child, Child]]:
    """Return what the session made of a finding, which pytest may not report as a failure."""
    status = f"{found.status}: an expected failure for pytest" if found.is_accepted else found.status
    pairs: list[tuple[Child, Child]] = [("finding", user(f"{status}; {found.explanation}", 600))]
    pairs += [("reason", user(found.reason, 1000))] if found.reason else []
    return pairs + ([("known until", user(found.expires, 20))] if found.expires else [])


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _notes(test: ReportedTest, limits: Limits) -> Markup | None:
    if not test.notes:
        return None
    shown = [el("li", user(note)) for note in test.notes[: limits.notes]]
    return join([el("ul", shown, class_="notes"), tables.left_out(len(test.notes) - limits.notes, "notes are")])


def _diagnosis(diagnosis: ReportedDiagnosis) -> Markup:
    parts: list[Child] = [el("h4", "Why")]
    if diagnosis.first_divergence:
        parts.append(el("p", "The first value that differs: ", describe_place(diagnosis.first_divergence)))
    parts.append(el("ol", [el("li", _cause(cause)) for cause in diagnosis.causes[:_MAX_CAUSES]]))
    parts.append(tables.left_out(len(diagnosis.causes) - _MAX_CAUSES, "causes are"))
    if diagnosis.suspected:
        parts.append(el("p", "Suspected, but not shown by a run:"))
        parts.append(el("ul", [el("li", _cause(cause)) for cause in diagnosis.suspected[:_MAX_CAUSES]]))
        parts.append(tables.left_out(len(diagnosis.suspected) - _MAX_CAUSES, "suspected causes are"))
    if diagnosis.ruled_out:
        parts.append(el("p", "Ruled out, since they change nothing: ", user(join_labels(diagnosis.ruled_out), 1000)))
    state = (
        "is complete" if diagnosis.complete else "is not complete: it ended early, or the place was not searched for"
    )
    took = f" took {diagnosis.seconds:.3g} s and" if diagnosis.seconds else ""
    parts.append(el("p", f"The search{took} {state}.", class_="quiet"))
    return join(parts)


#: How a cause was shown, by its confidence.
_SHOWN_BY = {
    "probed": "runs in which it alone was pinned",
    "seen": "a call on the way to the value",
    "state": "state that differed before the run",
    "suspected": "nothing: it could not be tried",
}


def _cause(cause: Cause) -> list[Child]:
    pairs: list[tuple[Child, Child]] = [("evidence", user(cause.evidence, 2000))]
    if cause.axis:
        pairs.append(("axis", code(cause.axis)))
    if cause.location:
        pairs.append(("where", describe_place(cause.location)))
    if cause.confidence:
        pairs.append(("shown by", _SHOWN_BY.get(cause.confidence) or user(cause.confidence, 60)))
    pairs.append(("fix", user(cause.fix, 2000)))
    return [el("strong", code(cause.code)), tables.facts(pairs)]


def describe_place(place: Location | FirstDivergence) -> Markup:
    """Return a place in the user's code: ``train.py:41 in make_vocab, name order, step 3``."""
    column = f":{place.column}" if isinstance(place, FirstDivergence) and place.column is not None else ""
    parts: list[Child] = [code(f"{place.file}:{place.line}{column}")]
    if place.function:
        parts += [" in ", code(place.function)]
    if isinstance(place, FirstDivergence):
        step = "" if place.step is None else str(place.step)
        for key, value in (("name", place.name), ("step", step), ("module", place.module), ("op", place.op)):
            if value:
                parts += [f", {key} ", code(value)]
    return join(parts)


def _differences(test: ReportedTest, name: str, limits: Limits) -> Markup | None:
    found: list[Difference] = sorted(test.divergences, key=lambda difference: difference.rank)
    caption: Child = "Artifacts that differ from run 1, the worst first"
    if not found and test.largest_tolerated:
        found, caption = [test.largest_tolerated], "The largest difference that a tolerance admitted"
    if not found:
        return None
    shown = _artifacts(f"{name}-differs", caption, found[: limits.artifacts], "run 1")
    hidden = tables.left_out(len(found) - limits.artifacts, "artifacts of its runs are")
    missing = f"{test.divergences_left_out:,} more are not in the JSON report either."
    return join([el("h4", "What differs"), shown, hidden, el("p", missing) if test.divergences_left_out else None])


def _artifacts(name: str, caption: Child, shown: list[Difference], baseline: str) -> Markup:
    """Return a table of the worst differences, and one of the rest that can be opened."""
    made = [tables.artifacts(name, caption, shown[:MAX_OPEN], baseline=baseline)]
    if rest := shown[MAX_OPEN:]:
        table = tables.artifacts(f"{name}-more", join([caption, ": the rest"]), rest, baseline=baseline)
        made.append(el("details", el("summary", f"{_count(len(rest), 'more artifact')}"), table))
    return join(made)


def _not_compared(test: ReportedTest, name: str, limits: Limits) -> Markup | None:
    if not test.not_compared:
        return None
    shown = test.not_compared[: limits.artifacts]
    rows = (tables.row(code(v.name or "the result", 160), code(v.type, 120), user(v.reason)) for v in shown)
    table = tables.table(f"{name}-not-compared", "Values that were not compared", ["value", "type", "reason"], rows)
    hidden = len(test.not_compared) - len(shown) + test.not_compared_left_out
    return join([el("h4", "Not compared"), table, tables.left_out(hidden, "values that were not compared are")])


def _histograms(test: ReportedTest, name: str, limits: Limits) -> Markup | None:
    found = sorted((d for d in test.differences if sum(d.ulp_histogram) > 1), key=lambda difference: difference.rank)
    if not found or not limits.figures:
        return None
    shown = [_histogram(d, f"{name}-ulps-{n}") for n, d in enumerate(found[: limits.figures], 1)]
    hidden = tables.left_out(len(found) - len(shown), "histograms are")
    return join([el("h4", "How far the elements are"), el("div", shown, class_="figures"), hidden])


def _histogram(difference: Difference, name: str) -> Markup:
    where = ", allowed" if difference.is_allowed else ", from the record"
    if isinstance(difference, RunDifference):
        where = f", run {difference.run}"
    rows = (tables.row(label, tables.figure(count)) for label, count in figures.bins(difference.ulp_histogram))
    table = tables.table(f"{name}-table", "Elements by distance", ["distance [ulp]", "elements"], rows, class_="narrow")
    caption = el("figcaption", code(difference.artifact or "result", 160), where)
    return el("figure", caption, _drawing(figures.histogram(difference, name)), _as_table(table))


def _drawing(drawing: Markup) -> Markup:
    return el("div", drawing, class_="scroll", role="group", tabindex=0, aria_label="figure")


def _as_table(*parts: Child) -> Markup:
    return el("details", el("summary", "The same as a table"), parts)


def _curves(test: ReportedTest, name: str, limits: Limits) -> Markup | None:
    by_name: dict[str, list[StepSeries]] = {}
    for series in test.steps:
        if series.points:
            by_name.setdefault(series.name, []).append(series)
    if not by_name or not limits.figures:
        return None
    shown = [
        _curve(series, f"{name}-steps-{n}", limits) for n, series in enumerate([*by_name.values()][: limits.figures], 1)
    ]
    return join([el("h4", "Divergence over steps"), shown, tables.left_out(len(by_name) - len(shown), "curves are")])


def _curve(series: Sequence[StepSeries], name: str, limits: Limits) -> Markup:
    metric = figures.metric_of(series)
    points = [(one.run, point) for one in series for point in one.points if point.kind != "identical"]
    values = [figures.metric_value(point, metric) for _, point in points]
    rows = (
        tables.row(str(point.step), tables.figure(run), tables.figure(point.max_abs), tables.figure(point.norm_rel))
        for run, point in points[: limits.points]
    )
    headings = ["step", "run", "max abs", figures.METRICS["norm_rel"]]
    table = tables.table(f"{name}-table", "Steps at which it differs", headings, rows, class_="narrow")
    hidden = sum(one.differing for one in series) - min(len(points), limits.points)
    note = "At 0 a step is identical to run 1, bit for bit."
    if any(map(figures.is_beyond, values)):
        note += " A point above the scale has no figure: NaN, infinity, or another shape or type."
    if 0 in values:
        note += " Some steps at 0 differ all the same, in bits without a distance, such as those of +0 and -0."
    if left := sum(one.left_out for one in series):
        note += f" The last {left:,} steps are not drawn."
    return el(
        "figure",
        el("figcaption", code(series[0].name, 160), f": {figures.METRICS[metric]}"),
        _drawing(figures.curve(series, name)),
        el("ul", [el("li", figures.describe_series(one)) for one in series[: figures.MAX_CURVES]]),
        tables.left_out(len(series) - figures.MAX_CURVES, "runs are"),
        el("p", note, class_="quiet"),
        _as_table(table, tables.left_out(hidden, "points are")),
    )


def _record(record: ReportedRecord, name: str, limits: Limits) -> Markup:
    pairs: list[tuple[Child, Child]] = [("status", user(record.status.replace("_", " "), 60))]
    if record.path:
        pairs.append(("record", code(record.path)))
    if record.tier:
        pairs.append(("tier", join([user(record.tier, 60), ": ", user(record.tier_reason or "")])))
    if record.reason:
        pairs.append(("reason", user(record.reason, 1000)))
    parts: list[Child] = [el("h4", "Record"), tables.facts(pairs)]
    if record.replaced:
        parts += [el("p", "Overwritten; the earlier results were different:"), lines(record.replaced)]
    if record.differences:
        shown = sorted(record.differences, key=lambda d: d.rank)[: limits.artifacts]
        caption = "Artifacts that differ from the record, the worst first"
        parts.append(_artifacts(f"{name}-record-differs", caption, [*shown], "record"))
        parts.append(tables.left_out(len(record.differences) - len(shown), "artifacts are"))
    if record.circumstances:
        parts.append(tables.circumstances(f"{name}-circumstances", record.circumstances[: limits.circumstances]))
        parts.append(tables.left_out(len(record.circumstances) - limits.circumstances, "circumstances are"))
    return join(parts)


def _runs(test: ReportedTest, name: str, limits: Limits) -> Markup | None:
    if not test.runs:
        return None
    parts: list[Child] = [tables.runs(f"{name}-runs", test.runs[: limits.runs])]
    parts.append(tables.left_out(len(test.runs) - limits.runs, "runs are"))
    settings = test.runs[0].settings
    if settings:
        shown = [*settings.items()][:_MAX_SETTINGS]
        rows = (tables.row(code(key, 120), code(tables.describe_value(value))) for key, value in shown)
        caption = "Settings of the frameworks as read back in run 1"
        table = tables.table(f"{name}-settings", caption, ["setting", "value"], rows, class_="narrow")
        hidden = tables.left_out(len(settings) - _MAX_SETTINGS, "settings are")
        parts.append(el("details", el("summary", "Settings of the frameworks"), table, hidden))
    return el("details", el("summary", "Runs, conditions, digests"), parts, open=None if test.verdict else "")
