"""Records as text: a comparison with one, the lines of the summary, ``pytest-repro show`` and ``pytest-repro diff``.

Computes no figure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_repro.comparing.elements import escape, shorten
from pytest_repro.comparing.message import clean, describe_comparison
from pytest_repro.model.codec import encode, read_float
from pytest_repro.model.redaction import redact_assignments
from pytest_repro.model.reported import (
    Circumstance,
    Difference,
    RecordDifference,
    ReportedRecord,
    ReportedTest,
    published_figures,
)
from pytest_repro.records.checking import RecordCheck
from pytest_repro.records.differences import describe_circumstance
from pytest_repro.reporting.failure import comparison_parts, lines_of
from pytest_repro.reporting.json_report import MAX_DIVERGENCES
from pytest_repro.reporting.parts import Message, Part, finding

if TYPE_CHECKING:
    from pytest_repro.records.inspecting import RecordDiff

#: Circumstances listed in a failure; the JSON report has them all.
MAX_CIRCUMSTANCES = 12
#: Those that a short message lists.
MAX_SHORT = 3
#: Artifacts listed by `show`; ``--json`` has them all.
MAX_ARTIFACTS = 50
#: Weight from which a circumstance explains other results by itself.
_EXPLAINS = 90
_NAME_WIDTH = 48
#: Statuses of a test that passed although its results were neither recorded nor compared with a record.
_UNCHECKED = ("not_recorded", "none")
_STATUSES = (
    "differs", "inconclusive", "missing", "error", "verified", "recorded", "unchanged", "updated", "not_verified",
    "not_recorded", "none",
)  # fmt: skip
_TIERS = {"bits": "bit for bit", "tolerance": "by tolerance"}


def describe_check(check: RecordCheck, *, record: str, seed: int, command: str) -> Message:
    """Describe how a test differs from its record, what else differs, the rule of the comparison, the next step."""
    assert check.comparison is not None
    parts = [
        Part("heading", text=clean(f"Run 1 differs from the record {record} (seed {seed})")),
        *circumstance_parts(check.differences, check.unrecorded),
        *comparison_parts(check.comparison),
        finding("tier", f"{check.tier}: {check.why}"),
        *([finding("allowed", check.reason)] if check.reason else []),
        Part("command", "next", clean(command)),
    ]
    return Message(tuple(parts))


def circumstance_parts(found: Sequence[Circumstance], unrecorded: Sequence[str] = ()) -> list[Part]:
    """Return the circumstances that differ, the most likely explanation first, and what could confirm each here.

    `unrecorded` is listed where nothing differs that could explain other results. A short message has the first three.
    """
    parts = []
    if not found:
        parts.append(finding("same", "environment, code, data and configuration, as far as they are recorded"))
    for number, each in enumerate(found[:MAX_CIRCUMSTANCES]):
        confirm = f" (confirm with {each.confirm})" if each.confirm else ""
        text = f"{describe_circumstance(each)}{confirm}"
        parts.append(finding("differs", text, is_detail=number >= MAX_SHORT))
    if len(found) > MAX_CIRCUMSTANCES:
        text = f"{len(found) - MAX_CIRCUMSTANCES} more: see --repro-json and `pytest-repro diff`"
        parts.append(finding("differs", text, is_detail=True))
    if not any(each.weight >= _EXPLAINS for each in found):
        parts += [finding("unknown", each, is_detail=number >= MAX_SHORT) for number, each in enumerate(unrecorded)]
    return parts


def describe_overwriting(record: str, nodeid: str, reason: str, text: str) -> list[str]:
    """Return the lines that are shown before a record is overwritten."""
    heading = f"overwriting {record} of {nodeid} ({reason}); the new results differ from the recorded ones:"
    return [escape(redact_assignments(line)) for line in (heading, *(f"  {line}" for line in text.splitlines()))]


def report_record(
    check: RecordCheck | None, *, status: str, path: str, reason: str = "", replaced: str = ""
) -> ReportedRecord:
    """Return the published state of a test's record, with the result of a comparison if there was one."""
    if check is None:
        return ReportedRecord(status, path, reason, replaced)
    compared = check.comparison.differences[:MAX_DIVERGENCES] if check.comparison is not None else ()
    return ReportedRecord(
        status,
        path,
        check.reason,
        replaced,
        check.verdict.value,
        check.tier,
        check.why,
        tuple(RecordDifference(**published_figures(each), within=each.within) for each in compared),
        tuple(check.differences),
        tuple(check.unrecorded),
    )


def record_lines(tests: Sequence[ReportedTest]) -> list[str]:
    """Return the lines of the terminal summary: records by status, how they were compared, the overwritten ones."""
    records = [(test.nodeid, test.record) for test in tests if test.record]
    if not records:
        return []
    counts = Counter(record.status for _, record in records)
    lines = ["records: " + ", ".join(f"{counts[s]} {s.replace('_', ' ')}" for s in _STATUSES if counts[s])]
    # One that was made with another seed, or whose arrays are not here, was not compared.
    compared = [record for _, record in records if record.status not in ("inconclusive", "error")]
    tiers = Counter(record.tier for record in compared if record.tier)
    if tiers:
        shown = ", ".join(f"{count} {_TIERS.get(tier, tier)}" for tier, count in sorted(tiers.items()))
        lines.append(f"compared with records: {shown}")
    weaker = next((record for record in compared if record.tier == "tolerance"), None)
    if weaker is not None:
        lines.append(f"  not bit for bit: {weaker.tier_reason}")
    for nodeid, record in records:
        lines += [
            f"  {describe_circumstance(each)}, since the record of {nodeid} was made"
            for each in record.circumstances
            if each.part == "tolerance"
        ]
        if record.replaced:
            lines += [
                f"overwritten: {record.path} of {nodeid}",
                *(f"  {line}" for line in record.replaced.splitlines()),
            ]
    return lines + [f"  {record.reason} ({nodeid})" for nodeid, record in records if record.status in _UNCHECKED]


def describe_record(document: dict[str, Any]) -> str:
    """Describe a record's content without control characters, whatever the form of its facts."""
    artifacts = document["artifacts"]
    state = "are here and match their digests" if document["arrays_are_here"] else "are not here"
    lines = [
        f"record of {escape(document['test'])}",
        f"  seed      {document['seed']}",
        f"  digest    {document['digest']}",
        f"  arrays    {state}" if document["payload"] else "  arrays    none",
    ]
    for update in document["updates"]:
        before = escape(str(update.get("replaced")))[:19]
        lines.append(f"  updated   {escape(update['reason'])} (before: {before})")
    lines += ["", *_facts(document), "", f"{len(artifacts)} artifact{'s' * (len(artifacts) != 1)}"]
    lines += [f"  {_artifact(entry)}" for entry in artifacts[:MAX_ARTIFACTS]]
    if len(artifacts) > MAX_ARTIFACTS:
        lines.append(f"  and {len(artifacts) - MAX_ARTIFACTS} more, shown by --json")
    return "\n".join(lines)


def _facts(document: dict[str, Any]) -> list[str]:
    packages = _find(document, "environment", "packages")
    numerical = [
        f"{name} {_find(packages, name, 'version')}"
        for name in (packages if isinstance(packages, dict) else ())
        if _find(packages, name, "numerical")
    ]
    python, cpu = (_find(document, "environment", part) for part in ("python", "cpu"))
    commit = _find(document, "code", "commit") or _find(document, "code", "unavailable") or "no commit"
    rules = _find(document, "policy", "tolerance")
    tolerances = [rule for rule in rules if isinstance(rule, list)] if isinstance(rules, list) else []
    rows = {
        "python": f"{_find(python, 'implementation')} {_find(python, 'version')}",
        "processor": str(_find(cpu, "model") or _find(cpu, "unavailable")),
        "packages": ", ".join(numerical) or "none that compute",
        "code": f"{commit}{' with changes' if _find(document, 'code', 'dirty') else ''}",
        "data": ", ".join(document["data"]) or "none named",
        "config": ", ".join(document["config"]) or "none named",
        "tolerance": ", ".join(": ".join(map(str, rule)) for rule in tolerances),
    }
    return [f"  {name:<10}{shorten(escape(text), 300)}" for name, text in rows.items()]


def _find(value: Any, *keys: str) -> Any:
    """Return the value under nested keys, or None if anything on the way is missing or has another form."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _artifact(entry: dict[str, Any]) -> str:
    path = shorten(escape(str(entry["path"])), _NAME_WIDTH)
    if entry["form"] == "value":
        text = f"{entry.get('dtype') or entry.get('type')} {_value(_find(entry, 'value'))}"
        return f"{path}  {shorten(escape(text), 80)}"
    figures = entry.get("figures")
    shown = {key: _number(value) for key, value in (figures if isinstance(figures, dict) else {}).items()}
    text = ", ".join(f"{escape(key)} {value}" for key, value in shown.items() if key != "count" and value != "0")
    return f"{path}  {escape(str(entry.get('dtype')))} {entry.get('shape')}  {text}".rstrip()


def _value(value: Any) -> str:
    """Return a recorded value, a float in decimal too."""
    text = _find(value, "text")
    number = read_float(text) if _find(value, "kind") == "float" else None
    return str(text or "") if number is None else f"{number!r} ({text})"


def _number(value: Any) -> str:
    number = read_float(value)
    return escape(str(value))[:20] if number is None else f"{number:.6g}"


def describe_diff(found: RecordDiff) -> str:
    """Describe the differences between two records: results first, then circumstances."""
    lines = []
    if found.tests[0] != found.tests[1]:
        lines.append(f"two tests: {escape(found.tests[0])} and {escape(found.tests[1])}")
    if found.seeds[0] != found.seeds[1]:
        lines.append(f"two seeds: {found.seeds[0]} and {found.seeds[1]}")
    if found.is_same and found.note:
        lines += ["the records claim identical results", found.note]
    elif found.is_same:
        lines.append("the results are identical, bit for bit")
    elif found.comparison is not None:
        lines += [describe_comparison(found.comparison)]
    else:
        names = ", ".join(shorten(escape(path), 60) for path in found.changed[:10])
        lines += [f"{len(found.changed)} artifacts have other bits: {names}", found.note]
    unrecorded = [] if found.is_same else found.unrecorded
    return "\n".join([*lines, "", *lines_of(circumstance_parts(found.circumstances, unrecorded))])


def diff_to_json(found: RecordDiff) -> dict[str, Any]:
    """Return a diff in built-in types."""
    compared = found.comparison.differences[:MAX_DIVERGENCES] if found.comparison is not None else ()
    return {
        "identical": found.is_same,
        "tests": list(found.tests),
        "seeds": list(found.seeds),
        "digests": list(found.digests),
        "changed": found.changed,
        "differences": [encode(Difference(**published_figures(each))) for each in compared],
        "note": found.note,
        "circumstances": encode(found.circumstances),
        "unrecorded": found.unrecorded,
    }
