"""The text of `pytest-repro history`: since when tests diverge, and at which commit. Computes no figure."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_repro.model.history import History, HistoryReport, TestHistory
from pytest_repro.model.text import escape

#: What a point of a test looks like.
SIGNS = {"passed": "=", "diverged": "x", "unclear": "?", "missing": ".", "unknown": "~", "not_checked": "-"}
MEANINGS = {
    "passed": "passed",
    "diverged": "diverged",
    "unclear": "inconclusive or an error",
    "missing": "not in the report",
    "unknown": "not in the report, whose session did not come to its end",
    "not_checked": "excluded by its marker",
}
#: Reports whose signs are shown of each test: the last ones.
MAX_SIGNS = 30
#: Tests shown, and reports that are named in a line.
MAX_TESTS, MAX_NAMED = 50, 5
#: Changes of a test that is broken and repaired once. More of them look like chance.
MAX_CHANGES = 2
#: Narrowest column of names.
MIN_NAME = 24


def describe_history(history: History, *, width: int = 100, shows_all: bool = False) -> str:
    """Return the table of the tests that diverge or did, in lines of at most `width` characters where names allow."""
    reports = history.reports
    lines = [say_result(history), *_notes(history)]
    shown = list_changed(history)
    groups = [[test] for test in shown] if shows_all else group_alike(shown)
    kept = [group[0] for group in groups[: None if shows_all else MAX_TESTS]]
    if kept:
        signs = [_signs(test) for test in kept]
        room = max(MIN_NAME, width - len(signs[0]) - 4)
        name_width = min(room, max(len(escape(test.nodeid)) for test in kept))
        lines += [""]
        for group, row in zip(groups, signs, strict=False):
            test = group[0]
            lines.append(f"  {_shorten(escape(test.nodeid), name_width):<{name_width}}  {row}")
            lines += [f"      and {_count(len(group) - 1, 'more test')} (-v names all)"] if len(group) > 1 else []
            lines += [f"      {text}" for text in say_test(test, reports)]
        if hidden := sum(map(len, groups[len(kept) :])):
            lines.append(f"  and {hidden:,} more tests (-v shows all)")
        kinds = {point for test in kept for point in test.points[-MAX_SIGNS:]}
        legend = [f"{sign} {MEANINGS[kind]}" for kind, sign in SIGNS.items() if kind in kinds]
        lines += ["", f"  each sign is a report, the last one on the right: {'; '.join(legend)}"]
    return "\n".join(lines)


def list_changed(history: History) -> list[TestHistory]:
    """Return the tests that diverge, that diverged before, or that no report has judged although it ran them."""
    return [test for test in history.tests if test.state == "diverged" or test.last_bad is not None or _is_open(test)]


def _is_open(test: TestHistory) -> bool:
    return test.state == "unclear" and "unclear" in test.points


def group_alike(tests: Sequence[TestHistory]) -> list[list[TestHistory]]:
    """Return tests in groups of those with the same history and the same causes."""
    groups: dict[tuple[object, ...], list[TestHistory]] = {}
    for test in tests:
        groups.setdefault((test.points, test.causes), []).append(test)
    return list(groups.values())


def say_result(history: History) -> str:
    """Return the counts in a sentence."""
    times = [report.time for report in history.reports if report.time]
    span = f" from {times[0][:10]} to {times[-1][:10]}" if times else ""
    now = len(history.diverging)
    text = f"{_count(len(history.reports), 'report')}{span}, {_count(len(history.tests), 'test')}: "
    text += f"{now:,} diverge{'s' * (now == 1)} now"
    unclear = sum(map(_is_open, history.tests))
    mended = len(history.mended)
    text += f", {mended:,} mended" if mended else ""
    return text + (f", {unclear:,} without a verdict in any report" if unclear else "")


def say_test(test: TestHistory, reports: Sequence[HistoryReport]) -> list[str]:
    """Return since when a test diverges, or when it was mended."""
    lines = []
    causes = f": {', '.join(test.causes[:3])}" if test.causes else ""
    if test.state == "diverged" and test.first_bad is not None:
        lines.append(f"diverges since {say_report(reports[test.first_bad])}{causes}")
        if test.last_good is not None:
            lines.append(f"last good   at {say_report(reports[test.last_good])}{_gap(test)}")
        else:
            lines.append("no earlier report has it as good")
    elif test.last_bad is not None and test.first_good is not None:
        lines.append(f"mended      at {say_report(reports[test.first_good])}")
        lines.append(f"last bad    at {say_report(reports[test.last_bad])}{_gap(test)}{causes}")
    elif test.state == "unclear":
        lines.append("no report has a verdict of whether its runs are the same")
    if test.changes > MAX_CHANGES:
        lines.append(f"changed {test.changes} times, so it may diverge by chance")
    if test.later:
        lines.append(f"not judged by the last {_count(test.later, 'report')}")
    return [escape(line) for line in lines]


def say_report(report: HistoryReport) -> str:
    """Return the commit of a report, with its time: ``1a2b3c4d5e+ (2026-12-01 14:19)``."""
    time = report.time[:16].replace("T", " ")
    if report.commit:
        return f"{report.commit[:10]}{'+' * report.is_dirty}{f' ({time})' if time else ''}"
    return f"{report.name}{f' ({time})' if time else ''}"


def _gap(test: TestHistory) -> str:
    return f", {_count(test.between, 'report')} between do not judge it" if test.between else ""


def _notes(history: History) -> list[str]:
    unfinished = [report.name for report in history.reports if not report.is_finished]
    without = [report.name for report in history.reports if not report.time]
    uncommitted = [report.name for report in history.reports if not report.commit]
    lines = []
    if unfinished:
        lines.append(f"did not come to their end, so tests that they lack are unknown: {_names(unfinished)}")
    if without:
        lines.append(f"have no time, as of an older release, and are placed first as given: {_names(without)}")
    if uncommitted:
        lines.append(f"have no commit: {_names(uncommitted)}")
    if any(report.is_dirty for report in history.reports):
        lines.append("+ after a commit: with changes that are not in it")
    return [escape(line) for line in lines]


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def _signs(test: TestHistory) -> str:
    return "".join(SIGNS[point] for point in test.points[-MAX_SIGNS:])


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else f"...{text[3 - width :]}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"
