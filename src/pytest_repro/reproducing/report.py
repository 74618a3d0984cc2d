"""The text of a plan and of a reproduction, for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_repro.reproducing.findings import Outcome, Reproduction
from pytest_repro.reproducing.plan import WARNING, Plan, plan_lines

#: Entries of one kind that are shown; --json has all.
MAX_ENTRIES = 12
_INDENT = 15


def describe_plan(plan: Plan, *, width: int = 80) -> str:
    """Return what would be done."""
    lines = _table(plan_lines(plan), width)
    return "\n".join([*lines, "", f"Nothing was done. {WARNING}"])


def describe_reproduction(found: Reproduction, output: Path | None, *, width: int = 80) -> str:
    """Return the verdict, and what was found of each pillar."""
    lines = [_headline(found), ""]
    for pillar in found.pillars:
        entries = [
            *(("same", text) for text in pillar.same),
            *(("differs", text) for text in pillar.differing),
            *(("missing", text) for text in pillar.missing),
        ]
        rows = [(word, _first_lines(text)) for word, text in _limit(entries)] or [("-", "not looked at")]
        name = pillar.name
        for word, text in rows:
            lines += _row(name, f"{word:<8}{text}", width, hanging=8)
            name = ""
    for test in found.tests:
        if test.outcome is Outcome.INCOMPLETE and not found.missing:
            lines += _row("", f"missing {test.nodeid}: {test.reason}", width, hanging=8)
    written = "none was written, since no test ran" if output is None else f"{output}; it names"
    lines += ["", *_row("bundle", written, width)]
    if output is not None:
        lines += _row("", f"{found.reproduces.name} sha256 {found.reproduces.sha256}", max(width, 100))
    return "\n".join(lines)


def _headline(found: Reproduction) -> str:
    total = len(found.tests)
    same = sum(test.outcome.is_reproduced for test in found.tests)
    count = f"{same} of {total} test{'s' * (total != 1)} reproduced"
    return f"{found.outcome.value}: {count}"


def _limit(entries: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    hidden = len(entries) - MAX_ENTRIES
    shown = [*entries[:MAX_ENTRIES]] if hidden > 0 else [*entries]
    return [*shown, ("", f"and {hidden} more (--json shows all)")] if hidden > 0 else shown


def _first_lines(text: str) -> str:
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _table(rows: Iterable[tuple[str, str]], width: int) -> list[str]:
    lines, earlier = [], ""
    for name, text in rows:
        lines += _row("" if name == earlier else name, text, width)
        earlier = name
    return lines


def _row(name: str, text: str, width: int, *, hanging: int = 0) -> list[str]:
    indent = " " * (_INDENT + hanging)
    return textwrap.wrap(
        text,
        width,
        initial_indent=f"{name:<{_INDENT}}",
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
