"""Text of a comparison: a table row per differing artifact, worst first, then its values and what was allowed."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from pytest_repro.comparing.elements import escape, shorten
from pytest_repro.comparing.live import compare
from pytest_repro.errors import ReproError
from pytest_repro.model import ArtifactComparison, Comparison, NotCompared, Verdict
from pytest_repro.model.redaction import redact_assignments, redact_value
from pytest_repro.model.text import MESSAGE_WIDTH, wrap
from pytest_repro.numerics.formats import format_of
from pytest_repro.undisturbed import undisturbed

#: Artifacts described in full. The others are only counted: a model has hundreds, and the worst few are enough.
MAX_SHOWN = 10
_MAX_LEFT_OUT = 3
_HEADINGS = ("artifact", "dtype", "shape", "differing", "max ulp", "max abs", "first at")
_RIGHT_ALIGNED = {3, 4, 5}
_MIN_NAME_WIDTH = 16
#: Width of a name for which the index and the shape are left out: layers of a model are told apart by their names.
_GOOD_NAME_WIDTH = 36
#: Width of an exception's message: pytest prints eight characters before each line of it in a function.
ASSERTION_WIDTH = MESSAGE_WIDTH - 8
#: Codes of the causes by which numbers are rounded differently, and of those that may be no more than that.
_ROUNDINGS = re.compile(
    r"threads\.(?!race)|isa\.|precision\.|device\.kernels|env\.(packages|machine|cpu_affinity)|memory\.layout|fs\.order|"
    r"batch\.(kernel|size|simd_tail)|distributed\.|compile\.(rounding|jit)|race\.kernel|"
    r"roundtrip\.(computation|dtype|kernels|layout|precision)|.*\.rounding|hash\.|estimator\.(threads|layout|float32|row_order)"
)
#: Types of single numbers -> the format that they have.
_FORMATS = {"float": "float64", "complex": "float64", "complex64": "float32", "complex128": "float64"}


def describe_comparison(comparison: Comparison, *, width: int = MESSAGE_WIDTH) -> str:
    """Describe a comparison: the verdict, a table of the differing artifacts, and their values.

    Parameters
    ----------
    comparison : Comparison
    width : int
        Longest line [characters]. Paths and shapes are shortened to fit, and texts are wrapped.
    """
    differences, heading = choose_differences(comparison)
    lines = wrap(heading, width)
    if not differences:
        return "\n".join(lines)
    lines += ["", *render_rows(differences[:MAX_SHOWN], width=width)]
    if len(differences) > MAX_SHOWN:
        lines.append(f"... and {len(differences) - MAX_SHOWN:,} more")
    for difference in differences[:MAX_SHOWN]:
        title, rows = describe_difference(difference)
        lines += ["", *wrap(title, width)]
        for label, text in rows:
            lines += wrap(text, width, f"  {label:<10}", " " * 12)
    return "\n".join(lines)


def clean(text: str) -> str:
    """Return one line of a message without secrets and control characters, before it is wrapped or cut."""
    # In this order: an escaped secret is not found. A record's types and notes are not trusted.
    return escape(redact_assignments(text))


def render_rows(rows: Sequence[ArtifactComparison], *, width: int = MESSAGE_WIDTH) -> list[str]:
    """Render the table of some artifacts: a heading and a line for each."""
    return layout_table(table_cells(rows), width)


def table_cells(rows: Sequence[ArtifactComparison]) -> list[tuple[str, ...]]:
    """Return the cells of the table of some artifacts, the headings first."""
    return [_HEADINGS, *(tuple(map(clean, _cells(row))) for row in rows)]


def layout_table(cells: Sequence[Sequence[str]], width: int = MESSAGE_WIDTH) -> list[str]:
    """Return the lines of a table for a width [characters]."""
    table = [tuple(row) for row in cells]
    for column in (2, 6, 1):  # a shape of 32 axes must not push the figures off the screen
        table = [tuple(shorten(c, 24) if i == column else c for i, c in enumerate(row)) for row in table]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEADINGS))]
    shown = list(range(len(_HEADINGS)))
    for dispensable in (6, 2):  # the first index is repeated below the table, and the shape is known to the reader
        if _width_of_name(width, widths, shown) < min(widths[0], _GOOD_NAME_WIDTH):
            shown.remove(dispensable)
    widths[0] = min(widths[0], max(_MIN_NAME_WIDTH, _width_of_name(width, widths, shown)))
    table = [(shorten(row[0], widths[0]), *row[1:]) for row in table]
    return ["  ".join(_align(row[i], widths[i], i) for i in shown).rstrip() for row in table]


def _width_of_name(width: int, widths: list[int], shown: list[int]) -> int:
    """Return the characters left for the artifact's name."""
    return width - sum(widths[i] + 2 for i in shown[1:])


@undisturbed
def explain_assert(op: str, left: object, right: object) -> list[str] | None:
    """Explain a failed ``==`` between two arrays, tensors or comparisons for pytest, or return None."""
    if op != "==":
        return None
    if isinstance(left, Comparison) and isinstance(right, Comparison):
        return ["two comparisons differ:", *str(left).splitlines(), "and", *str(right).splitlines()]
    if not (_is_array(left) and _is_array(right)):
        return None
    try:
        comparison = compare(left, right)
    except ReproError:
        return None
    heading = f"{type(left).__name__} == {type(right).__name__}, compared bit by bit:"
    return [heading, *describe_comparison(comparison, width=ASSERTION_WIDTH).splitlines()]


def _is_array(value: object) -> bool:
    known = ((sys.modules.get("numpy"), "ndarray"), (sys.modules.get("torch"), "Tensor"))
    return any(module is not None and isinstance(value, getattr(module, name)) for module, name in known)


def choose_differences(comparison: Comparison) -> tuple[tuple[ArtifactComparison, ...], str]:
    """Return the differences to show, and the heading above them."""
    extent = f"{_count(comparison.artifacts, 'artifact')}, {_count(comparison.elements, 'element')}"
    diverged, tolerated = comparison.divergences, comparison.tolerated
    if comparison.verdict is Verdict.INCONCLUSIVE:
        reason = describe_left_out(comparison.left_out) or "there was nothing to compare"
        return (), f"inconclusive: {reason}"
    if comparison.verdict is Verdict.IDENTICAL:
        return (), f"identical, bit for bit: {extent}"
    verb = "differs" if len(diverged or tolerated) == 1 else "differ"
    if not diverged:
        return tolerated, f"within tolerance: {extent}; {_count(len(tolerated), 'artifact')} {verb} as allowed"
    also = f"; {len(tolerated):,} more within tolerance" if tolerated else ""
    total = _count(comparison.artifacts, "artifact")
    return diverged, f"{len(diverged):,} of {total} {verb} by more than allowed{also}"


def list_not_compared(values: Sequence[NotCompared]) -> list[str]:
    """Describe values that were not compared, each in a line: path, type and reason."""
    return [f"{shorten(escape(v.name)) or 'the root'} ({escape(v.type_name)}): {escape(v.reason)}" for v in values]


def describe_left_out(values: Sequence[NotCompared]) -> str:
    """Describe state that was not compared, or return an empty text if none was left out."""
    if not values:
        return ""
    shown = list_not_compared(values)
    more = f", and {len(shown) - _MAX_LEFT_OUT} more" if len(shown) > _MAX_LEFT_OUT else ""
    return f"state was not compared, so the rest proves nothing: {'; '.join(shown[:_MAX_LEFT_OUT])}{more}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _cells(row: ArtifactComparison) -> tuple[str, ...]:
    return (
        escape(row.artifact) or "(root)",
        escape(row.dtype) or "-",
        "-" if row.shape is None else str(row.shape),
        _describe_share(row),
        "-" if row.max_ulp is None else describe_steps(row.max_ulp),
        "-" if row.max_abs is None else f"{row.max_abs:.1e}",
        "-" if not row.first_index else str(list(row.first_index)),
    )


def _describe_share(row: ArtifactComparison) -> str:
    if row.kind not in ("values", "nan") and not row.differing:
        return row.kind
    if row.kind in ("missing", "extra"):
        return row.kind
    share = row.differing / row.elements if row.elements else 1.0
    percent = "100%" if row.differing == row.elements else f"{min(share, 0.999):.1%}" if share >= 0.001 else "<0.1%"
    return f"{row.differing}/{row.elements} {percent}"


def describe_steps(steps: int) -> str:
    """Return a distance [ulp] as text, a power of 2 where it is large."""
    return f"{steps:,}" if steps < 10**12 else f"~2^{steps.bit_length() - 1}"


def _align(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column in _RIGHT_ALIGNED else cell.ljust(width)


def describe_difference(row: ArtifactComparison, codes: Iterable[str] = ()) -> tuple[str, list[tuple[str, str]]]:
    """Describe how an artifact differs: a title, and rows of a label and a text.

    The smallest bound that would have passed is among them where :func:`is_bound_useful` says so for the codes of the
    causes that are known.
    """
    title = f"{shorten(escape(row.artifact), 90) or '(root)'}: {_describe_kind(row)}"
    place = f" at {list(row.first_index)}" if row.first_index else ""
    rows = [
        ("actual", f"{redact_value(row.artifact, row.actual)}{place}"),
        ("expected", redact_value(row.artifact, row.expected)),
    ]
    if row.kind in ("values", "nan"):
        rows += _describe_figures(row)
        if row.minimum and not row.within and is_bound_useful(row, codes):
            rows.append(("minimum", row.minimum))
    if row.note:
        rows.append(("note", row.note))
    return clean(title), [(label, clean(text)) for label, text in rows]


def is_bound_useful(row: ArtifactComparison, codes: Iterable[str] = ()) -> bool:
    """Return whether the smallest bound that would have passed is of use to a reader.

    It is where roundings explain the difference. Elsewhere something else was computed, and a bound that lets that pass
    lets anything pass. So not where a cause is known that is none of roundings. Else where a bound was given, of which
    the reader wants to know by how much it was missed, or where the difference is small: at least half of the digits of
    the format agree, over the whole array or in each element. Sums of a million terms in another order stay below that.
    Of integers only a difference of one is that of a rounding.
    """
    if any(not _ROUNDINGS.match(code) for code in codes):
        return False
    if row.allowed != "no difference":
        return True
    fmt = format_of(row.dtype) or format_of(_FORMATS.get(row.dtype, ""))
    if fmt is None:
        return row.max_abs is not None and row.max_abs <= 1
    share = min((figure for figure in (row.norm_rel, row.max_rel) if figure is not None), default=math.inf)
    is_close = row.max_ulp is not None and row.max_ulp.bit_length() <= (fmt.mantissa + 1) // 2
    return is_close or share <= 2.0 ** -(fmt.mantissa // 2)


def _describe_kind(row: ArtifactComparison) -> str:
    texts = {
        "structure": "the structure differs",
        "missing": "missing from actual",
        "extra": "not in expected",
        "type": "the type differs",
        "dtype": "the dtype differs",
        "shape": "the shape differs",
        "nan": "NaN differs",
        "values": "the values differ",
    }
    return texts[row.kind]


def _describe_figures(row: ArtifactComparison) -> list[tuple[str, str]]:
    rows = []
    if row.elements > 1 and row.worst_index is not None and row.worst_index != row.first_index:
        rows.append(("worst at", str(list(row.worst_index))))
    figures = [("max rel", row.max_rel), ("norm of the difference / norm of expected", row.norm_rel)]
    shown = [f"{name} {figure:.1e}" for name, figure in figures if figure is not None]
    if shown:
        rows.append(("relative", ", ".join(shown)))
    partly = not row.within and row.over != row.differing
    over = f"; {row.over:,} of {row.differing:,} differing elements exceed it" if partly else ""
    rows.append(("allowed", f"{row.allowed}{over}"))
    return rows


def join_sections(*sections: Any) -> str:
    """Join the sections of a message that are not empty by blank lines."""
    return "\n\n".join(str(section) for section in sections if section)
