"""Canonical JSON: one document has one sequence of bytes, and its reader trusts nothing."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.errors import StoreError
from pytest_repro.records.canonical import MAX_BYTES, as_document, canonical_bytes, parse_strictly

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(documents)
def test_a_written_document_is_read_back(document):
    assert parse_strictly(canonical_bytes(document)) == document


@given(documents)
def test_the_bytes_are_those_of_another_implementation_of_rfc_8785(document):
    rfc8785 = pytest.importorskip("rfc8785")
    assert canonical_bytes(document) == rfc8785.dumps(document)


def test_keys_are_sorted_by_utf_16_units_and_not_by_code_points():
    # U+1F600 is the units D83D DE00, which come before U+FB33; by code points it comes after.
    assert canonical_bytes({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize("value", [2**53, -(2**53), 0.5, {"a": [1.0]}, "\ud800", {"\udfff": 1}, b"x", {1}])
def test_a_value_that_readers_round_or_reject_is_not_written(value):
    with pytest.raises(StoreError):
        canonical_bytes(value)


def test_floats_and_large_integers_become_text():
    given_value = {"lr": 0.1, "n": 2**60, "k": 3, "bad": float("nan"), "t": (1, True, None)}
    assert as_document(given_value) == {
        "lr": "0x1.999999999999ap-4", "n": str(2**60), "k": 3, "bad": "nan", "t": [1, True, None],
    }  # fmt: skip
    assert as_document(1 << 20_000) == hex(1 << 20_000)
    assert as_document({"f\udcff": "v\udc80"}) == {"f\\udcff": "v\\udc80"}


def test_a_value_of_another_type_is_rejected_with_its_type():
    with pytest.raises(StoreError, match="cannot store a object"):
        as_document({"a": object()})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a":1,"b":2,"a":3}', "'a' occurs twice"),
        ('{"x":[{"k":1,"k":1}]}', "'k' occurs twice"),
        ("[" * 33 + "]" * 33, "nested more than 32 levels deep"),
        ('[{"a":' * 20 + "1" + "}]" * 20, "nested more than 32 levels deep"),
        ("[" * 200_000, "nested more than 32 levels deep"),
        ("1.5", "1.5 is not allowed"),
        ("1e400", "1e400 is not allowed"),
        ("NaN", "NaN is not allowed"),
        ("[-Infinity]", "-Infinity is not allowed"),
        (str(2**53), "beyond 2\\*\\*53"),
        ("9" * 100_000, "beyond 2\\*\\*53"),
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ('{"a":1}x', "it is not JSON"),
        ('"\x01"', "it is not JSON"),
    ],
    ids=lambda text: text[:12],
)
def test_hostile_or_broken_data_is_rejected_with_the_reason(text, reason):
    with pytest.raises(StoreError, match=reason):
        parse_strictly(text.encode())


def test_a_key_that_occurs_twice_is_found_among_many_in_one_pass():
    keys = ",".join(f'"k{n}":1' for n in range(200_000))
    with pytest.raises(StoreError, match="'k199999' occurs twice"):
        parse_strictly(f'{{{keys},"k199999":1}}'.encode())


def test_bytes_that_are_not_text_are_rejected():
    with pytest.raises(StoreError, match="it is not UTF-8 at byte 2"):
        parse_strictly(b'["\xff"]')


def test_brackets_in_a_text_do_not_count_as_nesting():
    text = "[" * 1000 + '\\"' + "{" * 1000
    assert parse_strictly(canonical_bytes([text])) == [text]


def test_a_document_that_is_too_large_is_rejected_before_it_is_read():
    before = time.perf_counter()
    with pytest.raises(StoreError, match="bytes; at most 268,435,456 are read"):
        parse_strictly(bytes(MAX_BYTES + 1))
    assert time.perf_counter() - before < 1


def test_a_long_string_takes_time_in_proportion_to_its_length() -> None:
    # Under a scanner whose time grew with the square, this took hours, and the time limit of the tests ended it.
    text = b'{"a":"' + b'\\"' * 2_000_000
    with pytest.raises(StoreError, match="not JSON"):
        parse_strictly(text)
    assert parse_strictly(text + b'"}') == {"a": '"' * 2_000_000}


def test_32_levels_are_read() -> None:
    assert parse_strictly(b"[" * 32 + b"]" * 32)
    assert parse_strictly(b'{"a":"' + b"[" * 100 + b'"}')
