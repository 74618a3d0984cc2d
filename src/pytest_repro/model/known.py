"""The file of known findings (docs/schemas/known-1.schema.json): read, written, and matched with a session's tests."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_repro.errors import StoreError
from pytest_repro.model.accepted import Acceptance, KnownTally
from pytest_repro.model.codec import decode, encode
from pytest_repro.model.comparison import Verdict
from pytest_repro.model.reading import MAX_TESTS, parse_json, read_file
from pytest_repro.model.reported import ReportedTest
from pytest_repro.model.text import escape

FORMAT = "pytest-repro known findings"
VERSION = 1
#: Largest file that is read [bytes].
MAX_BYTES = 64 * 2**20
#: Longest reason [characters].
MAX_REASON = 1000
#: Names that a message lists.
MAX_NAMED = 3
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class KnownFinding:
    """One test whose finding is known.

    Attributes
    ----------
    test : str
        pytest's node id.
    verdict : str
        ``diverged`` or ``inconclusive``.
    artifacts : tuple of str
        Artifacts that may differ, sorted. For an inconclusive test, the values that could not be compared. ``*`` stands
        for any index, as in ``order/*``.
    artifacts_left_out : int
        Further ones that the report counted and did not name.
    causes : tuple of str
        Codes of the causes, sorted; empty if none was found.
    expires : str
        Last day on which the finding is known (``2027-03-31``, UTC); empty for no end.
    """

    test: str
    verdict: str
    artifacts: tuple[str, ...] = ()
    artifacts_left_out: int = 0
    causes: tuple[str, ...] = ()
    reason: str = ""
    expires: str = ""


@dataclass(frozen=True, slots=True)
class _Document:
    format: str
    schema_version: int
    findings: tuple[KnownFinding, ...]


def read_known(path: Path) -> tuple[KnownFinding, ...]:
    """Read a file of known findings, which is not trusted.

    Raises
    ------
    StoreError
        If it is no such file. The message names the first place that is wrong.
    OSError
        If it cannot be read.
    """
    data = read_file(path, max_bytes=MAX_BYTES, follows_links=True)
    try:
        return parse_known(parse_json(data, max_bytes=MAX_BYTES))
    except StoreError as error:
        raise StoreError(f"{path.name} is not a file of known findings: {str(error)[:200]}") from None


def parse_known(document: Any) -> tuple[KnownFinding, ...]:
    """Return the findings of a document, which is not trusted. StoreError names the first place that is wrong."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        if isinstance(document, dict) and "tests" in document:
            raise StoreError("it looks like a report: write one from it with `pytest-repro known REPORT --write FILE`")
        raise StoreError(f"its format must be {FORMAT!r}")
    version = document.get("schema_version")
    if version != VERSION or isinstance(version, bool):
        raise StoreError(f"schema_version is {ascii(version)[:40]}; this release reads {VERSION}")
    findings = decode(_Document, document).findings
    if len(findings) > MAX_TESTS:
        raise StoreError(f"it has {len(findings):,} findings; at most {MAX_TESTS:,} are read")
    seen = set[str]()
    for number, finding in enumerate(findings):
        where = f"findings[{number}] ({escape(finding.test[:100])})"
        if not finding.test:
            raise StoreError(f"findings[{number}] names no test")
        if finding.test in seen:
            raise StoreError(f"{where}: the test has two entries; join them")
        if finding.verdict not in (Verdict.DIVERGED.value, Verdict.INCONCLUSIVE.value):
            raise StoreError(f"{where}: verdict must be diverged or inconclusive, got {ascii(finding.verdict)[:40]}")
        if len(finding.reason) > MAX_REASON:
            raise StoreError(f"{where}: the reason has {len(finding.reason):,} characters; at most {MAX_REASON:,}")
        if finding.expires:
            try:
                parse_day(finding.expires)
            except StoreError as error:
                raise StoreError(f"{where}: expires {error}") from None
        seen.add(finding.test)
    return findings


def parse_day(text: str) -> datetime.date:
    """Return a day. Raises StoreError if the text is not one, as in ``2027-03-31``."""
    try:
        if _DATE.fullmatch(text):
            return datetime.date.fromisoformat(text)
    except ValueError:
        pass
    raise StoreError(f"must be a day such as 2027-03-31, got {ascii(text)[:40]}")


def format_known(findings: Iterable[KnownFinding]) -> str:
    """Return the text of a file: sorted, a line for each fact, so that a change of it shows what changed."""
    entries = []
    for finding in sorted(findings, key=lambda each: each.test):
        entry = encode(replace(finding, artifacts=_sorted(finding.artifacts), causes=_sorted(finding.causes)))
        entries.append({key: value for key, value in entry.items() if value or key in ("artifacts", "causes")})
    document = {"format": FORMAT, "schema_version": VERSION, "findings": entries}
    return json.dumps(document, indent=2, ensure_ascii=True) + "\n"


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def join_indices(names: Iterable[str]) -> tuple[str, ...]:
    """Return names sorted, with ``*`` for the index where several elements of one list are named.

    Which elements of a list differ is often a matter of chance, so that the list is what is known.
    """
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    for name in set(names):
        parts = name.split("/")
        groups.setdefault(tuple("*" if part.isdigit() else part for part in parts), []).append(parts)
    joined = (
        "/".join(same[0] if len(set(same)) == 1 else "*" for same in zip(*group, strict=True))
        for group in groups.values()
    )
    return _sorted(joined)


def _find_uncovered(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the names that an entry does not have, neither by themselves nor by the list that they belong to."""
    exact = set(known)
    patterns: dict[tuple[str, ...], list[list[str]]] = {}
    for name in exact:
        parts = name.split("/")
        if "*" in parts:
            patterns.setdefault(tuple("*" if p.isdigit() else p for p in parts), []).append(parts)
    found = []
    for name in sorted(set(names) - exact):
        parts = name.split("/")
        candidates = patterns.get(tuple("*" if part.isdigit() else part for part in parts), [])
        if not any(
            all(own == part or (part == "*" and own.isdigit()) for own, part in zip(parts, pattern, strict=True))
            for pattern in candidates
        ):
            found.append(name)
    return found


def find_finding(test: ReportedTest) -> KnownFinding | None:
    """Return the entry of a test that diverged or is inconclusive, or None.

    A test that skipped itself or failed as its xfail mark says has none: its runs were not to be compared. A difference
    from a record has none either: the record is what changes if it is accepted.
    """
    if test.verdict is Verdict.DIVERGED and not differs_from_record(test):
        artifacts = [each.artifact for each in test.divergences]
        causes = test.diagnosis.causes if test.diagnosis is not None else ()
        return KnownFinding(
            test.nodeid,
            test.verdict.value,
            join_indices(artifacts),
            test.divergences_left_out,
            _sorted(cause.code for cause in causes),
        )
    if test.verdict is Verdict.INCONCLUSIVE and test.runs and test.runs[0].outcome == "passed":
        values = join_indices(value.name for value in test.not_compared)
        return KnownFinding(test.nodeid, test.verdict.value, values, test.not_compared_left_out)
    return None


def differs_from_record(test: ReportedTest) -> bool:
    """Return whether a test differs from its record by more than is allowed."""
    return test.record is not None and any(not each.is_allowed for each in test.record.differences)


def match_finding(known: KnownFinding | None, test: ReportedTest, today: datetime.date, file: str) -> Acceptance | None:
    """Return what a file of known findings says of a test, or None for a test whose verdict it does not concern.

    Parameters
    ----------
    known : KnownFinding or None
        The file's entry for the test.
    today : date
        By UTC.
    file : str
        Name of the file, for the explanation.
    """
    if differs_from_record(test) and test.verdict is Verdict.DIVERGED:
        text = "it differs from its record, which is never a known finding: --repro-update overwrites the record"
        return Acceptance("new", text)
    found = find_finding(test)
    if found is None:
        return None
    if known is None:
        return Acceptance("new", f"{file} has no entry for this test")
    entry = {"reason": known.reason, "expires": known.expires}
    if known.verdict != found.verdict:
        return Acceptance("new", f"{file} knows the test as {known.verdict}, and it is {found.verdict}", **entry)
    kind = "artifact" if found.verdict == Verdict.DIVERGED.value else "value that is not compared:"
    # All names, and not those of whole lists: the entry may name single elements.
    own = test.divergences if found.verdict == Verdict.DIVERGED.value else ()
    named = [each.artifact for each in own] or [each.name for each in test.not_compared]
    if names := _find_uncovered(named, known.artifacts):
        return Acceptance("new", f"{file} does not have the {kind} {_list(names)}", **entry)
    if found.artifacts_left_out > known.artifacts_left_out:
        count = found.artifacts_left_out
        text = f"{count:,} artifacts differ beyond those that are named, and {known.artifacts_left_out:,} in {file}"
        return Acceptance("new", text, **entry)
    compared = "matched by test and values that were not compared"
    if found.verdict == Verdict.DIVERGED.value:
        if known.causes and (codes := sorted(set(found.causes) - set(known.causes))):
            text = f"{file} has another cause: {_list(known.causes)}, and not {_list(codes)}"
            return Acceptance("new", text, **entry)
        compared = _say_compared(known, found, test)
    if known.expires and today > parse_day(known.expires):
        return Acceptance("expired", f"the entry in {file} expired on {known.expires}", **entry)
    return Acceptance("known", compared, **entry)


def _say_compared(known: KnownFinding, found: KnownFinding, test: ReportedTest) -> str:
    """Return what of a divergence was compared with its entry: without a cause on both sides, no cause."""
    if known.causes and found.causes:
        return "matched by test, artifacts and cause"
    if found.causes:
        return f"matched by test and artifacts only: the file names no cause, and here it is {_list(found.causes)}"
    if test.diagnosis is None:
        return "matched by test and artifacts only: no diagnosis was made"
    return "matched by test and artifacts only: no cause was found"


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
    return ", ".join(name or "the result" for name in names[:MAX_NAMED]) + more


def tally_known(findings: Iterable[KnownFinding], tests: Iterable[ReportedTest], file: str) -> KnownTally:
    """Return what became of a file's entries in a session."""
    by_name = {test.nodeid: test for test in tests}
    known = [*findings]
    pairs = [(finding, test) for finding in known if (test := by_name.get(finding.test)) is not None]
    statuses: dict[str, list[str]] = {"known": [], "expired": [], "new": [], "listed": []}
    mended = []
    for finding, test in pairs:
        if test.verdict:
            mended.append(finding.test)
        elif test.acceptance is not None:
            statuses.setdefault(test.acceptance.status, []).append(finding.test)
    changed = statuses["new"] + statuses["listed"]
    judged = len(mended) + len(statuses["known"]) + len(statuses["expired"]) + len(changed)
    return KnownTally(
        file,
        len(known),
        len(statuses["known"]),
        tuple(mended),
        tuple(statuses["expired"]),
        tuple(changed),
        len(known) - judged,
    )
