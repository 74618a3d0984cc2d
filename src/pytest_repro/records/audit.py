"""An audit of the installed packages: which claims a report of pip-audit supports.

pip-audit alone does not say: it prints "No known vulnerabilities found" and exits with 0 when it skipped every package.
Its JSON is therefore reconciled with the packages that should have been audited, and `clean` requires all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distributions
from typing import Any, Literal

from packaging.version import InvalidVersion, Version

from pytest_repro.capturing.packages import normalise
from pytest_repro.comparing.elements import escape, shorten
from pytest_repro.errors import RecordError, StoreError
from pytest_repro.model.redaction import redact
from pytest_repro.records.canonical import parse_strictly

Status = Literal["clean", "vulnerable", "partial", "not_audited"]

#: A report of 1,000 packages with every description has some 5 MB.
MAX_REPORT_BYTES = 32 * 2**20
_MAX_TEXT = 200
_MAX_ADVISORIES = 100
#: Packages listed for one reason.
_MAX_NAMES = 8
_LOCAL = "installed from a directory: no advisory database knows its code"


@dataclass(slots=True)
class Audit:
    """The result of an audit.

    Attributes
    ----------
    packages : int
        How many should have been audited.
    found, unaudited : dict
        ``name version`` -> its advisories; name -> why it was not audited.
    why : str
        Why the report is missing; empty if it is not.
    source : dict
        Where the report came from; empty where unknown.
    """

    packages: int
    found: dict[str, list[str]] = field(default_factory=dict)
    unaudited: dict[str, str] = field(default_factory=dict)
    why: str = ""
    source: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> Status:
        """`clean` only if there are packages and every one was audited."""
        if self.found:
            return "vulnerable"
        if self.packages and not self.unaudited:
            return "clean"
        return "partial" if len(self.unaudited) < self.packages else "not_audited"

    @property
    def audited(self) -> int:
        """The number of audited packages."""
        return self.packages - len(self.unaudited)

    def to_json(self) -> dict[str, Any]:
        """Return the audit's entry of the evidence."""
        return {
            "status": self.status,
            "reason": self.why,
            "packages": self.packages,
            "audited": self.audited,
            "advisories": dict(sorted(self.found.items())),
            "not_audited": dict(sorted(self.unaudited.items())),
            **({"source": self.source} if self.source else {}),
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Audit:
        """Return the audit of an entry that :meth:`to_json` made, which is not trusted.

        Raises
        ------
        RecordError
            If it is of another form, or its status is not the one that its findings have.
        """
        packages, found, unaudited = (entry.get(key) for key in ("packages", "advisories", "not_audited"))
        source, why = entry.get("source", {}), entry.get("reason")
        is_sound = isinstance(packages, int) and isinstance(why, str) and isinstance(source, dict)
        is_sound &= isinstance(found, dict) and all(isinstance(ids, list) for ids in found.values())
        is_sound &= isinstance(unaudited, dict) and all(isinstance(text, str) for text in unaudited.values())
        if not is_sound:
            raise RecordError("evidence.json: its audit is of another form")
        audit = cls(packages, found, unaudited, why, source)  # type: ignore[arg-type]
        if audit.to_json() != {**entry, **({"source": source} if source else {})}:
            raise RecordError("evidence.json: the status of its audit is not that of its findings")
        return audit

    def describe(self) -> list[str]:
        """Return the audit in lines, the first of which begins with CLEAN, VULNERABLE, PARTIAL or NOT AUDITED."""
        word = self.status.replace("_", " ").upper()
        lines = [f"{word}: {self.audited} of {self.packages} packages audited, {len(self.found)} with advisories"]
        lines += [f"  {package}: {advisory}" for package, found in sorted(self.found.items()) for advisory in found]
        reasons: dict[str, list[str]] = {}
        for name, reason in sorted(self.unaudited.items()):
            reasons.setdefault(reason, []).append(name)
        for reason, names in sorted(reasons.items()):
            more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
            lines.append(f"  not audited: {reason}: {', '.join(names[:_MAX_NAMES])}{more}")
        return [*lines, f"  pip-audit: {self.why}"] if self.why else lines


def read_installed(found: Iterable[Distribution] | None = None) -> dict[str, str]:
    """Return name -> version of what this interpreter imports, which is the first of two with one name."""
    installed: dict[str, str] = {}
    for distribution in distributions() if found is None else found:
        if name := distribution.metadata["Name"]:
            installed.setdefault(normalise(name), distribution.version)
    return installed


def parse_report(data: bytes) -> dict[str, Any]:
    """Read pip-audit's JSON, which is not trusted.

    Raises
    ------
    RecordError
        If it is too large, cut short, too deeply nested, or has no list of dependencies.
    """
    if len(data) > MAX_REPORT_BYTES:
        raise RecordError(f"the report has {len(data):,} bytes; at most {MAX_REPORT_BYTES:,} are read")
    try:
        report = parse_strictly(data)
    except StoreError as error:
        raise RecordError(f"not a report of pip-audit: {error}") from None
    if not isinstance(report, dict) or not isinstance(report.get("dependencies"), list):
        raise RecordError("not a report of pip-audit (--format json): it has no list of dependencies")
    return report


def judge_report(data: bytes | None, why: str, expected: Mapping[str, str], local: Iterable[str] = ()) -> Audit:
    """Return the audit that a report supports, which is not trusted and may be missing for the reason `why`."""
    report = None
    if data is not None:
        try:
            report = parse_report(data)
        except RecordError as error:
            why = str(error)
    audit = reconcile(report, expected, local)
    audit.why = why
    return audit


def reconcile(report: Any, expected: Mapping[str, str], local: Iterable[str] = ()) -> Audit:
    """Compare a report with the packages that should have been audited.

    Parameters
    ----------
    report : dict or None
        As :func:`parse_report` returns it.
    expected : mapping
        Normalised name -> version.
    local : iterable of str
        Names of those installed from a directory, which no advisory database can know.

    Notes
    -----
    A package counts as audited only if each of its entries in the report has the expected version and a list of
    advisories. An advisory counts unless it is for another version than the expected.
    """
    audit = Audit(len(expected))
    entries: dict[str, list[dict[str, Any]]] = {}
    for entry in (report.get("dependencies") if isinstance(report, dict) else None) or []:
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            entries.setdefault(normalise(entry["name"]), []).append(entry)
    own = set(local)
    for name, version in expected.items():
        reasons = [_why_unaudited(entry, version) for entry in entries.get(name, [])] or ["absent from the report"]
        if name in own:
            reasons.append(_LOCAL)
        if reason := next(filter(None, reasons), ""):
            audit.unaudited[name] = reason
        for entry in entries.get(name, []):
            if (advisories := entry.get("vulns")) and _may_be(entry.get("version"), version):
                audit.found.setdefault(f"{name} {version}", []).extend(_describe_all(advisories))
    return audit


def _why_unaudited(entry: dict[str, Any], version: str) -> str:
    """Return why an entry does not show that its package was audited, or an empty text if it does."""
    if reason := entry.get("skip_reason"):
        # pip-audit ends the reason with the package's name, which would keep equal reasons apart.
        return _plain(str(reason).removesuffix(f": {entry['name']} ({version})"))
    if not isinstance(entry.get("version"), str) or not _may_be(entry["version"], version):
        return _plain(f"version {entry.get('version')} was audited, not {version}")
    return "" if isinstance(entry.get("vulns"), list) else "the report has no list of advisories for it"


def _may_be(reported: Any, version: str) -> bool:
    """Return whether a reported version is the expected one, or is not a version at all."""
    if not isinstance(reported, str) or reported == version:
        return True
    try:
        # 2024.01.1 is reported as 2024.1.1. No release has a longer number.
        return len(reported) <= _MAX_TEXT and Version(reported) == Version(version)
    except InvalidVersion:
        return False


def _describe_all(advisories: Any) -> list[str]:
    if not isinstance(advisories, list):
        return ["advisories in a form that pip-audit does not write"]
    shown = [_describe(advisory) for advisory in advisories[:_MAX_ADVISORIES]]
    return shown + ([f"and {len(advisories) - _MAX_ADVISORIES} more"] if len(advisories) > _MAX_ADVISORIES else [])


def _describe(advisory: Any) -> str:
    """Return one advisory in a line: its number and the releases that fix it."""
    if not isinstance(advisory, dict):
        return _plain(json.dumps(advisory))
    fixes = advisory.get("fix_versions")
    fixed = ", ".join(map(str, fixes)) if isinstance(fixes, list) else ""
    return _plain(f"{advisory.get('id', 'unnamed')} (fixed in: {fixed or 'no release'})")


def _plain(text: str) -> str:
    return shorten(escape(redact(text)), _MAX_TEXT)
