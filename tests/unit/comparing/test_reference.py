"""Choice of tolerances from a float64 run: whether it is usable, up to which step, and for repeats on one device."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree
from pytest_repro.comparing.reference import choose_rules, compare_by_reference, tolerance_of_repeats
from pytest_repro.model import Tolerance, TolerancePolicy

EXACT = np.random.default_rng(0).standard_normal(100)
AUTO = TolerancePolicy((), auto=True)


def rules_of(baseline, reference, policy=AUTO):
    return choose_rules(capture_tree(baseline), None if reference is None else capture_tree(reference), policy)


@pytest.mark.parametrize(
    ("baseline", "reference", "reason"),
    [
        ({"x": EXACT.astype("f4")}, None, "there was no reference run"),
        ({"x": EXACT.astype("f4")}, {"y": EXACT}, "produced no 'x'"),
        ({"x": EXACT.astype("f4")}, {"x": EXACT[:9]}, "has shape (9,) in the reference run, but (100,) in run 1"),
        ({"x": EXACT.astype("f4")}, {"x": EXACT.astype("f4")}, "is float32 in the reference run too"),
        ({"x": EXACT.astype("f4")}, {"x": EXACT.astype("f4").astype("f8")}, "the same numbers as run 1"),
        ({"x": EXACT}, {"x": EXACT}, "already computes 'x' in float64"),
        ({"x": 0.1}, {"x": 0.1}, "the same numbers as run 1"),
    ],
)
def test_without_a_usable_float64_run_no_number_can_be_judged(baseline, reference, reason):
    rules = rules_of(baseline, reference)
    assert reason in rules.reason
    assert rules.unjudged == {"x"}
    assert rules.policy.find("x").is_exact


def test_a_float64_run_is_the_reference_and_globs_keep_their_bounds():
    bound = Tolerance(rtol=0.5)
    baseline = {"x": EXACT.astype("f4"), "metrics": {"loss": 1.0}, "n": 3}
    reference = {"x": EXACT, "metrics": {"loss": 1.0}, "n": 3}
    rules = rules_of(baseline, reference, TolerancePolicy((("metrics/*", bound),), auto=True))
    assert (rules.policy.find("x").rule, rules.policy.find("metrics/loss")) == ("reference", bound)
    assert not rules.unjudged
    assert not rules.skipped


def test_integers_need_no_reference():
    assert not rules_of({"n": 3}, {"n": 3}).unjudged


@pytest.mark.parametrize(("error", "is_noisy"), [(0.0099, False), (0.0101, True)])
def test_noise_above_one_percent_of_the_scale_is_too_large(error, is_noisy):
    baseline = {"x": (EXACT * (1 + error)).astype("f4")}
    assert rules_of(baseline, {"x": EXACT}).unjudged == ({"x"} if is_noisy else frozenset())
    bounded = rules_of(baseline, {"x": EXACT}, TolerancePolicy((("*", Tolerance(atol=1.0)),), auto=True))
    assert not bounded.unjudged
    assert bounded.policy.find("x").rule == ("bounds" if is_noisy else "reference")


def test_steps_from_the_first_noisy_one_on_are_skipped_and_reported():
    noise = [1e-7, 1e-3, 0.2, 1e-7]
    baseline = {f"step/{i}/x": (EXACT * (1 + e)).astype("f4") for i, e in enumerate(noise)}
    rules = rules_of(baseline, dict.fromkeys(baseline, EXACT))
    assert rules.skipped == {"step/2/x", "step/3/x"}
    assert "before step 2: at step 2 run 1's own error against float64 is 20 % of step/2/x" in rules.notes[0]


def test_if_all_steps_are_noisy_they_are_unjudged_and_not_skipped():
    rules = rules_of({"step/0/x": (EXACT * 1.2).astype("f4")}, {"step/0/x": EXACT})
    assert rules.unjudged == {"step/0/x"}
    assert not rules.skipped


def test_an_unjudged_value_that_differs_is_reported_and_another_shape_diverges():
    baseline = capture_tree({"x": EXACT.astype("f4")})
    rules = choose_rules(baseline, None, AUTO)
    same, is_open = compare_by_reference(baseline, baseline, rules, ())
    assert (same.verdict, is_open) == ("identical", False)
    other, is_open = compare_by_reference(capture_tree({"x": EXACT.astype("f4") + 1}), baseline, rules, ())
    assert (other.divergences, is_open) == ((), True)
    short, is_open = compare_by_reference(capture_tree({"x": EXACT[:3].astype("f4")}), baseline, rules, ())
    assert (short.verdict, is_open) == ("diverged", False)


def test_a_repeat_may_differ_by_as_much_as_the_devices_may():
    baseline, reference = capture_tree({"x": EXACT.astype("f4")}), capture_tree({"x": EXACT})
    rules = choose_rules(baseline, reference, AUTO)
    first = capture_tree({"x": EXACT.astype("f4") + np.float32(1e-3)})
    bound = tolerance_of_repeats(rules, baseline, first).find("x")
    assert bound.norm is not None
    assert 1e-8 < bound.norm < 1e-6
