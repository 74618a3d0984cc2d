"""The findings of a session in groups: by cause and by line of the user's code, the worst first. Computes no figure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pytest_repro.model import Cause, FirstDivergence, Location, Verdict
from pytest_repro.model.reported import ReportedTest
from pytest_repro.model.text import escape

#: Longest text of a reason, and of a line of code [characters].
MAX_REASON, MAX_SOURCE = 120, 60
#: Tests whose names a command takes.
MAX_IN_COMMAND = 5
#: Numbers of runs, seeds and sizes, by which reasons of the same kind differ.
_NUMBERS = re.compile(r"\d+")
_ORDER = (Verdict.DIVERGED, Verdict.ERROR, Verdict.INCONCLUSIVE)


@dataclass(slots=True)
class Group:
    """Tests with one finding.

    Attributes
    ----------
    verdict : Verdict
    what : str
        The cause with its place, or the reason.
    is_accepted : bool
        Whether they are known or only listed.
    fix : str
        What removes the cause; empty where it is not known.
    is_located : bool
        Whether a line of the user's code is known.
    """

    verdict: Verdict
    what: str
    is_accepted: bool
    fix: str = ""
    is_located: bool = False
    tests: list[str] = field(default_factory=list)


def group_findings(tests: Iterable[ReportedTest]) -> list[Group]:
    """Return the findings that are no pass, grouped: new ones first, then by verdict, then the largest first."""
    groups: dict[tuple[str, ...], Group] = {}
    for test in tests:
        if test.verdict or not has_finding(test):
            continue
        # Known findings are old, and findings that are only listed are as new as others.
        is_known = test.acceptance is not None and test.acceptance.status == "known"
        key, what, fix = _describe(test)
        found = test.diagnosis
        is_located = found is not None and bool(found.first_divergence or any(c.location for c in found.causes[:1]))
        made = Group(test.verdict, what, is_known, fix, is_located)
        group = groups.setdefault((str(is_known), test.verdict.value, key), made)
        group.tests.append(test.nodeid)
    return sorted(groups.values(), key=lambda g: (g.is_accepted, _ORDER.index(g.verdict), -len(g.tests), g.what))


def has_finding(test: ReportedTest) -> bool:
    """Return whether a test's runs were to be compared: not where it was skipped, or failed as expected."""
    return test.verdict is not Verdict.INCONCLUSIVE or not test.runs or test.runs[0].outcome == "passed"


def _describe(test: ReportedTest) -> tuple[str, str, str]:
    """Return by what a finding is grouped, its words, and its fix."""
    found = test.diagnosis
    if test.verdict is not Verdict.DIVERGED:
        reason = " ".join(test.reason.split())[:MAX_REASON] or test.verdict.value
        return _NUMBERS.sub("#", reason), reason, ""
    if found is not None and found.causes:
        cause = found.causes[0]
        # The place of the cause, or where the first value differs: the line that a user changes.
        place = cause.location or found.first_divergence
        return f"{cause.code} {_place(place)}", _say_cause(cause, place), cause.fix
    if found is not None and found.first_divergence is not None:
        first = found.first_divergence
        return _place(first), f"{_place(first)}: `{first.name}` differs first, cause not found{_source(first)}", ""
    if found is not None and found.stopped_by:
        return "stopped", "not diagnosed to the end: the budget was spent", ""
    if found is None:
        return "none", "no diagnosis was made", ""
    return "unknown", "no cause was found", ""


def _say_cause(cause: Cause, place: Location | FirstDivergence | None) -> str:
    where = f" at {_place(place)}{_source(place)}" if place is not None else ""
    axis = f" (axis {cause.axis})" if cause.axis and not cause.code.startswith(cause.axis) else ""
    return f"{cause.code}{axis}{where}"


def _place(place: Location | FirstDivergence | None) -> str:
    return "" if place is None else f"{place.file}:{place.line}"


def _source(place: Location | FirstDivergence) -> str:
    text = " ".join(place.source.split())
    return f": `{text if len(text) <= MAX_SOURCE else text[: MAX_SOURCE - 3] + '...'}`" if text else ""


def group_lines(groups: Sequence[Group], *, limit: int | None, width: int = 100) -> list[str]:
    """Return two lines for each group, its finding and its first test, and how many groups are left out."""
    shown = groups if limit is None else groups[:limit]
    lines = []
    for group in shown:
        count = f"{len(group.tests):,} test{'s' * (len(group.tests) != 1)}"
        known = "known: " if group.is_accepted else ""
        word = "" if group.verdict is Verdict.DIVERGED else f"{group.verdict.value}: "
        lines.append(_cut(escape(f"  {count:>9}  {known}{word}{group.what}"), width))
        named = group.tests if limit is None else group.tests[:1]
        more = f" and {len(group.tests) - len(named):,} more" if len(group.tests) > len(named) else ""
        lines += [escape(f"             {name}") for name in named[:-1]]
        lines.append(f"             {escape(named[-1])}{more}")
        if limit is None and group.fix:
            lines.append(_cut(escape(f"             fix: {' '.join(group.fix.split())}"), 4 * width))
    if hidden := groups[len(shown) :]:
        tests = sum(len(group.tests) for group in hidden)
        lines.append(f"  and {len(hidden):,} other findings in {tests:,} tests (-v shows all, --repro-html has them)")
    return lines


def unfinished_lines(tests: Sequence[ReportedTest], *, shows_all: bool = False) -> list[str]:
    """Return which tests were not diagnosed to the end since a budget was spent, and the command that goes on."""
    found = [test for test in tests if test.diagnosis is not None and test.diagnosis.stopped_by == "session"]
    if not found:
        return []
    named = [test.nodeid for test in (found if shows_all else found[:MAX_IN_COMMAND])]
    more = f" and {len(found) - len(named):,} more (-v shows all)" if len(found) > len(named) else ""
    count = f"{len(found):,} test{' was' if len(found) == 1 else 's were'}"
    lines = [f"{count} not diagnosed to the end, since --repro-budget was spent:"]
    lines += [escape(f"  {name}") for name in named]
    lines[-1] += more
    if command := _join_commands(found):
        lines.append(f"  go on with: {escape(command)}")
    return lines


def _join_commands(tests: Sequence[ReportedTest]) -> str:
    """Return one command for the first tests that are repeated with the same options."""
    names: dict[tuple[str, ...], list[str]] = {}
    for test in tests:
        try:
            words = shlex.split(test.repeat_command)
        except ValueError:
            continue
        if len(words) > 2:
            before = 2 if words[1] == "--pyargs" else 1
            options = (*words[:before], "", *words[before + 1 :])
            names.setdefault(options, []).append(words[before])
    if not names:
        return ""
    options, found = max(names.items(), key=lambda item: len(item[1]))
    words = [word for each in options for word in (found[:MAX_IN_COMMAND] if not each else [each])]
    return shlex.join(words)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
