"""The text of `pytest-repro doctor`."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from pytest_repro.adopting.axes_here import AxisHere
from pytest_repro.adopting.doctor import Checkup
from pytest_repro.adopting.findings import Finding
from pytest_repro.model.text import escape

#: Findings of a kind that are listed; ``--json`` has them all.
MAX_LISTED = 20
WIDTH = 100
_TITLES = {
    "unseeded_generator": "generators without a seed",
    "changing_seed": "seeds that change",
    "draw_at_import": "draws at import",
    "unsorted_listing": "files in the order of the file system",
    "set_order": "sets whose order reaches a result",
    "time_as_data": "times and identifiers as data",
    "misspelt_marker": "misspelt markers",
    "wrong_axis": "wrong axes",
    "global_generator": "draws from the global generator",
    "fixed_generator": "generators that ignore your seed",
    "setting": "settings",
}


def describe_checkup(found: Checkup) -> str:
    """Return what the doctor found: what is to be mended first, then what is worth knowing."""
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    lines = [f"{versions}", *_summary(found), ""]
    lines += _section("to mend", _findings(found.to_mend))
    lines += _section("not read", (f"{escape(file)}: {escape(reason)}" for file, reason in found.scan.unread))
    lines += _section("worth knowing", _findings([each for each in found.findings if each.weight == "note"]))
    lines += _section(
        "variables set here", (f"{name}={escape(value)[:40]}: {text}" for name, value, text in found.variables)
    )
    lines += _section(_axes_title(found), _axes(found.axes))
    plugins = (f"{each.name}{' interferes' * each.interferes}: {each.text}" for each in found.neighbours)
    lines += _section("other plugins of pytest", plugins)
    lines += _section("extras that are not installed", _extras(found))
    lines.append(_verdict(found))
    return "\n".join(lines)


def _summary(found: Checkup) -> Iterator[str]:
    scan = found.scan
    tests = f"{_count(scan.tests, 'test')}, {scan.marked} marked reproducible"
    yield f"{_count(scan.files, 'file')} parsed, none imported; {tests}"
    file = found.configuration.file
    yield f"pytest's configuration: {file or 'none'}"
    if scan.left_out:
        yield f"not scanned, since no test imports it: {_shorten_list(scan.left_out)}"
    yield from scan.notes


def _section(title: str, lines: Iterable[str]) -> list[str]:
    found = [part for line in lines for part in _wrap(line)]
    return [title, *found, ""] if found else []


def _wrap(line: str) -> list[str]:
    indent = 2 + len(line) - len(line.lstrip())
    return textwrap.wrap(
        line.strip(), WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the findings by kind, those of which there are most last."""
    counts = Counter(each.code for each in findings)
    for code in sorted(counts, key=lambda code: counts[code]):
        kind = [each for each in findings if each.code == code]
        yield f"{_TITLES.get(code, 'configuration')} ({len(kind)})"
        same_fix = len({each.fix for each in kind}) == 1 and bool(kind[0].fix)
        for each in kind[:MAX_LISTED]:
            fix = f"; {each.fix}" if each.fix and not same_fix else ""
            yield f"  {escape(each.place)} {escape(each.text)}{escape(fix)}"
        if len(kind) > MAX_LISTED:
            yield f"  {len(kind) - MAX_LISTED} more: --json has them all"
        if same_fix:
            yield f"  fix: {escape(kind[0].fix)}"


def _axes_title(found: Checkup) -> str:
    start = "" if found.start_s is None else f"; one start of an interpreter took {found.start_s:.1f} s here"
    return f"what can be varied here{start}"


def _axes(axes: Sequence[AxisHere]) -> Iterator[str]:
    for axis in axes:
        if axis.why_not:
            yield f"{axis.name:11} no: {escape(axis.why_not)}"
            continue
        runs = f"{_count(axis.runs, 'more run')} of a test"
        if axis.needs == "in_process":
            cost = "no start of an interpreter"
        elif axis.is_each_test:
            cost = f"{_count(axis.starts, 'start')} of an interpreter for each test"
        else:
            cost = f"{_count(axis.starts, 'start')} of an interpreter for the session, then forks"
        yield f"{axis.name:11} yes: {runs}, {cost}"


def _extras(found: Checkup) -> Iterator[str]:
    for each in found.extras:
        used = " (imported by the project)" if each.is_used else ""
        yield f"pip install 'pytest-repro[{each.name}]'{used}: {each.gives}; missing: {', '.join(each.packages)}"


def _verdict(found: Checkup) -> str:
    if found.is_well:
        return "nothing to mend was found; that is no proof: run `pytest --repro-all`"
    number = len(found.to_mend)
    unread = f" and {_count(len(found.scan.unread), 'file')} that could not be read" if found.scan.unread else ""
    return f"{_count(number, 'thing')} to mend{unread}; run `pytest --repro-all` to see which of them change results"


def _count(number: int, word: str) -> str:
    head, _, tail = word.partition(" ")
    plural = f"{head} {tail}s" if tail else f"{head}s"
    return f"{number:,} {word if number == 1 else plural}"


def _shorten_list(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(map(escape, names[:8])) + more
