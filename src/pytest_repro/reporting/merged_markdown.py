"""A merge of collections as Markdown, for a pull request or ``$GITHUB_STEP_SUMMARY``. Text of users stays text."""

from __future__ import annotations

from pytest_repro.model.merged import GOOD, CellKind, MergedSession, Split
from pytest_repro.reporting.markdown import markdown_table, markdown_text
from pytest_repro.reporting.merged_text import (
    MEANINGS,
    RULES,
    WORDS,
    find_common,
    find_worst,
    group_reasons,
    letters_of,
    say_difference,
    say_explanations,
    say_omissions,
    say_result,
)

#: GitHub cuts a summary at 1 MiB, and a comment at 65,536 characters.
MAX_ROWS = 400
MAX_ITEMS = 50


def merge_markdown(session: MergedSession) -> str:
    """Return a merge as Markdown: the result, environments, the matrix, splits, differences, reasons, omissions."""
    lines = ["### Reproducibility across environments", "", f"**{markdown_text(say_result(session))}**", ""]
    lines += [f"- {markdown_text(session.code)}"]
    lines += [f"- baseline: {markdown_text(session.baseline)}, {markdown_text(session.baseline_reason)}"]
    lines += [f"- {markdown_text(note)}" for note in session.notes]
    common = find_common(session)
    rows = [
        [
            markdown_text(each.label),
            markdown_text(", ".join(fact for fact in each.summary if fact not in common) or "as everywhere"),
            f"{each.results:,}",
            "yes" if each.is_finished else "**no**",
        ]
        for each in session.environments
    ]
    lines += [f"- everywhere: {markdown_text(', '.join(common))}"] if common else []
    lines += ["", *markdown_table(["environment", "its own", "results", "finished"], rows), ""]
    lines += [*_matrix(session), ""]
    for split in session.splits[:MAX_ITEMS]:
        lines += [*_split(split), ""]
    lines += _differences(session)
    lines += _reasons(session)
    lines += _not_compared(session)
    return "\n".join(lines).rstrip("\n") + "\n"


def _matrix(session: MergedSession) -> list[str]:
    tests = sorted(session.tests, key=lambda test: test.is_good)
    rows = [[markdown_text(test.nodeid), *(_cell(cell.kind) for cell in test.cells)] for test in tests[:MAX_ROWS]]
    labels = [markdown_text(environment.label) for environment in session.environments]
    lines = markdown_table(["test", *labels], rows)
    hidden = tests[MAX_ROWS:]
    if hidden:
        lines += ["", f"{len(hidden):,} more tests, of which {sum(test.is_good for test in hidden):,} agree."]
    kinds = {cell.kind for test in session.tests for cell in test.cells}
    return [*lines, "", *(f"- {WORDS[kind][0]}: {MEANINGS[kind]}" for kind in MEANINGS if kind in kinds)]


def _cell(kind: CellKind) -> str:
    word = WORDS[kind][0]
    return word if kind in GOOD else f"**{word}**"


def _split(split: Split) -> list[str]:
    names = ", ".join(markdown_text(name) for name in split.tests[:MAX_ITEMS])
    hidden = len(split.tests) - MAX_ITEMS
    lines = [f"#### Split of {len(split.tests):,} test{'s' * (len(split.tests) != 1)}", ""]
    lines += [names + (f" and {hidden:,} more" if hidden > 0 else ""), ""]
    for letter, group in zip(letters_of(split.groups), split.groups, strict=True):
        lines.append(f"- {letter}: {markdown_text(', '.join(group))}")
    lines += [f"- {markdown_text(text)}" for text in say_explanations(split)]
    lines += [f"- {markdown_text(split.unexplained)}"] if split.unexplained else []
    return [*lines, *(f"- confirm here: {markdown_text(command)}" for command in split.commands)]


def _differences(session: MergedSession) -> list[str]:
    found = [(test, worst) for test in session.tests if (worst := find_worst(test)) is not None]
    if not found:
        return []
    lines = ["#### Largest differences from the baseline", ""]
    for test, (number, cell, difference) in found[:MAX_ITEMS]:
        label = session.environments[number].label
        text = f"{test.nodeid}, {label}: {say_difference(difference)}; {RULES[cell.tier]}"
        lines.append(f"- {markdown_text(text)}")
    hidden = len(found) - MAX_ITEMS
    return [*lines, *([f"- and {hidden:,} more"] if hidden > 0 else []), ""]


def _reasons(session: MergedSession) -> list[str]:
    found = group_reasons(session)
    if not found:
        return []
    lines = [
        f"- {WORDS[kind][2]}: {markdown_text(', '.join(names))} in {markdown_text(', '.join(labels))}: "
        f"{markdown_text(reason)}"
        for kind, reason, names, labels in found[:MAX_ITEMS]
    ]
    hidden = len(found) - MAX_ITEMS
    return ["#### Reasons", "", *lines, *([f"- and {hidden:,} more"] if hidden > 0 else []), ""]


def _not_compared(session: MergedSession) -> list[str]:
    lines = [f"- {markdown_text(text)}" for text in say_omissions(session, MAX_ITEMS)]
    return ["#### Not compared", "", *lines] if lines else []
