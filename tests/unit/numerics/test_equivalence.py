from __future__ import annotations

import pytest

from pytest_repro.errors import UsageError
from pytest_repro.numerics.equivalence import (
    check_equivalence,
    regularized_beta,
    t_quantile,
    t_survival,
    wilson_interval,
)

PAIRED = [0.91, 0.92, 0.90, 0.915, 0.905], [0.912, 0.918, 0.901, 0.916, 0.904]


@pytest.mark.parametrize("freedom", [1, 2, 4.5, 9, 30, 200, 5000])
@pytest.mark.parametrize("t", [-30.0, -2.0, -0.1, 0.0, 0.5, 1.7, 6.0, 40.0])
def test_t_survival_matches_scipy(freedom, t):
    stats = pytest.importorskip("scipy.stats")
    assert t_survival(t, freedom) == pytest.approx(stats.t.sf(t, freedom), rel=1e-9)


@pytest.mark.parametrize("freedom", [1, 4, 9.7, 100])
@pytest.mark.parametrize("probability", [0.001, 0.2, 0.8, 0.95, 0.999])
def test_t_quantiles_match_scipy(freedom, probability):
    stats = pytest.importorskip("scipy.stats")
    assert t_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=1e-8)


def test_t_quantiles_match_published_values():
    assert t_quantile(0.95, 4) == pytest.approx(2.131847, abs=1e-6)
    assert t_quantile(0.975, 9) == pytest.approx(2.262157, abs=1e-6)
    assert regularized_beta(0.5, 2.0, 2.0) == pytest.approx(0.5)


def test_paired_runs_within_the_margin_are_equivalent():
    found = check_equivalence(*PAIRED, margin=0.01, paired=True)
    assert found.is_equivalent
    assert -0.01 < found.low <= found.difference <= found.high < 0.01


def test_the_p_value_matches_two_one_sided_tests_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    for margin in (0.001, 0.003):
        found = check_equivalence(*PAIRED, margin=margin, paired=True)
        differences = [a - e for a, e in zip(*PAIRED, strict=True)]
        tests = [
            stats.ttest_1samp(differences, -margin, alternative="greater").pvalue,
            stats.ttest_1samp(differences, margin, alternative="less").pvalue,
        ]
        assert found.p_value == pytest.approx(max(tests), rel=1e-9)


def test_unpaired_runs_match_welchs_test():
    stats = pytest.importorskip("scipy.stats")
    left = [0.90 + 0.001 * i for i in range(10)]
    right = [0.905 + 0.003 * (i % 4) for i in range(12)]
    found = check_equivalence(left, right, margin=0.02)
    tests = [
        stats.ttest_ind([x + 0.02 for x in left], right, equal_var=False, alternative="greater").pvalue,
        stats.ttest_ind([x - 0.02 for x in left], right, equal_var=False, alternative="less").pvalue,
    ]
    assert found.p_value == pytest.approx(max(tests), rel=1e-9)


def test_the_p_value_is_compared_with_alpha_not_twice_alpha():
    found = check_equivalence(*PAIRED, margin=0.0016, paired=True)
    assert 0.05 < found.p_value < 0.1
    assert not found.is_equivalent
    assert found.low < -0.0016
    assert check_equivalence(*PAIRED, margin=0.0018, paired=True).is_equivalent
    assert not check_equivalence(*PAIRED, margin=0.0018, paired=True, alpha=0.025).is_equivalent


def test_a_difference_equal_to_the_margin_is_not_equivalent():
    assert not check_equivalence([1.0] * 5, [0.9] * 5, margin=1.0 - 0.9, paired=True).is_equivalent
    assert check_equivalence([1.0] * 5, [0.9] * 5, margin=0.11, paired=True).is_equivalent


def test_with_a_wide_spread_equivalence_is_not_shown_and_the_runs_needed_are_reported():
    found = check_equivalence([0.8, 0.9, 1.0, 0.85, 0.95], [0.9, 0.8, 0.95, 1.0, 0.85], margin=0.05, paired=True)
    assert not found.is_equivalent
    assert found.runs_needed is not None
    assert found.runs_needed > 5


def test_no_number_of_runs_is_enough_if_the_difference_exceeds_the_margin():
    assert (
        check_equivalence([1.0, 1.1, 1.2, 1.1, 1.0], [0.0, 0.1, 0.0, 0.1, 0.0], margin=0.5, paired=True).runs_needed
        is None
    )


@pytest.mark.parametrize("paired, runs, needed", [(True, 4, "at least 5"), (False, 9, "at least 10")])
def test_too_few_runs_are_rejected_with_the_number_needed(paired, runs, needed):
    with pytest.raises(UsageError, match=needed):
        check_equivalence([1.0] * runs, [1.0] * runs, margin=0.1, paired=paired)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"margin": 0}, "margin .* must be positive and finite, got 0"),
        ({"margin": -1}, "margin .* must be positive and finite, got -1"),
        ({"margin": float("nan")}, "margin .* must be positive and finite, got nan"),
        ({"margin": 1, "alpha": 0.5}, "alpha must be between 0 and 0.5, got 0.5"),
    ],
)
def test_impossible_margins_and_levels_are_rejected(options, message):
    with pytest.raises(UsageError, match=message):
        check_equivalence([1.0] * 10, [1.0] * 10, **options)


def test_unequal_pairs_and_failed_runs_are_rejected():
    with pytest.raises(UsageError, match="paired runs need as many"):
        check_equivalence([1.0] * 6, [1.0] * 5, margin=1, paired=True)
    with pytest.raises(UsageError, match="run 2 of expected is nan"):
        check_equivalence([1.0] * 5, [1.0, float("nan"), 1.0, 1.0, 1.0], margin=1, paired=True)


@pytest.mark.parametrize("k, n", [(0, 10), (1, 10), (5, 10), (10, 10), (3, 1000)])
def test_wilson_interval_matches_scipy(k, n):
    stats = pytest.importorskip("scipy.stats")
    wanted = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert wilson_interval(k, n) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_an_interval_without_trials_is_rejected():
    with pytest.raises(UsageError, match="got 0 of 0"):
        wilson_interval(0, 0)
