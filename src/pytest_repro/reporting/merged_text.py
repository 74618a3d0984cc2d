"""A merge of collections as text: environments, a matrix of tests by environments, what differs, what explains it.

Computes no figure.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from pytest_repro.comparing.elements import shorten
from pytest_repro.model.merged import GOOD, CellKind, Explanation, MergedCell, MergedSession, MergedTest, Split
from pytest_repro.model.reported import RecordDifference
from pytest_repro.model.text import escape

#: Cell -> its word in a column, the sign where there are too many columns for words, and its name in a sentence.
WORDS: dict[CellKind, tuple[str, str, str]] = {
    "identical": ("same", "=", "identical"),
    "within_tolerance": ("close", "~", "within tolerance"),
    "diverged": ("DIFFERS", "X", "diverged"),
    "not_measured": ("DIFFERS?", "?", "differs, not measured"),
    "not_comparable": ("OTHER", "O", "not comparable"),
    "unstable": ("UNSTABLE", "U", "unstable"),
    "inconclusive": ("unclear", "i", "inconclusive"),
    "failed": ("FAILED", "F", "failed"),
    "skipped": ("skipped", "s", "skipped"),
    "xfailed": ("xfailed", "k", "failed as expected"),
    "no_values": ("no value", "v", "without a value"),
    "deselected": ("left out", "d", "deselected"),
    "not_run": ("not run", "r", "not run"),
    "not_collected": ("no file", "c", "not collected"),
    "missing": ("MISSING", "-", "missing"),
}
MEANINGS: dict[CellKind, str] = {
    "identical": "every bit is the baseline's",
    "within_tolerance": "differs from the baseline within the test's tolerance",
    "diverged": "differs from the baseline by more than allowed",
    "not_measured": "differs from the baseline; by how much was not measured",
    "not_comparable": "of another seed, condition, tolerance, data or hyperparameters, so not comparable",
    "unstable": "its own runs differ from each other, so it has no result",
    "inconclusive": "its own runs allow no verdict, so it has no result",
    "failed": "failed by itself, so it has no result",
    "skipped": "skipped there",
    "xfailed": "failed there as its xfail mark says",
    "no_values": "returns nothing that a record can hold",
    "deselected": "deselected there",
    "not_run": "the session ended before it",
    "not_collected": "its file could not be collected there, or skipped itself",
    "missing": "no such reproducible test there",
}
_TIERS = {None: "", "bits": "bit for bit", "tolerance": "by tolerance"}
#: Tier -> when it applies.
RULES: dict[str | None, str] = {
    None: "",
    "bits": "bit for bit: the two environments match in everything that can change bits",
    "tolerance": "by tolerance: the two environments differ in something that can change bits",
}
#: Rows of the matrix on a terminal; HTML and JSON have all.
MAX_ROWS = 60
#: Reasons, tests of a split, and differing artifacts of a test that are listed.
MAX_REASONS = 30
MAX_TESTS = 5
MAX_EXPLANATIONS = 5
MAX_SIMILAR = 3
MAX_VALUES = 4
_LABEL = 24
_WORD = 8
_SIGN = 3
_MIN_NAME = 32


def merge_lines(session: MergedSession, *, width: int = 80) -> list[str]:
    """Return a merge in lines of at most `width` characters, in which no text of a folder moves the cursor."""
    tests = len(session.tests)
    lines = [f"{_count(len(session.environments), 'environment')}, {_count(tests, 'test')}, {escape(session.code)}"]
    lines = _wrap(lines[0], width)
    lines += _wrap(f"baseline: {escape(session.baseline)}, {escape(session.baseline_reason)}", width)
    for note in session.notes:
        lines += _wrap(f"note: {escape(note)}", width, "  ")
    lines += ["", *_environment_lines(session, width), "", *_matrix_lines(session, width)]
    lines += _difference_lines(session, width)
    lines += _reason_lines(session, width)
    lines += ["", *_group_lines(session, width)]
    for split in session.splits:
        lines += ["", *_split_lines(split, width)]
    lines += _not_compared_lines(session, width)
    return [*lines, "", *_wrap(say_result(session), width)]


def say_result(session: MergedSession) -> str:
    """Return the result in a sentence."""
    skipped = sum(test.is_skipped for test in session.tests)
    compared = len(session.tests) - skipped
    also = f" {_count(skipped, 'test')} skipped or xfailed everywhere, so not compared." if skipped else ""
    if session.is_same:
        close = session.counts.get("within_tolerance", 0)
        how = f"identical or, {_count(close, 'time')}, within its tolerance" if close else "identical"
        every = f"all {compared:,} tests are" if compared > 1 else "the test is"
        return f"same: {every} {how} in {_count(len(session.environments), 'environment')}.{also}"
    bad = sum(not test.is_good and not test.is_skipped for test in session.tests)
    if not compared:
        return f"not shown to be the same: no environment has a result.{also}"
    kinds = [kind for kind in WORDS if kind not in GOOD and session.counts.get(kind)]
    cells = ", ".join(f"{session.counts[kind]:,} {WORDS[kind][2]}" for kind in kinds)
    unfinished = sum(not environment.is_finished for environment in session.environments)
    cut = f" {_count(unfinished, 'folder')} unfinished." if unfinished else ""
    if not bad:
        return f"not shown to be the same: what was collected agrees.{cut}{also}"
    return f"not the same: {bad:,} of {_count(compared, 'test')} ({cells}).{cut}{also}"


def _environment_lines(session: MergedSession, width: int) -> list[str]:
    """Return the legend of the columns: number, label, and by what people tell machines apart."""
    label = min(_LABEL, max(len(escape(environment.label)) for environment in session.environments))
    common = find_common(session)
    lines = _wrap(f"    everywhere: {escape(', '.join(common))}", width, "      ") if common else []
    for number, environment in enumerate(session.environments, 1):
        facts = [] if environment.is_finished else ["UNFINISHED"]
        facts += [fact for fact in environment.summary if fact not in common]
        facts += [f"{environment.without:,} without a result"] if environment.without else []
        head = f"{number:>3} {shorten(escape(environment.label), label):<{label}}  "
        lines += _wrap(head + escape(", ".join(facts)), width, " " * len(head))
    return lines


def find_common(session: MergedSession) -> list[str]:
    """Return the parts of the summary that all environments share."""
    first, *others = (environment.summary for environment in session.environments)
    return [fact for fact in first if all(fact in summary for summary in others)]


def _matrix_lines(session: MergedSession, width: int) -> list[str]:
    rows = list(session.tests)
    if len(rows) > MAX_ROWS:
        rows.sort(key=lambda test: test.is_good)  # what needs a look comes first
    shown, hidden = rows[:MAX_ROWS], rows[MAX_ROWS:]
    longest = max((len(_name(test)) for test in shown), default=0) + 2
    signs = len(session.environments) * (_WORD + 1) > width - min(longest, _MIN_NAME)
    column = _SIGN if signs else _WORD + 1
    count = max(1, (width - min(longest, _MIN_NAME)) // column)
    lines: list[str] = []
    for start in range(0, len(session.environments), count):
        numbers = range(start, min(start + count, len(session.environments)))
        name = min(longest, width - len(numbers) * column)
        lines += [""] if lines else []
        lines.append(f"{'':<{name}}" + "".join(f"{number + 1:>{column}}" for number in numbers))
        file = ""
        for test in shown:
            if _file(test) != file:
                file = _file(test)
                lines.append(shorten(file, width))
            cells = "".join(f"{WORDS[test.cells[number].kind][int(signs)]:>{column}}" for number in numbers)
            lines.append(f"{shorten(f'  {_name(test)}', name):<{name}}{cells}")
    if hidden:
        good = sum(test.is_good for test in hidden)
        rest = f", and {len(hidden) - good:,} that do not" if good < len(hidden) else ""
        lines += _wrap(f"... and {good:,} more that agree{rest}: --html and --json have all rows", width)
    kinds = {cell.kind for test in session.tests for cell in test.cells}
    for kind, (word, sign, _) in WORDS.items():
        if kind in kinds and (signs or kind != "identical"):
            lines += _wrap(f"{sign if signs else word}: {MEANINGS[kind]}", width, "  ")
    return lines


def _file(test: MergedTest) -> str:
    return escape(test.nodeid.partition("::")[0])


def _name(test: MergedTest) -> str:
    """Return a test's name within its file."""
    return escape(test.nodeid.partition("::")[2] or test.nodeid)


def _difference_lines(session: MergedSession, width: int) -> list[str]:
    """Return the largest difference of each test, and the rule by which it was judged."""
    found = [(test, worst) for test in session.tests if (worst := find_worst(test)) is not None]
    if not found:
        return []
    lines = ["", "largest differences from the baseline"]
    for test, (number, cell, difference) in found[:MAX_REASONS]:
        label = escape(session.environments[number].label)
        lines += _wrap(f"  {_name(test)}, {label}, {_TIERS[cell.tier]}: {say_difference(difference)}", width, "    ")
    if len(found) > MAX_REASONS:
        lines.append(f"  ... and {len(found) - MAX_REASONS:,} more")
    tiers = dict.fromkeys(cell.tier for _, (_, cell, _) in found)
    for tier in tiers:
        lines += _wrap(f"  {RULES[tier]}", width, "    ")
    return lines


def find_worst(test: MergedTest) -> tuple[int, MergedCell, RecordDifference] | None:
    """Return the environment (by index), the cell and the artifact with a test's largest difference."""
    found = [(number, cell, cell.differences[0]) for number, cell in enumerate(test.cells) if cell.differences]
    return min(found, key=lambda each: each[2].rank, default=None)


def say_difference(difference: RecordDifference) -> str:
    """Return a difference in short: where, how many elements, how far."""
    name = shorten(escape(difference.artifact), 40) or "the result"
    if difference.kind not in ("values", "nan"):
        return f"{name}: {difference.kind}"
    figures = [f"{difference.differing:,} of {difference.elements:,} differ"]
    figures += [f"{difference.max_ulp:,} ulp"] if difference.max_ulp is not None else []
    figures += [f"{difference.max_abs:.3g} absolute"] if difference.max_abs is not None else []
    figures += [f"allowed: {escape(difference.allowed)}"] if difference.allowed else []
    return f"{name}: {', '.join(figures)}"


def _reason_lines(session: MergedSession, width: int) -> list[str]:
    """Return why cells have no result, or none that is comparable."""
    found = group_reasons(session)
    lines = ["", "reasons"] if found else []
    for kind, reason, names, labels in found[:MAX_REASONS]:
        where = f"{_list_some(map(escape, names))} in {_list_some(map(escape, labels))}"
        lines += _wrap(f"  {WORDS[kind][2]}: {where}: {escape(reason)}", width, "    ")
    if len(found) > MAX_REASONS:
        lines.append(f"  ... and {len(found) - MAX_REASONS:,} more")
    return lines


def group_reasons(session: MergedSession) -> list[tuple[CellKind, str, list[str], list[str]]]:
    """Return the reasons of cells, each once, with the tests and the environments that it holds for."""
    by_test: dict[tuple[CellKind, str, str], list[str]] = {}
    for test in session.tests:
        for environment, cell in zip(session.environments, test.cells, strict=True):
            if cell.reason:
                by_test.setdefault((cell.kind, cell.reason, test.nodeid), []).append(environment.label)
    found: dict[tuple[CellKind, str, tuple[str, ...]], list[str]] = {}
    for (kind, reason, nodeid), labels in by_test.items():
        found.setdefault((kind, reason, tuple(labels)), []).append(nodeid.rpartition("/")[2])
    return [(kind, reason, names, [*labels]) for (kind, reason, labels), names in found.items()]


def _list_some(names: Iterable[str]) -> str:
    first, *others = names
    shown = ", ".join([first, *others[: MAX_TESTS - 1]])
    hidden = len(others) - (MAX_TESTS - 1)
    return f"{shown} and {hidden:,} more" if hidden > 0 else shown


def _group_lines(session: MergedSession, width: int) -> list[str]:
    if not session.groups:
        return _wrap("no test has a result in every environment, so the environments cannot be grouped", width)
    number = sum(map(len, session.groups))
    lines = _wrap(
        f"{_count(len(session.groups), 'distinct result')} over {_count(number, 'environment')}, by the bits of the "
        f"{_count(session.common, 'test')} that all of them have",
        width,
    )
    for letter, group in zip(_letters(), session.groups, strict=False):
        lines += _wrap(f"  {letter}  {', '.join(map(escape, group))}", width, "     ")
    if session.counts.get("within_tolerance"):
        rule = (
            "Groups have equal bits. The tolerance joins no groups: a may be close to b, and b to c, while a and c are "
            "far apart. Each cell is compared with the baseline alone."
        )
        lines += _wrap(f"  {rule}", width, "  ")
    return lines


def _split_lines(split: Split, width: int) -> list[str]:
    names = ", ".join(escape(name.rpartition("/")[2]) for name in split.tests[:MAX_TESTS])
    more = f" and {len(split.tests) - MAX_TESTS:,} more" if len(split.tests) > MAX_TESTS else ""
    lines = _wrap(f"split of {_count(len(split.tests), 'test')}: {names}{more}", width, "  ")
    for letter, group in zip(_letters(), split.groups, strict=False):
        lines += _wrap(f"  {letter}  {', '.join(map(escape, group))}", width, "     ")
    for text in say_explanations(split):
        lines += _wrap(f"  {text}", width, "    ")
    if split.unexplained:
        lines += _wrap(f"  {escape(split.unexplained)}", width, "  ")
    # Unbroken: they are to be copied.
    return [*lines, *(f"  confirm here: {escape(command)}" for command in split.commands)]


def say_explanations(split: Split) -> list[str]:
    """Return the explanations of a split, the likeliest first: similar ones in one line, and how many fit."""
    similar: dict[tuple[str, int | None], list[Explanation]] = {}
    for each in split.explanations:
        similar.setdefault((" and ".join(fact.part for fact in each.facts), each.group), []).append(each)
    lines = []
    for each, *others in [*similar.values()][:MAX_EXPLANATIONS]:
        names = ", ".join(" and ".join(fact.name for fact in other.facts) for other in others[:MAX_SIMILAR])
        more = f" and {len(others) - MAX_SIMILAR:,} more" if len(others) > MAX_SIMILAR else ""
        also = f"; {names}{more} fit{'s' * (len(others) == 1)} too" if others else ""
        lines.append(escape(f"{say_explanation(each)}{also}"))
    hidden = sum(map(len, [*similar.values()][MAX_EXPLANATIONS:]))
    lines += [f"... and by {hidden:,} less likely"] if hidden else []
    if len(split.explanations) > 1 and all(each.group is None for each in split.explanations):
        lines.append(
            f"{len(split.explanations):,} recorded differences fit equally, the likeliest first. An environment that "
            "differs in only one of them would tell them apart."
        )
    return lines


def say_explanation(explanation: Explanation) -> str:
    """Return the facts that set groups apart, with the value of each group."""
    parts = []
    for fact in explanation.facts:
        name = f"{fact.part} {fact.name}".strip()
        groups = [" or ".join(values[:MAX_VALUES]) + " ..." * (len(values) > MAX_VALUES) for values in fact.values]
        if explanation.group is None:
            parts.append(f"{name}: {' | '.join(groups)}")
        else:
            others = dict.fromkeys(v for n, each in enumerate(fact.values) if n != explanation.group for v in each)
            shown = [value for value in others if value not in fact.values[explanation.group]]
            rest = " or ".join(shown[:MAX_VALUES]) + " ..." * (len(shown) > MAX_VALUES)
            parts.append(f"{name}: {groups[explanation.group]} (others: {rest})")
    text = " together with ".join(parts)
    if explanation.group is None:
        return f"explained by {text}"
    return f"only {letters_of([()] * (explanation.group + 1))[-1]} has {text}"


def _not_compared_lines(session: MergedSession, width: int) -> list[str]:
    lines = [line for text in say_omissions(session, MAX_REASONS) for line in _wrap(f"  {escape(text)}", width, "    ")]
    return ["", "not compared", *lines] if lines else []


def say_omissions(session: MergedSession, limit: int) -> list[str]:
    """Return what was not compared, a line per type and reason, and the number of values that are in none of them.

    Not escaped: each output has its own way.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for test in session.tests:
        for value in test.not_compared:
            place = f"{value.name or 'the result'} of {test.nodeid.rpartition('/')[2]}"
            found.setdefault((value.type, value.reason), []).append(place)
    lines = []
    for (kind, reason), places in [*found.items()][:limit]:
        more = f" and {len(places) - 1:,} more" if len(places) > 1 else ""
        lines.append(f"{kind} ({places[0]}{more}): {reason}")
    hidden = sum(map(len, [*found.values()][limit:])) + sum(test.not_compared_left_out for test in session.tests)
    return [*lines, *([f"and {_count(hidden, 'more value')} that were not compared"] if hidden else [])]


def _letters() -> Iterator[str]:
    """Yield A to Z, then numbers."""
    yield from "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    number = 27
    while True:
        yield str(number)
        number += 1


def _wrap(text: str, width: int, indent: str = "") -> list[str]:
    """Break a line at spaces; a word that is longer than a line is broken too."""
    head = text[: len(text) - len(text.lstrip(" "))]
    return textwrap.wrap(
        text.lstrip(" "), width, initial_indent=head, subsequent_indent=indent or head, break_on_hyphens=False
    ) or [""]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def letters_of(groups: Sequence[Sequence[str]]) -> list[str]:
    """Return the letters by which groups are named."""
    return [letter for letter, _ in zip(_letters(), groups, strict=False)]
