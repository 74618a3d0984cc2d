"""The section of one test: why, what differs, how far, in which runs, and how to repeat it."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_repro.reporting.html import figures, tables
from pytest_repro.reporting.html.document import Cause, Diagnosis, Difference, Record, Series, Test
from pytest_repro.reporting.html.markup import Child, Markup, code, el, join, lines, user

#: Artifacts that are to be seen without opening anything.
MAX_OPEN = 12


@dataclass(frozen=True, slots=True)
class Room:
    """How much of one test is shown; the rest is counted."""

    artifacts: int = 100
    figures: int = 4
    runs: int = 50
    notes: int = 20
    circumstances: int = 60
    points: int = 60


def test_section(test: Test, name: str, room: Room) -> Markup:
    """Return a test's section; `name` is its id and begins those within it."""
    is_failing = test.verdict in ("diverged", "error", "inconclusive")
    parts = [
        el("h3", tables.verdict_mark(test.verdict), " ", code(test.nodeid), id=f"{name}-heading"),
        lines(test.reason) if test.reason else None,
        tables.facts(_facts(test)),
        _notes(test, room),
        _diagnosis(test.diagnosis) if test.diagnosis else None,
        _differences(test, name, room),
        _histograms(test, name, room),
        _curves(test, name, room),
        _record(test.record, name, room) if test.record else None,
        _runs(test, name, room, is_open=is_failing),
    ]
    return el("article", parts, id=name, class_=f"test {test.verdict}", aria_labelledby=f"{name}-heading")


def _facts(test: Test) -> list[tuple[Child, Child]]:
    made = {"in_process": "in pytest's own process", "fork": "in forked processes", "spawn": "by fresh interpreters"}
    how = made.get(test.engine) or (user(test.engine, 60) if test.engine else "not told")
    compared = (
        f"{_count(test.artifacts, 'artifact')}, {_count(test.elements, 'element')}" if test.artifacts else "nothing"
    )
    found: list[tuple[Child, Child]] = [("compared", compared), ("seed", str(test.seed)), ("runs", how)]
    if test.runs:
        found[2] = ("runs", join([f"{len(test.runs)}, ", how]))
    if test.repeat_command:
        found.append(("repeat it", code(test.repeat_command, 1000)))
    return found


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _notes(test: Test, room: Room) -> Markup | None:
    if not test.notes:
        return None
    shown = [el("li", user(note)) for note in test.notes[: room.notes]]
    return join([el("ul", shown, class_="notes"), tables.left_out(len(test.notes) - room.notes, "notes are")])


def _diagnosis(diagnosis: Diagnosis) -> Markup:
    parts: list[Child] = [el("h4", "Why")]
    if diagnosis.place:
        parts.append(el("p", "The first value that differs: ", say_place(diagnosis.place)))
    parts.append(el("ol", [el("li", _cause(cause)) for cause in diagnosis.causes[:20]]))
    parts.append(tables.left_out(len(diagnosis.causes) - 20, "causes are"))
    if diagnosis.ruled_out:
        parts.append(el("p", "Varied alone, these agree: ", user(", ".join(diagnosis.ruled_out), 1000)))
    state = "is complete" if diagnosis.complete else "is not complete: more was not looked for"
    took = f" took {diagnosis.seconds:.3g} s and" if diagnosis.seconds else ""
    parts.append(el("p", f"The search{took} {state}.", class_="quiet"))
    return join(parts)


#: How a cause was shown, by the word that the JSON report has for it.
_SHOWN_BY = {
    "probed": "runs in which it alone was held still",
    "seen": "a call on the way to the value",
    "state": "state that differed before the run",
}


def _cause(cause: Cause) -> list[Child]:
    pairs: list[tuple[Child, Child]] = [("evidence", user(cause.evidence, 2000))]
    if cause.axis:
        pairs.append(("axis", code(cause.axis)))
    if cause.place:
        pairs.append(("where", say_place(cause.place)))
    if cause.confidence:
        pairs.append(("shown by", _SHOWN_BY.get(cause.confidence) or user(cause.confidence, 60)))
    pairs.append(("fix", user(cause.fix, 2000)))
    return [el("strong", code(cause.code)), tables.facts(pairs)]


def say_place(place: dict[str, str]) -> Markup:
    """Say a place in the user's code: ``train.py:41 in make_vocab, name order, step 3``."""
    where = f"{place.get('file', '')}:{place['line']}" if place.get("line") else place.get("file", "")
    parts: list[Child] = [code(where)] if where else []
    if place.get("function"):
        parts += [" in ", code(place["function"])]
    for key in ("name", "step", "module", "op"):
        if place.get(key):
            parts += [f", {key} ", code(place[key])]
    return join(parts)


def _differences(test: Test, name: str, room: Room) -> Markup | None:
    found = sorted(test.divergences, key=lambda difference: difference.rank)
    caption: Child = "Artifacts that differ from run 1, the worst first"
    if not found and test.tolerated:
        found, caption = [test.tolerated], "The largest difference that a tolerance admitted"
    if not found:
        return None
    shown = _artifacts(f"{name}-differs", caption, found[: room.artifacts], "run 1")
    hidden = tables.left_out(len(found) - room.artifacts, "artifacts of its runs are")
    missing = el("p", f"{test.left_out:,} more were left out of the JSON report too.") if test.left_out else None
    return join([el("h4", "What differs"), shown, hidden, missing])


def _artifacts(name: str, caption: Child, shown: list[Difference], baseline: str) -> Markup:
    """Return a table of what matters most, and one that opens of the rest."""
    made = [tables.artifacts(name, caption, shown[:MAX_OPEN], baseline=baseline)]
    if rest := shown[MAX_OPEN:]:
        table = tables.artifacts(f"{name}-more", join([caption, ": the rest"]), rest, baseline=baseline)
        made.append(el("details", el("summary", f"{_count(len(rest), 'more artifact')}"), table))
    return join(made)


def _histograms(test: Test, name: str, room: Room) -> Markup | None:
    of_record = test.record.differences if test.record else ()
    found = [
        d
        for d in (*test.divergences, *of_record, *([test.tolerated] if test.tolerated else ()))
        if sum(d.histogram) > 1
    ]
    found.sort(key=lambda difference: difference.rank)
    if not found or not room.figures:
        return None
    shown = [_histogram(d, f"{name}-ulps-{n}") for n, d in enumerate(found[: room.figures], 1)]
    return join(
        [
            el("h4", "How far the elements are"),
            el("div", shown, class_="figures"),
            tables.left_out(len(found) - len(shown), "histograms are"),
        ]
    )


def _histogram(difference: Difference, name: str) -> Markup:
    bins = figures.bins(difference.histogram)
    where = f", run {difference.run}" if difference.run else ", allowed" if difference.within else ", from the record"
    rows = (tables.row(label, tables.figure(count)) for label, count in bins)
    table = tables.table(f"{name}-table", "Elements by distance", ["distance [ulp]", "elements"], rows, class_="narrow")
    drawn = el(
        "div", figures.histogram(difference, name), class_="scroll", role="group", tabindex=0, aria_label="figure"
    )
    caption = el("figcaption", code(difference.artifact or "result", 160), where)
    return el("figure", caption, drawn, el("details", el("summary", "The same as a table"), table))


def _curves(test: Test, name: str, room: Room) -> Markup | None:
    by_name: dict[str, list[Series]] = {}
    for series in test.steps:
        if series.points:
            by_name.setdefault(series.name, []).append(series)
    if not by_name or not room.figures:
        return None
    shown = [
        _curve(series, f"{name}-steps-{n}", room) for n, series in enumerate([*by_name.values()][: room.figures], 1)
    ]
    return join([el("h4", "Divergence over steps"), shown, tables.left_out(len(by_name) - len(shown), "curves are")])


def _curve(series: list[Series], name: str, room: Room) -> Markup:
    metric = figures.metric_of(series)
    points = [(one.run, point) for one in series for point in one.points if point.kind != "identical"]
    rows = (
        tables.row(str(point.step), tables.figure(run), tables.figure(point.max_abs), tables.figure(point.norm_rel))
        for run, point in points[: room.points]
    )
    headings = ["step", "run", "max abs", figures.METRICS["norm_rel"]]
    table = tables.table(f"{name}-table", "Steps at which it differs", headings, rows, class_="narrow")
    hidden = sum(one.differing for one in series) - min(len(points), room.points)
    told = [el("li", figures.describe_series(one)) for one in series[: figures.MAX_CURVES]]
    note = "At 0 a step is identical to run 1, to the bit."
    if any(figures.is_beyond(figures.metric_value(point, metric)) for _, point in points):
        note += " A point above the scale has no figure: NaN, infinity, or another shape or type."
    if any(figures.metric_value(point, metric) == 0 for _, point in points):
        note += " Some steps differ there all the same: in bits that are no distance, such as those of +0 and -0."
    if left := sum(one.left_out for one in series):
        note += f" The last {left:,} steps are not drawn."
    drawn = el("div", figures.curve(series, name), class_="scroll", role="group", tabindex=0, aria_label="figure")
    return el(
        "figure",
        el("figcaption", code(series[0].name, 160), f": {figures.METRICS[metric]}"),
        drawn,
        el("ul", told),
        tables.left_out(len(series) - figures.MAX_CURVES, "runs are"),
        el("p", note, class_="quiet"),
        el("details", el("summary", "The same as a table"), table, tables.left_out(hidden, "points are")),
    )


def _record(record: Record, name: str, room: Room) -> Markup:
    pairs: list[tuple[Child, Child]] = [("status", user(record.status.replace("_", " "), 60))]
    if record.path:
        pairs.append(("record", code(record.path)))
    if record.tier:
        pairs.append(("held to", join([user(record.tier, 60), ": ", user(record.tier_reason)])))
    if record.reason:
        pairs.append(("reason", user(record.reason, 1000)))
    parts: list[Child] = [el("h4", "Record"), tables.facts(pairs)]
    if record.replaced:
        parts += [el("p", "Overwritten; it held other results:"), lines(record.replaced)]
    if record.differences:
        shown = sorted(record.differences, key=lambda d: d.rank)[: room.artifacts]
        caption = "Artifacts that differ from the record, the worst first"
        parts.append(_artifacts(f"{name}-record-differs", caption, shown, "record"))
        parts.append(tables.left_out(len(record.differences) - len(shown), "artifacts are"))
    if record.circumstances:
        parts.append(tables.circumstances(f"{name}-circumstances", record.circumstances[: room.circumstances]))
        parts.append(tables.left_out(len(record.circumstances) - room.circumstances, "circumstances are"))
    return join(parts)


def _runs(test: Test, name: str, room: Room, *, is_open: bool) -> Markup | None:
    if not test.runs:
        return None
    parts: list[Child] = [tables.runs(f"{name}-runs", test.runs[: room.runs])]
    parts.append(tables.left_out(len(test.runs) - room.runs, "runs are"))
    settings = test.runs[0].settings
    if settings:
        rows = (tables.row(code(key, 120), code(tables.say(value))) for key, value in [*settings.items()][:100])
        caption = "Settings of the frameworks as read back in run 1"
        table = tables.table(f"{name}-settings", caption, ["setting", "value"], rows, class_="narrow")
        hidden = tables.left_out(len(settings) - 100, "settings are")
        parts.append(el("details", el("summary", "Settings of the frameworks"), table, hidden))
    summary = el("summary", "Runs, conditions, digests")
    return el("details", summary, parts, open="" if is_open else None)
