"""The codec: every value of the model survives the way to JSON and back."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_repro.errors import StoreError
from pytest_repro.model import (
    JSON,
    ArtifactComparison,
    Cause,
    Comparison,
    Condition,
    Diagnosis,
    EquivalenceFinding,
    FirstDivergence,
    Location,
    PlaceFinding,
    RunResult,
    TraceRow,
    Verdict,
)
from pytest_repro.model.codec import decode, encode, read_float
from pytest_repro.model.reported import (
    Circumstance,
    ReportedRecord,
    ReportedSession,
    ReportedTest,
    StepSeries,
    decode_session,
    encode_session,
)

#: Leaves of any JSON. Integers beyond 2**53 would stay text: a reader cannot know that they were numbers.
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
ANY_JSON = st.recursive(
    LEAVES | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
#: Without NaN, which equals nothing; a test below has it.
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(0, 2**80),
    float: st.floats(allow_nan=False),
    str: st.text(max_size=8),
    bool: st.booleans(),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return values of a type as the model has them, where no integer is negative."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in SCALARS:
        return SCALARS[kind]
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{part.name: values_of(hints[part.name]) for part in fields(kind)})
    if kind is Verdict or origin is Literal:
        return st.sampled_from([*Verdict] if kind is Verdict else arguments)
    if origin is UnionType:
        inner = [argument for argument in arguments if argument is not NoneType]
        return ANY_JSON if len(inner) > 1 else st.none() | values_of(inner[0])
    if origin is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*map(values_of, arguments))
    if origin is dict:
        return st.dictionaries(*map(values_of, arguments), max_size=2)
    assert origin in (list, tuple), kind
    return st.lists(values_of(arguments[0]), max_size=2).map(origin)


KINDS = [
    ArtifactComparison, Cause, Circumstance, Comparison, Condition, Diagnosis, EquivalenceFinding, FirstDivergence,
    Location, PlaceFinding, ReportedRecord, ReportedTest, RunResult, StepSeries, TraceRow,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_value_survives_the_way_to_json_and_back(kind: type[Any], data: st.DataObject) -> None:
    value = data.draw(values_of(kind))
    assert decode(kind, json.loads(json.dumps(encode(value), allow_nan=False))) == value


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values_of(tuple[ReportedTest, ...]), st.none() | values_of(dict[str, JSON]))
def test_a_session_survives_the_way_to_json_and_back(tests: tuple[ReportedTest, ...], facts: Any) -> None:
    session = ReportedSession(tests, facts, facts)
    document = encode_session(session)
    assert decode_session(json.loads(json.dumps(document, allow_nan=False))) == session
    assert encode_session(decode_session(document)) == document


def test_numbers_that_json_lacks_are_text_and_back() -> None:
    values = [math.inf, -math.inf, math.nan, 1.5]
    assert encode(values) == ["inf", "-inf", "nan", 1.5]
    again = decode(list[float], encode(values))
    assert again[:2] == values[:2]
    assert math.isnan(again[2])
    assert encode([2**53, 2**53 + 1]) == [2**53, str(2**53 + 1)]
    assert decode(list[int], encode([2**53 + 1])) == [2**53 + 1]


def test_floats_of_canonical_json_are_read() -> None:
    values = [0.1, -1.0, 5e-324, 1.7976931348623157e308, 0.0, math.inf]
    assert decode(list[float], [value.hex() if math.isfinite(value) else str(value) for value in values]) == values
    assert [read_float(value) for value in ("0x1.8p-4", "nan", "0.1", "0x1.8p+9999", 3, None)] == [0.09375, *[None] * 5]


def test_numpys_numbers_become_pythons() -> None:
    encoded = encode([np.int64(3), np.float32(0.5), np.float64(0.25), np.str_("a")])
    assert list(map(type, encoded)) == [int, float, float, str]


def test_a_value_without_a_form_in_json_is_rejected() -> None:
    with pytest.raises(TypeError, match="a object has no form in JSON"):
        encode({"a": [object()]})


@dataclass(frozen=True)
class Inner:
    verdict: Verdict
    size: int = 7


@dataclass(frozen=True)
class Outer:
    inner: Inner
    pairs: tuple[tuple[str, int], ...] = ()
    counts: dict[int, float] | None = None
    anything: int | str | None = None


def test_a_null_counts_as_absent_only_where_there_is_a_default() -> None:
    assert decode(Outer, {"inner": {"verdict": "error", "size": None}, "pairs": None}) == Outer(Inner(Verdict.ERROR))
    with pytest.raises(StoreError, match=r"^inner.verdict is missing$"):
        decode(Outer, {"inner": {"verdict": None}})
    assert decode(PlaceFinding, {"first": None}) == PlaceFinding(None)
    with pytest.raises(StoreError, match=r"^first is missing$"):
        decode(PlaceFinding, {})


def test_keys_and_fixed_lists_are_read_by_their_types() -> None:
    data = {"inner": {"verdict": "error"}, "pairs": [["a", 1]], "counts": {"3": 0.5}, "anything": "x"}
    assert decode(Outer, data) == Outer(Inner(Verdict.ERROR), (("a", 1),), {3: 0.5}, "x")
    assert encode(decode(Outer, data)) == {**data, "inner": {"verdict": "error", "size": 7}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairs": [["a", 1], ["b"]]}, r"job.pairs\[1\] must be a list of 2, got a list of 1"),
        ({"counts": {"x": 1}}, r"job.counts.x must be an integer >= 0, got 'x'"),
        ({"counts": {"1": "x"}}, r"job.counts\['1'\] must be a number"),
        ({"inner": []}, "job.inner must be an object, got a list of 0"),
        ({"inner": {"verdict": "error", "size": 1.5}}, "job.inner.size must be an integer >= 0, got 1.5"),
    ],
)
def test_an_error_names_the_place_within_the_given_one(change: dict[str, Any], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        decode(Outer, {"inner": {"verdict": "error"}, **change}, "job")


def test_a_type_that_the_codec_does_not_know_is_an_error_of_the_programmer() -> None:
    with pytest.raises(TypeError, match="no reader for"):
        decode(set[int], [])
