"""What comparing with a record showed, as text, as lines of the summary and as JSON. Computes no figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pytest_repro.comparing.elements import escape
from pytest_repro.comparing.message import describe_comparison
from pytest_repro.model import Comparison
from pytest_repro.records.checking import RecordCheck
from pytest_repro.records.differences import Difference
from pytest_repro.reporting.json_report import MAX_DIVERGENCES, figures_to_json

#: Circumstances told in a failure; all of them stand in the JSON report.
MAX_TOLD = 12
#: A test that passed without its results having been recorded or held to a record.
_UNHELD = ("not_recorded", "none")
_STATUSES = (
    "differs", "inconclusive", "missing", "error", "verified", "recorded", "unchanged", "updated", "not_verified",
    "not_recorded", "none",
)  # fmt: skip


def describe_check(check: RecordCheck, *, record: str, seed: int, command: str) -> str:
    """Say in what a test differs from its record, which tier was held, what else differs, and how to go on."""
    assert check.comparison is not None
    lines = [f"Run 1 differs from the record {record} (seed {seed})", ""]
    lines += [f"  {line}" if line else "" for line in describe_comparison(check.comparison).splitlines()]
    lines += ["", f"  tier    {check.tier}: {check.why}"]
    lines += describe_differences(check.differences)
    lines += [f"  next    {command}"]
    return "\n".join(lines)


def describe_differences(differences: Sequence[Difference]) -> list[str]:
    """Tell what differs in the circumstances, most likely explanation first, and what could confirm it here."""
    if not differences:
        return ["  differs nothing that is recorded of environment, code, data and configuration"]
    lines = []
    for difference in differences[:MAX_TOLD]:
        confirm = f" (confirm with {difference.confirm})" if difference.confirm else ""
        lines.append(f"  differs {difference.describe()}{confirm}")
    if len(differences) > MAX_TOLD:
        lines.append(f"  differs {len(differences) - MAX_TOLD} more, told by --repro-json and `pytest-repro diff`")
    return lines


def describe_replacement(comparison: Comparison) -> str:
    """Say in what the results that overwrite a record differ from those that it held."""
    return describe_comparison(comparison)


def describe_overwriting(record: str, nodeid: str, reason: str, text: str) -> list[str]:
    """Return the lines that are shown before a record is overwritten."""
    said = f"overwriting {record} of {nodeid} ({reason}), which differs from what the test gives now:"
    return [escape(line) for line in (said, *(f"  {line}" for line in text.splitlines()))]


def check_to_json(check: RecordCheck | None) -> dict[str, Any]:
    """Return a check in built-in types; all keys are null where nothing was compared."""
    if check is None:
        return {"verdict": None, "tier": None, "tier_reason": None, "differences": [], "circumstances": []}
    compared = check.comparison.differences[:MAX_DIVERGENCES] if check.comparison is not None else ()
    return {
        "verdict": check.verdict.value,
        "tier": check.tier,
        "tier_reason": check.why,
        "reason": check.reason,
        "differences": [{**figures_to_json(difference), "within": difference.within} for difference in compared],
        "circumstances": [difference.to_json() for difference in check.differences],
    }


def record_lines(tests: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of the terminal summary: records by status, the tiers held, what was overwritten."""
    records = [(test["nodeid"], test["record"]) for test in tests if test.get("record")]
    if not records:
        return []
    counts = Counter(record["status"] for _, record in records)
    lines = ["records: " + ", ".join(f"{counts[s]} {s.replace('_', ' ')}" for s in _STATUSES if counts[s])]
    weaker = [(nodeid, record) for nodeid, record in records if record["tier"] == "tolerance"]
    held = Counter(record["tier"] for _, record in records if record["tier"])
    if held:
        lines.append("tiers held: " + ", ".join(f"{tier} by {count}" for tier, count in sorted(held.items())))
    if weaker:
        lines.append(f"  not to the bits, since {weaker[0][1]['tier_reason']}")
    for nodeid, record in records:
        if record["replaced"]:
            lines += [f"overwritten: {record['path']} of {nodeid}"]
            lines += [f"  {line}" for line in record["replaced"].splitlines()]
    lines += [f"  {record['reason']} ({nodeid})" for nodeid, record in records if record["status"] in _UNHELD]
    return lines
