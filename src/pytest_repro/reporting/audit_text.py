"""What an audit found, in lines; of the JSON that stands in the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def audit_lines(audit: Mapping[str, Any]) -> list[str]:
    """Return the lines; the first begins with CLEAN, VULNERABLE, PARTIAL or NOT AUDITED."""
    word = str(audit["status"]).replace("_", " ").upper()
    advisories: dict[str, list[str]] = audit["advisories"]
    lines = [
        f"{word}: {audit['audited']} of {audit['packages']} packages audited, {len(advisories)} with advisories",
        *(f"  {package}: {advisory}" for package, found in advisories.items() for advisory in found),
    ]
    reasons: dict[str, list[str]] = {}
    for name, reason in audit["not_audited"].items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in sorted(reasons.items()):
        shown = ", ".join(sorted(names)[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        lines.append(f"  not audited: {reason}: {shown}")
    if audit["reason"]:
        lines.append(f"  pip-audit: {audit['reason']}")
    return lines
