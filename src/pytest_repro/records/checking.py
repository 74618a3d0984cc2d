"""What a test gave against its record: to the bits where the environment is the same, else to its tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_repro.capturing.digesting import digest_leaves
from pytest_repro.comparing import compare_artifacts
from pytest_repro.comparing.leaves import count_elements
from pytest_repro.errors import PayloadAbsentError
from pytest_repro.model import Artifacts, Comparison, TolerancePolicy, Verdict
from pytest_repro.records.differences import Difference, document_of, find_differences
from pytest_repro.records.files import StoredRecord

Tier = Literal["bits", "tolerance"]
_EXACT = TolerancePolicy()


@dataclass(frozen=True, slots=True)
class RecordCheck:
    """What comparing with a record showed.

    Attributes
    ----------
    verdict : Verdict
    tier : {"bits", "tolerance"}
        What was held.
    why : str
        Why that tier.
    comparison : Comparison or None
        None where nothing could be compared.
    reason : str
        Why it is inconclusive.
    differences : list of Difference
        Between the record's circumstances and those here, most likely explanation first.
    """

    verdict: Verdict
    tier: Tier
    why: str
    comparison: Comparison | None = None
    reason: str = ""
    differences: list[Difference] = field(default_factory=list)


def check_record(
    stored: StoredRecord,
    artifacts: Artifacts,
    digest: str,
    *,
    seed: int,
    facts: Mapping[str, Any],
    policy: TolerancePolicy,
    demands_bits: bool = False,
    repeats_bits: bool = True,
) -> RecordCheck:
    """Compare what a test gave with its record.

    Parameters
    ----------
    stored : StoredRecord
    artifacts : Artifacts
    digest : str
        Of all of them.
    seed : int
        That the test was run with.
    facts : mapping
        The circumstances here, as :func:`pytest_repro.records.differences.find_differences` takes them.
    policy : TolerancePolicy
        The test's own.
    demands_bits : bool
        Hold the bits whatever differs.
    repeats_bits : bool
        Whether the test's own runs agreed to the bit; otherwise its record cannot be asked to.

    Raises
    ------
    RecordError
        If the record's arrays are damaged.
    """
    record = stored.record
    differences = find_differences(record.facts, document_of(facts))
    if record.seed != seed:
        reason = f"the record was made with seed {record.seed}, this test was run with seed {seed}: use the same seed"
        return RecordCheck(Verdict.INCONCLUSIVE, "bits", "", reason=reason, differences=differences)
    repeated = repeats_bits and record.facts["policy"].get("verdict") != Verdict.WITHIN_TOLERANCE.value
    tier, why = choose_tier(differences, demands_bits=demands_bits, repeats_bits=repeated)
    elements = sum(map(count_elements, artifacts.leaves.values()))
    if digest == record.digest:
        # Equal digests are equal bits: the arrays need not even be here.
        comparison = Comparison((), artifacts=len(artifacts), elements=elements)
    else:
        try:
            expected = stored.load()
        except PayloadAbsentError as absent:
            reason = f"the results have other bits than the record ({_name_changed(stored, artifacts)}), and {absent}"
            return RecordCheck(Verdict.INCONCLUSIVE, tier, why, reason=reason, differences=differences)
        # A device that is not here cannot be held to; the values on another one can, within the tolerance.
        ignored = ("device",) if tier == "tolerance" else ()
        allowed = policy if tier == "tolerance" else _EXACT
        comparison = compare_artifacts(artifacts, expected, allowed, ignored_traits=ignored)
    if not elements:
        reason = "the test gave no element that could be compared with its record"
        return RecordCheck(Verdict.INCONCLUSIVE, tier, why, comparison, reason, differences)
    return RecordCheck(comparison.verdict, tier, why, comparison, differences=differences)


def choose_tier(
    differences: list[Difference], *, demands_bits: bool = False, repeats_bits: bool = True
) -> tuple[Tier, str]:
    """Return what is to be held, and why."""
    bits = [difference for difference in differences if difference.changes_bits]
    if demands_bits:
        return "bits", "the marker says tier='bits'"
    if bits:
        more = f" and {len(bits) - 1} more" if len(bits) > 1 else ""
        return "tolerance", f"the environment differs in what can change bits ({bits[0].describe()}{more})"
    if not repeats_bits:
        return "tolerance", "the test's own runs differ within its tolerance"
    return "bits", "the environment is the same in all that can change bits"


def _name_changed(stored: StoredRecord, artifacts: Artifacts) -> str:
    here = {path: f"sha256:{digest_leaves({path: leaf})}" for path, leaf in artifacts.leaves.items()}
    there = stored.record.digests
    changed = [path for path in {**there, **here} if there.get(path) != here.get(path)]
    return ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
