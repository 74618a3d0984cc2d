"""A test's tolerances in a record: the bounds by which another machine compares are those of the test."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.errors import RecordError
from pytest_repro.model import Tolerance, TolerancePolicy
from pytest_repro.records.canonical import as_document, canonical_bytes, parse_strictly
from pytest_repro.records.policy import describe_policy, read_policy

BOUNDS = st.floats(0, 1e6, allow_nan=False)
TOLERANCES = st.one_of(
    st.builds(
        Tolerance,
        max_ulp=st.integers(0, 2**70),
        rtol=BOUNDS,
        atol=BOUNDS,
        norm=st.none() | BOUNDS,
        norm_cap=st.floats(1, 1e3),
    ),
    st.just(Tolerance(rows="unordered")),
    st.just(Tolerance.per_dtype()),
    st.just(Tolerance.per_dtype({"float8_e4m3fn": Tolerance(max_ulp=1)})),
)
POLICIES = st.builds(
    TolerancePolicy, st.lists(st.tuples(st.text(max_size=9), TOLERANCES), max_size=4).map(tuple), st.booleans()
)


def stored(policy: TolerancePolicy):
    return parse_strictly(canonical_bytes(as_document(describe_policy(policy))))


@given(POLICIES)
def test_every_bound_is_read_back_exactly(policy):
    assert read_policy(stored(policy)).rules == tuple((as_document(glob), bound) for glob, bound in policy.rules)
    assert read_policy(stored(policy)).auto == policy.auto


def test_a_tolerance_that_needs_a_reference_cannot_be_read():
    policy = TolerancePolicy.of(Tolerance.auto(reference=[1.0]))
    with pytest.raises(RecordError, match="a reference, which no record holds"):
        read_policy(stored(policy))


def test_a_record_of_an_older_release_has_no_bounds():
    with pytest.raises(RecordError, match="older release"):
        read_policy(None)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["auto"], 1),
        (["rules"], {}),
        (["rules", 0], ["*"]),
        (["rules", 0, 0], 5),
        (["rules", 0, 1, "rtol"], "inf"),
        (["rules", 0, 1, "rtol"], "-0x1.0000000000000p+0"),
        (["rules", 0, 1, "rtol"], 3),
        (["rules", 0, 1, "max_ulp"], -1),
        (["rules", 0, 1, "max_ulp"], True),
        (["rules", 0, 1, "max_ulp"], "9" * 5000),
        (["rules", 0, 1, "rule"], "anything goes"),
        (["rules", 0, 1, "rows"], "any"),
        (["rules", 0, 1, "by_dtype"], [["float32", {}]]),
        (["rules", 0, 1, "by_dtype"], 7),
    ],
)
def test_a_hostile_policy_is_refused_and_never_widens_a_bound(place, value):
    document = copy.deepcopy(stored(TolerancePolicy.of(Tolerance(rtol=0.5))))
    assert read_policy(document).find("w").rtol == 0.5
    inner = document
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(RecordError):
        read_policy(document)
