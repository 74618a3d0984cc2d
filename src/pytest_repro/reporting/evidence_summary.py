"""The summary of a bundle in Markdown; whatever a test is called, it stays text."""

from __future__ import annotations

import re
from typing import Any

from pytest_repro.comparing.elements import escape
from pytest_repro.reporting.audit_text import audit_lines

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$&])")


def summarise_evidence(evidence: dict[str, Any], record: dict[str, Any]) -> str:
    """Return the summary: result, circumstances, a row a test, what differs, what cannot be shown."""
    circumstances, tests = evidence["circumstances"], evidence["tests"]
    counts: dict[str, int] = {}
    for test in tests:
        counts[test["verdict"]] = counts.get(test["verdict"], 0) + 1
    told = ", ".join(f"{count} {verdict.replace('_', ' ')}" for verdict, count in sorted(counts.items()))
    lines = ["# Reproducibility evidence", "", f"{told or 'no tests'}", ""]
    lines += [f"- {plain(name)}: {plain(str(value))}" for name, value in circumstances.items()]
    code = record["code"]
    lines += [f"- code: {plain(str(code.get('commit') or code.get('unavailable')))}", *_audit(evidence), ""]
    lines += ["| test | verdict | runs | digest of run 1 |", "|---|---|---|---|"]
    for test, entry in zip(tests, record["tests"], strict=True):
        digest = str(entry["digests"][0] if entry["digests"] else None)
        verdict = test["verdict"].replace("_", " ")
        lines.append(f"| {plain(test['nodeid'])} | {verdict} | {len(test['runs'])} | {plain(digest[:23])} |")
    for test in tests:
        if test["divergences"] or test["reason"]:
            lines += ["", f"## {plain(test['nodeid'])}", "", *([plain(test["reason"])] if test["reason"] else [])]
            lines += [
                f"- run {d['run']}: {plain(d['artifact'])}, {d['differing']} of {d['elements']} differ, "
                f"expected {plain(d['expected'])}, got {plain(d['actual'])}"
                for d in test["divergences"][:10]
            ]
    lines += ["", "## What this cannot show", "", *(f"- {text}" for text in evidence["limitations"]), ""]
    return "\n".join(lines)


def _audit(evidence: dict[str, Any]) -> list[str]:
    audit = evidence.get("audit")
    if audit is None:
        return ["- audit of the installed packages: none was asked for"]
    first, *rest = audit_lines(audit)
    return [f"- audit of the installed packages: {plain(first)}", *(f"  - {plain(line.strip())}" for line in rest[:50])]


def plain(text: str) -> str:
    """Return text that Markdown takes for text."""
    return _SPECIAL.sub(r"\\\1", escape(text.replace("\n", " ")))[:2000]
