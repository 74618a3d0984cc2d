"""Findings as annotations of GitHub Actions, and as GitLab's code quality report.

Texts of a report are hostile: a line break in one would begin another workflow command.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pytest_repro.comparing.elements import shorten
from pytest_repro.model.text import escape
from pytest_repro.reporting.findings import Finding, Place

#: File of a report -> its path in the repository, or None if it is in no repository.
Locate = Callable[[str], str | None]
#: GitHub shows no more annotations of one level that one step printed, and leaves out the others silently.
MAX_ANNOTATIONS = 10
#: Tests that an annotation names; the report has them all.
MAX_TESTS = 10
_MAX_TITLE, _MAX_TEXT, _MAX_NAME = 200, 2000, 300
#: GitLab's words.
_SEVERITIES = {"error": "major", "warning": "minor"}


def github_lines(findings: Sequence[Finding], locate: Locate) -> list[str]:
    """Return a workflow command for each finding, and one that counts those that GitHub would not show."""
    lines = []
    for level in ("error", "warning"):
        chosen = [found for found in findings if found.level == level]
        is_over = len(chosen) > MAX_ANNOTATIONS
        shown = chosen[: MAX_ANNOTATIONS - 1] if is_over else chosen
        lines += [_command(found, locate) for found in shown]
        if is_over:
            rest = chosen[len(shown) :]
            tests = len({name for found in rest for name in found.tests})
            text = f"{len(rest):,} more in {tests:,} test{'s' * (tests != 1)}: the report has them"
            lines.append(f"::{level} title={_property('Reproducibility: more findings')}::{_data(text)}")
    return lines


def _command(found: Finding, locate: Locate) -> str:
    properties = {"title": escape(shorten(found.title, _MAX_TITLE))}
    text = [*describe_finding(found)]
    if found.place is not None:
        path = _find(found.place, locate)
        if path is None:
            text.insert(0, _say_place(found.place))
        else:
            line = {"line": str(found.place.line)} if found.place.line is not None else {}
            properties = {"file": path, **line, **properties}
    shown = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{found.level} {shown}::{_data(chr(10).join(text))}"


def _find(place: Place, locate: Locate) -> str | None:
    """Return a place's path, unless its name has characters that would end the line or that no encoder takes."""
    path = locate(place.file)
    return path if path is not None and escape(path) == path else None


def describe_finding(found: Finding) -> list[str]:
    """Return the lines of a finding below its title: why, the fix, the tests, and how to repeat the first of them."""
    lines = [_one_line(found.text)] if found.text else []
    lines += [f"fix: {_one_line(found.fix)}"] if found.fix else []
    if found.tests:
        names = ", ".join(escape(shorten(name, _MAX_NAME)) for name in found.tests[:MAX_TESTS])
        hidden = len(found.tests) - MAX_TESTS
        count = "test" if len(found.tests) == 1 else f"{len(found.tests):,} tests"
        lines.append(f"{count}: {names}{f' and {hidden:,} more' if hidden > 0 else ''}")
    lines += [f"repeat: {_one_line(found.repeat_command)}"] if found.repeat_command else []
    return lines


def _one_line(text: str) -> str:
    return escape(shorten(text.replace("\n", " "), _MAX_TEXT))


def _say_place(place: Place) -> str:
    """Say a place that no annotation can show."""
    line = f":{place.line}" if place.line is not None else ""
    name = escape(shorten(place.file, _MAX_NAME))
    return f"in {name}{line}, which is not a file of this repository (--root names pytest's root folder)"


def _data(text: str) -> str:
    """Escape a command's message as GitHub's own toolkit does."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape a property's value, which ends at a comma or colon."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def gitlab_report(findings: Iterable[Finding], locate: Locate) -> list[dict[str, Any]]:
    """Return GitLab's code quality report.

    A fingerprint depends on the cause, the file, and the text of the statement, or on the test where no statement is
    known. So a finding keeps it if only its line number or its evidence changes.
    """
    entries, seen = [], Counter[str]()
    for found in findings:
        path = None if found.place is None else _find(found.place, locate)
        lines = describe_finding(found)
        if found.place is not None and path is None:
            lines.insert(0, _say_place(found.place))
        shown = found.place.file if found.place is not None else ""
        source = found.place.source if found.place is not None else ""
        identity = json.dumps([found.level, found.title, path or shown, source or [*found.tests[:1]]])
        seen[identity] += 1
        number = seen[identity]
        line = found.place.line if found.place is not None and path is not None else None
        entries.append(
            {
                "description": f"{escape(shorten(found.title, _MAX_TITLE))}. {'; '.join(lines)}",
                "check_name": f"pytest-repro: {found.code}",
                "fingerprint": hashlib.sha256(f"{identity} {number}".encode()).hexdigest(),
                "severity": _SEVERITIES[found.level],
                # GitLab drops an entry without a path and line.
                "location": {"path": path or ".", "lines": {"begin": line or 1}},
            }
        )
    return entries
