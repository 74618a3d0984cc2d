"""A test's results compared with its record, without a session."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree, digest
from pytest_repro.model import Tolerance, TolerancePolicy, Verdict
from pytest_repro.records.allowance import describe_rules
from pytest_repro.records.checking import check_record
from pytest_repro.records.files import read_record
from pytest_repro.records.policy import describe_policy
from tests.unit.records.helpers import FACTS, write


def check(tmp_path, recorded, value, facts=FACTS, policy=None, recorded_policy=None, **options):
    artifacts = capture_tree(value)
    policy = policy or TolerancePolicy()
    if recorded_policy is None:
        recorded_policy = allowing(policy)
    stored = read_record(write(tmp_path, capture_tree(recorded), facts={**FACTS, "policy": recorded_policy}))
    return check_record(stored, artifacts, digest(artifacts), seed=7, facts=facts, policy=policy, **options)


def allowing(policy, tier="auto"):
    policy = policy if isinstance(policy, TolerancePolicy) else TolerancePolicy.of(policy)
    return {"tolerance": describe_rules(policy), "bounds": describe_policy(policy), "tier": tier}


OTHER = {**FACTS, "environment": {"python": {"version": "3.14.0"}}}
LOOSE = TolerancePolicy.of(Tolerance(rtol=1e-3))


@pytest.mark.parametrize("facts", [FACTS, OTHER])
def test_results_without_an_element_are_inconclusive(tmp_path, facts):
    found = check(tmp_path, {"w": np.zeros((0, 3))}, {"w": np.zeros((0, 3))}, facts)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "no element" in found.reason


@pytest.mark.parametrize(
    ("facts", "options", "verdict", "tier"),
    [
        (FACTS, {}, Verdict.DIVERGED, "bits"),
        (OTHER, {}, Verdict.WITHIN_TOLERANCE, "tolerance"),
        (OTHER, {"demands_bits": True}, Verdict.DIVERGED, "bits"),
        (FACTS, {"repeats_bits": False}, Verdict.WITHIN_TOLERANCE, "tolerance"),
    ],
)
def test_the_tier_decides_what_is_allowed(tmp_path, facts, options, verdict, tier):
    found = check(tmp_path, {"w": np.ones(3)}, {"w": np.full(3, 1.0001)}, facts, LOOSE, **options)
    assert (found.verdict, found.tier) == (verdict, tier)


def test_another_structure_diverges_in_any_environment(tmp_path):
    for facts in (FACTS, OTHER):
        found = check(tmp_path, {"w": np.ones(3)}, {"w": np.ones(3), "extra": 1}, facts, LOOSE)
        assert found.verdict is Verdict.DIVERGED


ONES, MOVED = {"w": np.ones(3)}, {"w": np.full(3, 1.0001)}
EXACT = allowing(None)
AUTO = {"tolerance": [["*", "auto: 5 x the error against the float64 reference"]], "tier": "auto"}


@pytest.mark.parametrize(
    ("allowed", "reason", "tier"),
    [
        (EXACT, "no difference -> rtol=0.001", "tolerance"),
        (allowing(Tolerance(rtol=1e-6)), "rtol=1e-06 -> rtol=0.001", "tolerance"),
        (allowing({"other": Tolerance(rtol=1.0)}), "other: rtol=1 -> rtol=0.001", "tolerance"),
        (allowing(LOOSE, "bits"), "", "bits"),
    ],
)
def test_a_bound_that_was_loosened_after_the_record_was_made_does_not_count(tmp_path, allowed, reason, tier):
    found = check(tmp_path, ONES, MOVED, OTHER, LOOSE, allowed)
    assert (found.verdict, found.tier) == (Verdict.DIVERGED, tier)
    assert reason in found.reason
    assert [each.name for each in found.differences if each.part == "tolerance"] == ["tier" if not reason else ""]


def test_a_bound_that_was_tightened_counts_and_is_named(tmp_path):
    tight = TolerancePolicy.of(Tolerance(rtol=1e-9))
    allowed = allowing(LOOSE)
    found = check(tmp_path, ONES, MOVED, OTHER, tight, allowed)
    assert found.verdict is Verdict.DIVERGED
    assert found.comparison.divergences[0].allowed == "rtol=1e-09"


def test_a_loosened_bound_is_named_where_the_results_are_identical(tmp_path):
    found = check(tmp_path, ONES, ONES, FACTS, LOOSE, EXACT)
    assert (found.verdict, found.tier) == (Verdict.IDENTICAL, "bits")
    (changed,) = found.differences
    assert (changed.part, changed.recorded, changed.here) == ("tolerance", "no difference", "rtol=0.001")


@pytest.mark.parametrize("allowed", [AUTO, {}, {"tolerance": 3}, {**EXACT, "tolerance": [["*", "rtol=1"]]}])
def test_what_a_record_allows_and_nobody_can_apply_leaves_a_difference_open(tmp_path, allowed):
    found = check(tmp_path, ONES, MOVED, OTHER, LOOSE, allowed)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "cannot be applied here" in found.reason


def test_rows_that_were_ordered_when_the_record_was_made_stay_so(tmp_path):
    rows, moved = {"w": np.arange(6.0).reshape(3, 2)}, {"w": np.arange(6.0).reshape(3, 2)[::-1].copy()}
    unordered = TolerancePolicy.of(Tolerance(rows="unordered"))
    assert check(tmp_path, rows, moved, FACTS, unordered, EXACT).verdict is Verdict.DIVERGED
