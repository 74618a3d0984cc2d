"""The reproducibility matrix: a row a test, a column an axis, the verdict in the cell. Text and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: Cell -> word in the terminal, word in Markdown. Words, not colours, carry the meaning.
CELLS = {
    "identical": ("same", "same"),
    "within_tolerance": ("close", "within tolerance"),
    "diverged": ("DIFFERS", "**DIFFERS**"),
    "unstable": ("UNSTABLE", "**UNSTABLE**"),
    "not_isolated": ("DIFFERS?", "**DIFFERS?**"),
    "not_judged": ("unjudged", "**unjudged**"),
    "not_varied": ("not varied", "not varied"),
    "not_available": ("n/a", "n/a"),
}
LEGEND = {
    "unstable": "UNSTABLE: differs in a plain repeat already, so no axis is to blame",
    "not_isolated": "DIFFERS?: differs when varied together with others; which one could not be told",
    "not_judged": "unjudged: differs, and no float64 run could tell whether by rounding alone",
    "not_varied": "not varied: nothing that obeys the axis changed, so an equal result says nothing about it",
    "not_available": "n/a: this machine cannot vary it",
}


def matrix_lines(tests: Sequence[dict[str, Any]], *, width: int = 80) -> list[str]:
    """Return the matrix as text lines of at most `width` characters; empty if no test has an axis.

    Axes that do not fit beside each other go into further blocks below.
    """
    rows, axes = _rows(tests)
    if not rows:
        return []
    name_width = max(12, min(max(len(_name(test)) for test in rows), width // 2 - 4))
    lines: list[str] = []
    for block in _blocks(axes, width - name_width):
        header = "".join(f"  {axis:>{_column(axis)}}" for axis in block)
        lines.append(f"{'':<{name_width}}{header}")
        for test in rows:
            cells = "".join(f"  {_cell(test, axis, 0):>{_column(axis)}}" for axis in block)
            lines.append(f"{_shorten(_name(test), name_width):<{name_width}}{cells}")
    return lines + [text for cell, text in LEGEND.items() if _occurs(cell, rows)]


def matrix_markdown(tests: Sequence[dict[str, Any]]) -> str:
    """Return the matrix as a Markdown table, for ``$GITHUB_STEP_SUMMARY``; empty if no test has an axis."""
    rows, axes = _rows(tests)
    if not rows:
        return ""
    lines = [
        "### Reproducibility matrix",
        "",
        f"| test | {' | '.join(map(_escape, axes))} |",
        "|---|" + "---|" * len(axes),
    ]
    lines += [f"| {_escape(test['nodeid'])} | {' | '.join(_cell(test, axis, 1) for axis in axes)} |" for test in rows]
    legend = [f"- {text}" for cell, text in LEGEND.items() if _occurs(cell, rows)]
    return "\n".join([*lines, "", *legend]) + "\n"


def _rows(tests: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    rows = [test for test in tests if test["matrix"]]
    return rows, list(dict.fromkeys(axis for test in rows for axis in test["matrix"]))


def _name(test: dict[str, Any]) -> str:
    name = str(test["nodeid"]).rpartition("/")[2]
    return "".join(c if c.isprintable() else "?" for c in name)


def _cell(test: dict[str, Any], axis: str, form: int) -> str:
    cell = test["matrix"].get(axis)
    return CELLS[cell][form] if cell else "-"


def _column(axis: str) -> int:
    return max(len(axis), 10)


def _blocks(axes: list[str], room: int) -> list[list[str]]:
    blocks: list[list[str]] = [[]]
    used = 0
    for axis in axes:
        needed = _column(axis) + 2
        if blocks[-1] and used + needed > room:
            blocks.append([])
            used = 0
        blocks[-1].append(axis)
        used += needed
    return blocks


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else f"...{text[3 - width :]}"


def _occurs(cell: str, rows: list[dict[str, Any]]) -> bool:
    return any(cell in test["matrix"].values() for test in rows)


def _escape(text: str) -> str:
    """Make user text plain in a Markdown table cell: no markup, no HTML, no further column."""
    printable = "".join(c if c.isprintable() else "?" for c in text)
    for character in "\\`*_{}[]<>|#!":
        printable = printable.replace(
            character, f"\\{character}" if character not in "<>" else {"<": "&lt;", ">": "&gt;"}[character]
        )
    return printable
