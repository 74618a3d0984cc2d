"""What ``pytest-repro show`` and ``pytest-repro diff`` print. Computes no figure."""

from __future__ import annotations

import contextlib
from typing import Any

from pytest_repro.comparing.elements import escape, shorten
from pytest_repro.comparing.message import describe_comparison
from pytest_repro.records.inspecting import RecordDiff
from pytest_repro.reporting.json_report import MAX_DIVERGENCES, figures_to_json
from pytest_repro.reporting.record_text import describe_differences

#: Artifacts told one by one; ``--json`` has them all.
MAX_SHOWN = 50
_NAME_WIDTH = 48


def describe_record(document: dict[str, Any]) -> str:
    """Lay out a record for a reader; whatever it holds is told without control characters."""
    artifacts = document["artifacts"]
    state = "are here and whole" if document["arrays_are_here"] else "are not here"
    lines = [
        f"record of {escape(document['test'])}",
        f"  seed      {document['seed']}",
        f"  digest    {document['digest']}",
        f"  arrays    {state}" if document["payload"] else "  arrays    none",
    ]
    for update in document["updates"]:
        before = escape(str(update.get("replaced")))[:19]
        lines.append(f"  updated   {escape(update['reason'])} (before: {before})")
    lines += ["", *_circumstances(document), "", f"{len(artifacts)} artifact{'s' * (len(artifacts) != 1)}"]
    lines += [f"  {_artifact(entry)}" for entry in artifacts[:MAX_SHOWN]]
    if len(artifacts) > MAX_SHOWN:
        lines.append(f"  and {len(artifacts) - MAX_SHOWN} more, told by --json")
    return "\n".join(lines)


def _circumstances(document: dict[str, Any]) -> list[str]:
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
    """Return what stands under nested keys; None where anything on the way is missing or of another form."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _artifact(entry: dict[str, Any]) -> str:
    path = shorten(escape(str(entry["path"])), _NAME_WIDTH)
    if entry["form"] == "value":
        text = f"{entry.get('dtype') or entry.get('type')} {_value(_find(entry, 'value'))}"
        return f"{path}  {shorten(escape(text), 80)}"
    figures = entry.get("figures")
    told = {key: _number(value) for key, value in (figures if isinstance(figures, dict) else {}).items()}
    text = ", ".join(f"{escape(key)} {value}" for key, value in told.items() if key != "count" and value != "0")
    return f"{path}  {escape(str(entry.get('dtype')))} {entry.get('shape')}  {text}".rstrip()


def _value(value: Any) -> str:
    """Say a recorded value: a float, which stands there to the bit, in decimal too."""
    text = _find(value, "text")
    if _find(value, "kind") == "float" and isinstance(text, str) and not text.startswith("nan"):
        with contextlib.suppress(ValueError, OverflowError):
            return f"{float.fromhex(text)!r} ({text})"
    return str(text or "")


def _number(value: Any) -> str:
    try:
        return f"{float.fromhex(value):.6g}" if isinstance(value, str) else escape(str(value))[:20]
    except (ValueError, OverflowError):
        return escape(str(value))[:20]


def describe_diff(found: RecordDiff) -> str:
    """Lay out in what two records differ: results first, then circumstances."""
    lines = []
    if found.tests[0] != found.tests[1]:
        lines.append(f"of two tests: {escape(found.tests[0])} and {escape(found.tests[1])}")
    if found.seeds[0] != found.seeds[1]:
        lines.append(f"of two seeds: {found.seeds[0]} and {found.seeds[1]}")
    if found.is_same:
        lines.append("the results are identical, to the bit")
    elif found.comparison is not None:
        lines += [describe_comparison(found.comparison)]
    else:
        names = ", ".join(shorten(escape(path), 60) for path in found.changed[:10])
        lines += [f"{len(found.changed)} artifacts have other bits: {names}", found.note]
    return "\n".join([*lines, "", *describe_differences(found.circumstances)])


def diff_to_json(found: RecordDiff) -> dict[str, Any]:
    """Return a diff in built-in types."""
    compared = found.comparison.differences[:MAX_DIVERGENCES] if found.comparison is not None else ()
    return {
        "identical": found.is_same,
        "tests": list(found.tests),
        "seeds": list(found.seeds),
        "digests": list(found.digests),
        "changed": found.changed,
        "differences": [figures_to_json(difference) for difference in compared],
        "note": found.note,
        "circumstances": [difference.to_json() for difference in found.circumstances],
    }
