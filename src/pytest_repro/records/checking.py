"""Compare a test's results with its record: bit for bit in the same environment, else within its tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pytest_repro.capturing.digesting import digest_leaves
from pytest_repro.comparing import compare_artifacts
from pytest_repro.comparing.leaves import count_elements
from pytest_repro.errors import PayloadAbsentError
from pytest_repro.model import Artifacts, Comparison, TolerancePolicy, Verdict
from pytest_repro.model.reported import Circumstance
from pytest_repro.records.allowance import find_changed_bounds, read_allowed, say_rules
from pytest_repro.records.differences import (
    describe_circumstance,
    document_of,
    find_differences,
    find_unrecorded,
)
from pytest_repro.records.files import StoredRecord
from pytest_repro.records.record import check_forms, check_values, naming

Tier = Literal["bits", "tolerance"]
_EXACT = TolerancePolicy()
#: How a user lets a record allow what the test allows now.
UPDATE = "record the test again with --repro-update and --repro-reason if that is intended"


@dataclass(frozen=True, slots=True)
class RecordCheck:
    """The result of a comparison with a record.

    Attributes
    ----------
    tier : {"bits", "tolerance"}
        The rule of the comparison: bit for bit, or within the test's tolerance; `why` is its reason.
    comparison : Comparison or None
        None where nothing could be compared.
    reason : str
        Why it is inconclusive, or that it differs only by what the record allows.
    differences : list of Circumstance
        Between the record's circumstances and those here, most likely explanation first.
    unrecorded : list of str
        What may differ as well, and was not compared.
    """

    verdict: Verdict
    tier: Tier
    why: str
    comparison: Comparison | None = None
    reason: str = ""
    differences: list[Circumstance] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)


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
    """Compare a test's artifacts with its record.

    Parameters
    ----------
    stored : StoredRecord
    artifacts : Artifacts
    digest : str
        Digest of all artifacts.
    seed : int
        The seed of the test's runs.
    facts : mapping
        The circumstances here, as :func:`pytest_repro.records.differences.find_differences` takes them.
    policy : TolerancePolicy
        The test's tolerances. Where those of the record are narrower, they decide.
    demands_bits : bool
        Whether to compare bit for bit whatever differs.
    repeats_bits : bool
        Whether the test's own runs were identical. If not, a record cannot be matched bit for bit either.

    Raises
    ------
    RecordError
        If the record's arrays are damaged.
    """
    record, here = stored.record, document_of(facts)
    allowed = record.facts["policy"]
    bounds = find_changed_bounds(allowed, policy, "bits" if demands_bits else "auto")
    found = RecordCheck(
        Verdict.INCONCLUSIVE,
        "bits",
        "",
        differences=rank([*find_differences(record.facts, here), *bounds]),
        unrecorded=find_unrecorded(record.facts, here),
    )
    if record.seed != seed:
        reason = f"the record was made with seed {record.seed}, this test ran with seed {seed}: use the same seed"
        return replace(found, reason=reason)
    repeated = repeats_bits and allowed.get("verdict") != Verdict.WITHIN_TOLERANCE.value
    tier, why = choose_tier(found.differences, demands_bits=demands_bits, repeats_bits=repeated)
    if tier == "tolerance" and allowed.get("tier") == "bits":
        tier, why = "bits", "the record was made with tier='bits'"
        demands_bits = True
    found = replace(found, tier=tier, why=why)
    elements = sum(map(count_elements, artifacts.leaves.values()))
    if digest == record.digest:
        # Equal digests mean equal bits: the arrays need not even be here. What is shown of them must be true.
        if (record.payload or {}).get("kind") == "file":
            with naming(stored.path):
                check_values(record)
                check_forms(record, artifacts)
        else:
            stored.load()
        comparison = Comparison((), artifacts=len(artifacts), elements=elements)
    else:
        try:
            expected = stored.load()
        except PayloadAbsentError as absent:
            reason = f"the results differ from the record ({_name_changed(stored, artifacts)}), and {absent}"
            return replace(found, reason=reason)
        recorded = read_allowed(allowed, policy, artifacts, expected)
        policies = [policy, *([recorded] if recorded is not None and bounds else [])]
        for each in policies:
            comparison = compare_by_tier(artifacts, expected, each, tier, demands_bits=demands_bits)
            if comparison.verdict is not Verdict.WITHIN_TOLERANCE:
                break
        if comparison.verdict is Verdict.WITHIN_TOLERANCE and recorded is None:
            shown = say_rules(allowed.get("tolerance"))
            reason = f"the results differ from the record; what it allows ({shown}) cannot be applied here; {UPDATE}"
            return replace(found, comparison=comparison, reason=reason)
        if comparison.verdict is Verdict.DIVERGED and each is not policies[0]:
            found = replace(found, reason=_say_loosened(bounds))
    if not elements:
        reason = "the test returned no element that could be compared with its record"
        return replace(found, comparison=comparison, reason=reason)
    return replace(found, verdict=comparison.verdict, comparison=comparison)


def compare_by_tier(
    actual: Artifacts, expected: Artifacts, policy: TolerancePolicy, tier: Tier, *, demands_bits: bool = False
) -> Comparison:
    """Compare the artifacts of two records, or of a test and its record, by the rule that was chosen."""
    # The record's device may not exist here, but its values can be compared within the tolerance.
    ignored = ("device",) if tier == "tolerance" else ()
    # The order of rows that a test leaves open is not a matter of bits.
    exact = _EXACT if demands_bits else policy.without_bounds()
    allowed = policy if tier == "tolerance" else exact
    return compare_artifacts(actual, expected, allowed, ignored_traits=ignored)


def choose_tier(
    differences: list[Circumstance], *, demands_bits: bool = False, repeats_bits: bool = True
) -> tuple[Tier, str]:
    """Return the rule of the comparison, and why."""
    bits = [difference for difference in differences if difference.changes_bits]
    if demands_bits:
        return "bits", "the marker says tier='bits'"
    if bits:
        more = f" and {len(bits) - 1} more" if len(bits) > 1 else ""
        return "tolerance", f"the environment differs in what can change bits ({describe_circumstance(bits[0])}{more})"
    if not repeats_bits:
        return "tolerance", "the test's own runs differ within its tolerance"
    if differences:
        # Not tolerated: a hash seed, a variable that the test reads, its data or its code are no property of kernels.
        return "bits", "nothing differs that loosens the comparison, such as processor, kernels or numerical packages"
    return "bits", "the environment matches in everything that can change bits and that was looked at"


def rank(found: list[Circumstance]) -> list[Circumstance]:
    """Sort circumstances: the most likely explanation first."""
    return sorted(found, key=lambda each: (-each.weight, each.name))


def _say_loosened(bounds: list[Circumstance]) -> str:
    changed = "; ".join(describe_circumstance(each) for each in bounds)
    return f"the record allows less than the test does now ({changed}); {UPDATE}"


def _name_changed(stored: StoredRecord, artifacts: Artifacts) -> str:
    here = {path: f"sha256:{digest_leaves({path: leaf})}" for path, leaf in artifacts.leaves.items()}
    there = stored.record.digests
    changed = [path for path in {**there, **here} if there.get(path) != here.get(path)]
    return ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
