"""Write a file of known findings anew after a scan: what is new, what changed, what is mended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pytest_repro.model.known import KnownFinding, differs_from_record, find_finding, join_indices
from pytest_repro.model.reported import ReportedSession, ReportedTest


@dataclass(frozen=True, slots=True)
class KnownChanges:
    """The findings of a new file, and how they differ from those of the old one.

    Attributes
    ----------
    findings : tuple of KnownFinding
        Of the new file.
    added, changed, mended : tuple of str
        Tests without an entry so far; tests whose entry is another one now; tests that passed.
    unseen : tuple of str
        Tests with an entry that no report compared. Their entries are kept.
    of_records : tuple of str
        Tests that differ from their records, which no entry covers.
    errors : tuple of str
        Tests that could not be judged, which no entry covers.
    unfinished : int
        Reports of sessions that did not come to their end.
    """

    findings: tuple[KnownFinding, ...]
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    of_records: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    unfinished: int = 0


def update_known(
    old: Sequence[KnownFinding],
    sessions: Sequence[ReportedSession],
    *,
    reason: str = "",
    expires: str = "",
    today: str = "",
    keeps_mended: bool = False,
) -> KnownChanges:
    """Return the file that one or more reports make of an old one.

    Several reports are joined: a test may show other artifacts in each of them, if it diverges by chance. A test that
    has an entry keeps its reason and its date. `reason` and `expires` are for those without one, and `expires` for
    those whose date is before `today`.

    Parameters
    ----------
    keeps_mended : bool
        Whether an entry stays although its test passed in all reports.
    """
    by_name: dict[str, list[ReportedTest]] = {}
    for session in sessions:
        for test in session.tests:
            by_name.setdefault(test.nodeid, []).append(test)
    known = {finding.test: finding for finding in old}
    findings: dict[str, KnownFinding] = {}
    added, changed, mended, of_records, errors = [], [], [], [], []
    for name, tests in sorted(by_name.items()):
        found = _join([finding for test in tests if (finding := find_finding(test)) is not None])
        earlier = known.pop(name, None)
        if found is not None:
            own = earlier if earlier is not None else KnownFinding(name, found.verdict)
            is_over = bool(expires) and own.expires < today
            if earlier is not None and earlier.verdict == found.verdict and not found.causes:
                found = replace(found, causes=earlier.causes)  # the scan made no diagnosis, or was too short for one
            found = replace(found, reason=own.reason or reason, expires=expires if is_over else own.expires or expires)
            findings[name] = found
            if earlier is None:
                added.append(name)
            elif replace(earlier, reason="", expires="") != replace(found, reason="", expires=""):
                changed.append(name)
            continue
        if any(differs_from_record(test) for test in tests):
            of_records.append(name)
        elif any(test.verdict == "error" for test in tests):
            errors.append(name)
        passed = all(test.verdict for test in tests)
        if earlier is not None and passed:
            mended.append(name)
        if earlier is not None and (keeps_mended or not passed):
            findings[name] = earlier
    findings |= known
    return KnownChanges(
        tuple(findings[name] for name in sorted(findings)),
        tuple(added),
        tuple(changed),
        tuple(mended),
        tuple(sorted(known)),
        tuple(of_records),
        tuple(errors),
        sum(not session.is_finished for session in sessions),
    )


def _join(found: Iterable[KnownFinding]) -> KnownFinding | None:
    """Join what several reports say of one test. A divergence counts more than a run that could not be judged."""
    ranked = sorted(found, key=lambda finding: finding.verdict)  # diverged first
    if not ranked:
        return None
    same = [finding for finding in ranked if finding.verdict == ranked[0].verdict]
    return replace(
        ranked[0],
        artifacts=join_indices(name for finding in same for name in finding.artifacts),
        artifacts_left_out=max(finding.artifacts_left_out for finding in same),
        causes=tuple(sorted({code for finding in same for code in finding.causes})),
    )
