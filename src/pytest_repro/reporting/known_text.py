"""Lines about known findings and excluded tests, and the text of `pytest-repro known`."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_repro.model.accepted import KnownTally, NotChecked
from pytest_repro.model.known_changes import KnownChanges
from pytest_repro.model.reported import ReportedTest
from pytest_repro.model.text import escape

#: Tests that are named of each kind, unless all are asked for.
MAX_NAMED = 5
#: Reasons of excluded tests that are shown.
MAX_REASONS = 5


def accepted_lines(
    tests: Sequence[ReportedTest], tally: KnownTally | None, *, lists_only: bool = False, shows_all: bool = False
) -> list[str]:
    """Return what pytest reports as expected failures, and what of a file of known findings is out of date."""
    lines = []
    if tally is not None:
        new = sum(each.acceptance is not None and each.acceptance.status in ("new", "listed") for each in tests)
        lines.append(
            f"known findings ({escape(tally.file)}): {tally.occurred:,} as recorded, {new:,} new, "
            f"{len(tally.expired):,} expired, {len(tally.mended):,} mended, {tally.not_run:,} not compared here"
        )
        lines += _named("  expired", tally.expired, shows_all)
        lines += _named("  another finding than the file has", tally.changed, shows_all)
        lines += _named("  mended: remove the entry", tally.mended, shows_all)
        only = sum(
            each.acceptance is not None
            and each.acceptance.status == "known"
            and each.acceptance.explanation.startswith("matched by test and artifacts only")
            for each in tests
        )
        if only:
            lines.append(f"  {_count(only)} matched by test and artifacts only, since no cause could be compared")
    if lists_only:
        listed = sum(each.acceptance is not None and each.acceptance.status == "listed" for each in tests)
        lines.append(f"--repro-report: {_count(listed)} with a finding did not fail; the verdicts are as they are")
    return lines


def not_checked_lines(excluded: Sequence[NotChecked], *, shows_all: bool = False) -> list[str]:
    """Return which tests their marker excludes, grouped by the reason."""
    by_reason: dict[str, list[str]] = {}
    for each in excluded:
        by_reason.setdefault(each.reason, []).append(each.test)
    ranked = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    shown = ranked if shows_all else ranked[:MAX_REASONS]
    lines = []
    for reason, names in shown:
        listed = names if shows_all else names[:1]
        more = f" and {len(names) - len(listed):,} more" if len(names) > len(listed) else ""
        lines.append(escape(f"not checked: {reason}: {', '.join(listed)}{more}"))
    if hidden := len(ranked) - len(shown):
        lines.append(f"not checked: {hidden:,} other reasons (-v shows all)")
    return lines


def describe_changes(changes: KnownChanges, *, written: str, had_file: bool) -> str:
    """Return what a new file of known findings has, and how it differs from the old one."""
    findings = changes.findings
    where = f"{written}: " if written else "not written (--write FILE does): "
    lines = [f"{where}{len(findings):,} finding{'s' * (len(findings) != 1)}"]
    if had_file or not written:
        lines[0] += f", {len(changes.added):,} new, {len(changes.changed):,} changed, {len(changes.mended):,} mended"
    kinds = [
        ("new", changes.added if had_file or not written else ()),
        ("changed", changes.changed),
        ("mended", changes.mended),
        ("in no report, entry kept", changes.unseen),
        ("differs from its record, and gets no entry", changes.of_records),
        ("could not be judged (verdict error), and gets no entry", changes.errors),
    ]
    for words, names in kinds:
        lines += _named(f"  {words}", names, shows_all=not written)
    if changes.unfinished:
        lines.append(
            f"{changes.unfinished} report{'s' * (changes.unfinished != 1)} of sessions that did not come to their end: "
            "tests that they lack keep their entries"
        )
    return "\n".join(lines)


def _named(words: str, names: Sequence[str], shows_all: bool) -> list[str]:
    shown = names if shows_all else names[:MAX_NAMED]
    lines = [escape(f"{words}: {name}") for name in shown]
    return lines + ([f"{words}: and {len(names) - len(shown):,} more"] if len(names) > len(shown) else [])


def _count(number: int) -> str:
    return f"{number:,} test{'s' * (number != 1)}"
