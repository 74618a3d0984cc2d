"""Experiments: verdicts that need a comparison, and the message of a difference."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from pytest_repro import DivergenceError, InconclusiveError, UsageError
from pytest_repro.capturing import capture_tree
from pytest_repro.equivalences.arguments import check_counts
from pytest_repro.equivalences.causes import CAUSES
from pytest_repro.equivalences.experiment import Experiment, Explanation, Trial

A = capture_tree(np.ones(3))
B = capture_tree(np.array([1.0, 2.0, 1.0]))
NOTHING = capture_tree({})
EMPTY = capture_tree(np.empty((0, 3)))


def unexplained(deviations):
    return Explanation("code: why", ("seen",), "do this")


def experiment(**bounds):
    return Experiment.begin("assert_this", None, bounds)


def test_identical_trials_return_a_true_equivalence_that_lists_them():
    begun = experiment()
    begun.notes.append("by the way")
    shown = begun.conclude(Trial("as is", A), [Trial("varied", A)], unexplained)
    assert shown
    assert str(shown) == "assert_this: identical: varied against as is\n  note      by the way"


def test_the_message_lists_variants_place_cause_and_fix():
    with pytest.raises(DivergenceError) as caught:
        experiment().conclude(Trial("as is", A), [Trial("first way", A), Trial("second way", B)], unexplained)
    head, _, body = str(caught.value).partition("\n\n1 of 1 artifact")
    assert head.splitlines() == [
        "assert_this: 1 of 2 variants differ from as is",
        "",
        "  varied    as is -> second way",
        "  cause     code: why",
        "  fix       do this",
        "  first     result at [1]",
        "  evidence  seen",
        "  differ    second way",
        "  match     first way",
    ]
    assert "differs by more than allowed" in body


def test_a_tolerance_makes_it_within_tolerance_and_not_identical():
    assert experiment(atol=1.0).conclude(Trial("a", A), [Trial("b", B)], unexplained).verdict == "within_tolerance"


def test_a_trial_that_raised_is_a_difference():
    with pytest.raises(DivergenceError, match=r"raised +b: ValueError: no"):
        experiment().conclude(Trial("a", A), [Trial("b", NOTHING, "ValueError: no")], unexplained)


def test_a_trial_may_have_its_own_expected_result():
    assert experiment().conclude(Trial("a", A), [Trial("b", B, expected=B)], unexplained)
    with pytest.raises(DivergenceError):
        experiment().conclude(Trial("a", A), [Trial("b", A, expected=B)], unexplained)


@pytest.mark.parametrize("empty", [NOTHING, EMPTY], ids=["no artifacts", "no elements"])
def test_nothing_compared_is_inconclusive(empty):
    for trials in ([], [Trial("b", empty)]):
        with pytest.raises(InconclusiveError, match="nothing"):
            experiment().conclude(Trial("a", empty), trials, unexplained)


def test_a_result_that_does_not_repeat_is_inconclusive():
    experiment().require_stable(A, A, "the result", "seed it")
    with pytest.raises(InconclusiveError, match=r"(?s)the result differs from itself.*fix +seed it"):
        experiment().require_stable(A, B, "the result", "seed it")
    with pytest.raises(InconclusiveError, match="nothing to compare"):
        experiment().require_stable(NOTHING, NOTHING, "the result", "seed it")


@pytest.mark.parametrize(
    ("factors", "code"),
    [
        ([1 + 1e-15, 1 - 1e-15], "order.rounding"),
        ([1 + 1e-15, 2.0], "order.dependence"),
        ([2.0, 1.0], "order.dependence"),
    ],
)
def test_a_difference_is_rounding_only_if_every_trial_is(factors, code):
    trials = [Trial(f"times {factor}", capture_tree(np.ones(3) * factor)) for factor in factors]
    explain = partial(Explanation.by_magnitude, rounding="order.rounding", other="order.dependence")
    with pytest.raises(DivergenceError) as caught:
        experiment().conclude(Trial("as is", A), trials, explain)
    explanation = caught.value.equivalence.explanation
    assert explanation.cause == f"{code}: {CAUSES[code].meaning}"
    assert explanation.fix == CAUSES[code].fix
    assert explanation.evidence[0].startswith(f"times {factors[0]}: max ")


@pytest.mark.parametrize("values", [(), "12", 0, (1, 0), (1.5,), (True,), None])
def test_values_that_are_not_counts_are_rejected(values):
    with pytest.raises(UsageError, match="assert_this: sizes"):
        check_counts("assert_this", "sizes", values)


def test_counts_keep_their_order_without_repeats():
    assert check_counts("assert_this", "sizes", [3, 1, 3]) == (3, 1)
    assert check_counts("assert_this", "sizes", 2) == (2,)
    with pytest.raises(UsageError, match="sizes=2 is only one number"):
        check_counts("assert_this", "sizes", 2, min_count=2)
