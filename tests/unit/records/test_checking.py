"""A test's results compared with its record, without a session."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree, digest
from pytest_repro.model import Tolerance, TolerancePolicy, Verdict
from pytest_repro.records.checking import check_record
from pytest_repro.records.files import read_record
from tests.unit.records.helpers import FACTS, write


def check(tmp_path, recorded, value, facts=FACTS, policy=None, **options):
    artifacts = capture_tree(value)
    stored = read_record(write(tmp_path, capture_tree(recorded)))
    policy = policy or TolerancePolicy()
    return check_record(stored, artifacts, digest(artifacts), seed=7, facts=facts, policy=policy, **options)


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
