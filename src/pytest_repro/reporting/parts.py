"""The parts of a message about a test, and their layout. Width, verbosity and colours are known only where it is shown.

The process that runs a test makes the parts. They travel as JSON, from a worker of pytest-xdist too, to the process
that has the terminal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from pytest_repro.comparing.message import layout_table
from pytest_repro.model.redaction import redact_assignments
from pytest_repro.model.text import MESSAGE_WIDTH, escape, wrap

#: A line: each piece of its text with the names of its styles.
Line = list[tuple[str, tuple[str, ...]]]
#: Lines of one failure without -v.
MAX_LINES = 12
#: Widths for which a text is laid out. Longer lines are hard to read.
MIN_WIDTH, MAX_WIDTH = 40, 100
_INDENT = " " * 10

Kind = Literal["heading", "finding", "command", "table", "title", "value", "text"]
KINDS = frozenset(get_args(Kind))
#: Label of a finding -> style of its text, and whether only its lead has it.
_STYLES = {"cause": ("red", "bold"), "suspect": ("yellow",), "where": ("cyan",), "fix": ("green",)}
#: Label of a part -> its name in the list of what was left out, in the singular.
_NAMES = {
    "note": "note",
    "cause": "cause",
    "suspect": "suspected cause",
    "engine": "engine",
    "axis": "axis",
    "differs": "circumstance",
    "unknown": "unknown circumstance",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message.

    Attributes
    ----------
    kind : {"heading", "finding", "command", "table", "title", "value", "text"}
        A command is not wrapped, so that it can be copied. A text has its lines already.
    label : str
    text : str
    rows : tuple of tuple of str
        Cells of a table, the headings first.
    total : int
        Rows that the table would have, if all were listed.
    lead : int
        Characters at the start of the text that are the most important: a cause's code, a place.
    is_detail : bool
        Whether it is shown only with -v.
    least : int
        Lines that it keeps where the message is to be short. A text that pytest shows whole keeps all.
    """

    kind: Kind
    label: str = ""
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    total: int = 0
    lead: int = 0
    is_detail: bool = False
    least: int = 1

    def to_json(self) -> list[Any]:
        """Return built-in values, which xdist sends."""
        rows = [list(row) for row in self.rows]
        return [self.kind, self.label, self.text, rows, self.total, self.lead, self.is_detail, self.least]

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> Part:
        """Return the part of :meth:`to_json`, without characters that move anything on a terminal."""
        kind, label, text, rows, total, lead, is_detail, least = data
        if kind not in KINDS:
            raise ValueError(f"no kind of part: {kind!r}")
        cells = tuple(tuple(escape(str(cell)) for cell in row) for row in rows)
        shown = "\n".join(map(escape, str(text).split("\n")))
        return cls(kind, escape(str(label)), shown, cells, int(total), int(lead), bool(is_detail), int(least))


@dataclass(frozen=True, slots=True)
class Message:
    """A message about a test."""

    parts: tuple[Part, ...]

    def __str__(self) -> str:
        """Return the whole text for a place whose width is not known: an exception, a file.

        A heading stays one line: it is what a program, or ``pytest.raises(match=...)``, looks for.
        """
        return "\n".join(map(plain, _lay_out_all(self.parts, MESSAGE_WIDTH, wraps_headings=False)))

    @property
    def summary(self) -> str:
        """The message in one line."""
        return self.parts[0].text if self.parts else ""

    def to_json(self) -> list[Any]:
        """Return the parts in built-in values."""
        return [part.to_json() for part in self.parts]

    def lay_out(self, width: int = MESSAGE_WIDTH, *, is_verbose: bool = True) -> list[Line]:
        """Return the lines for a terminal: all of them, or those that say what, where, why and what to do."""
        width = min(max(width, MIN_WIDTH), MAX_WIDTH)
        return _lay_out_all(self.parts, width) if is_verbose else _lay_out_short(self.parts, width)


def finding(label: str, text: str, *, lead: int = 0, is_detail: bool = False, least: int = 1) -> Part:
    """Return a part with a label, without secrets and control characters."""
    # Before it is wrapped: half a secret on each of two lines would not be found.
    text = escape(redact_assignments(text).replace("\n", " "))
    return Part("finding", label, text, lead=lead, is_detail=is_detail, least=least)


def plain(line: Line) -> str:
    """Return a line without its styles."""
    return "".join(text for text, _ in line)


def part_lines(part: Part, width: int) -> list[Line]:
    """Return the lines of one part."""
    if part.kind == "heading":
        return _styled(wrap(part.text, width, "", _INDENT), part.lead, ("red", "bold"))
    if part.kind == "table":
        rows = layout_table(part.rows, width - 2)
        return [[(f"  {row}", () if n else ("bold",))] for n, row in enumerate(rows)]
    if part.kind == "text":
        return [_text_line(line) for line in part.text.split("\n")]
    if part.kind == "title":
        return [[(line, ("bold",))] for line in wrap(part.text, width, "  ", "  ")]
    if part.kind == "value":
        return [[(line, ())] for line in wrap(part.text, width, f"    {part.label:<10}", " " * 14)]
    label = f"  {part.label:<8}"
    if part.kind == "command":
        return [[(label, ("bold",)), (part.text, ())]]
    lines = wrap(part.text, width, label, _INDENT) or [label.rstrip()]
    style = _STYLES.get(part.label, ())
    styled = _styled([line[len(label) :] for line in lines], part.lead, style)
    first, *rest = styled
    return [[(label, ("bold",)), *first], *([(_INDENT, ()), *line] for line in rest)]


def _styled(lines: Sequence[str], lead: int, style: tuple[str, ...]) -> list[Line]:
    """Give the first `lead` characters of a text in lines a style, or all of it without a lead."""
    if not lead:
        return [[(line, style)] for line in lines]
    styled: list[Line] = []
    for line in lines:
        strong, rest = line[: max(lead, 0)], line[max(lead, 0) :]
        styled.append([piece for piece in ((strong, style), (rest, ())) if piece[0]])
        lead -= len(line) + 1
    return styled


def _text_line(line: str) -> Line:
    """Return a line of a finished text. pytest's own tracebacks mark the lines of an error by an E."""
    return [(line, ("red", "bold") if line.startswith("E  ") else ())]


def _lay_out_all(parts: Iterable[Part], width: int, *, wraps_headings: bool = True) -> list[Line]:
    lines: list[Line] = []
    before: Part | None = None
    for part in parts:
        if before is not None and _is_apart(before, part):
            lines.append([])
        is_whole = part.kind == "heading" and not wraps_headings
        lines += [[(part.text, ())]] if is_whole else part_lines(part, width)
        if part.kind == "table" and part.total >= len(part.rows):
            lines.append([(f"  ... and {part.total + 1 - len(part.rows):,} more", ())])
        before = part
    return lines


def _is_apart(before: Part, part: Part) -> bool:
    """Return whether an empty line divides two parts."""
    if {before.kind, part.kind} <= {"finding", "command"} or (before.kind, part.kind) == ("heading", "heading"):
        return False
    return part.kind != "value"


#: What is cut first where a message is too long, and to how many lines: label or kind, lines.
_CUTS = (
    ("table", 4),
    ("unknown", 0),
    ("differs", 1),
    ("asserted", 6),
    ("suspect", 1),
    ("cause", 4),
    ("axis", 1),
    ("where", 1),
    ("table", 3),
    ("cause", 3),
    ("heading", 2),
    ("fix", 2),
    ("table", 2),
    ("asserted", 3),
    ("suspect", 0),
    ("axis", 0),
    ("cause", 2),
    ("heading", 1),
    ("fix", 1),
    ("cause", 1),
)


def _lay_out_short(parts: Sequence[Part], width: int) -> list[Line]:
    """Lay out at most `MAX_LINES` lines, and say what they leave out. Commands and whole texts are never cut."""
    shown = [part for part in parts if not part.is_detail]
    blocks = [_captioned(part, parts, width) for part in shown]
    whole = [len(block) for block in blocks]
    free = MAX_LINES + sum(length for part, length in zip(shown, whole, strict=True) if part.label == "whole")
    leaves_out = any(part.is_detail for part in parts)
    for label, least in _CUTS:
        for n in reversed(range(len(shown))):
            excess = sum(map(len, blocks)) + leaves_out - free
            if excess > 0 and label in (shown[n].label, shown[n].kind) and len(blocks[n]) > least:
                leaves_out = True
                keep = max(least, len(blocks[n]) - excess - 1)
                blocks[n] = _cut(shown[n], blocks[n], keep, width)
    left = _describe_left(parts, shown, blocks, whole, width)
    lines: list[Line] = []
    empty = free - sum(map(len, blocks)) - bool(left)
    before: Part | None = None
    for part, block in zip(shown, blocks, strict=True):
        if empty > 0 and before is not None and block and _is_apart(before, part):
            lines.append([])
            empty -= 1
        lines += block
        before = part if block else before
    if left:
        lines.append([("  more    ", ("bold",)), (left, ("light",))])
    return lines


def _captioned(part: Part, parts: Sequence[Part], width: int) -> list[Line]:
    """Return the lines of a part, and for a table the number of all artifacts in its heading."""
    if part.kind == "table" and part.text:
        part = replace(part, rows=((part.text, *part.rows[0][1:]), *part.rows[1:]))
    return part_lines(part, width)


def _cut(part: Part, block: list[Line], keep: int, width: int) -> list[Line]:
    """Return the first lines of a part, with an ellipsis where a sentence is cut."""
    if part.kind in ("table", "text") or not keep:
        return block[:keep]
    *kept, last = block[:keep]
    text = plain(last)
    if len(text) > width - 4:
        text = text[: width - 4].rpartition(" ")[0]
    style = last[-1][1]
    head = last[0] if len(last) > 1 else None
    if head is not None and text.startswith(head[0]):
        return [*kept, [head, (f"{text[len(head[0]) :]} ...", style)]]
    return [*kept, [(f"{text} ...", style)]]


def _describe_left(
    parts: Sequence[Part], shown: Sequence[Part], blocks: Sequence[list[Line]], whole: Sequence[int], width: int
) -> str:
    """Say what a short message leaves out, and how to see it."""
    names: list[str] = []
    rows = sum(
        part.total - max(0, len(block) - 1) for part, block in zip(shown, blocks, strict=True) if part.kind == "table"
    )
    if rows:
        names.append(f"{rows:,} more artifact{'s' * (rows != 1)}")
    if any(part.kind == "value" or (part.kind == "finding" and not part.label) for part in parts if part.is_detail):
        names.append("the values")
    counts = Counter(_NAMES[part.label] for part in parts if part.is_detail and part.label in _NAMES)
    gone = [part for part, block in zip(shown, blocks, strict=True) if not block]
    counts.update(_NAMES.get(part.label, "line") for part in gone)
    for name, count in counts.items():
        plural = "axes" if name == "axis" else f"{name}s"
        names.append({"engine": "what made each run"}.get(name) or f"{count} {name if count == 1 else plural}")
    if any(part.label == "runs" for part in parts if part.is_detail):
        names.append("the other runs")
    cut = [
        part.label or part.kind
        for part, block, length in zip(shown, blocks, whole, strict=True)
        if block and len(block) < length and part.kind != "table"
    ]
    names += [f"the rest of `{label}`" for label in dict.fromkeys(cut)]
    return _join(names, width - len(_INDENT)) if names else ""


def _join(names: Sequence[str], width: int) -> str:
    """Name what -v shows in one line, as much of it as fits."""
    for count in range(len(names), 0, -1):
        listed = [*names[:count], *(["more"] if count < len(names) else [])]
        text = f"-v shows {', '.join(listed[:-1])}{' and ' if listed[1:] else ''}{listed[-1]}"
        if len(text) <= width:
            break
    return text
