from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.model.text import escape_surrogates, escape_texts, is_encodable, make_encodable

#: Texts around what escaping may confuse.
texts = st.text(st.sampled_from(["\\", "u", "d", "c", "e", "9", "\udce9", "\ud83d", "é", "a"]), max_size=12)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("nom\udce9", "nom\\udce9"),
        ("nom\\udce9", "nom\\\\udce9"),
        ("\\\udce9", "\\\\\\udce9"),
        ("C:\\users\\data", "C:\\users\\data"),
        ("é\U0001f600", "é\U0001f600"),
        ("", ""),
    ],
)
def test_a_lone_surrogate_is_shown_by_its_escape(text: str, expected: str) -> None:
    assert escape_surrogates(text) == expected


@given(texts, texts)
def test_escaped_texts_are_encodable_and_different_texts_stay_different(one: str, other: str) -> None:
    assert is_encodable(escape_surrogates(one))
    assert (escape_surrogates(one) == escape_surrogates(other)) == (one == other)


def test_every_text_in_a_report_is_escaped() -> None:
    given = {"a\udce9": ["\udce9", ("\udce9", 1, None)], "b": {"c": "\udce9"}}
    escaped = {"a\\udce9": ["\\udce9", ("\\udce9", 1, None)], "b": {"c": "\\udce9"}}
    assert make_encodable(given) == escape_texts(given) == escaped
    # The messages of a report keep what merely looks like an escape.
    assert make_encodable(escaped) == escaped


def test_a_long_row_of_backslashes_takes_time_in_proportion_to_its_length():
    """With the square of it, this took 20 minutes, and the time limit of the tests ended it."""
    row = "\\" * 200_000
    assert escape_surrogates(f"{row}x\\ud800") == f"{row}x\\\\ud800"
    assert escape_surrogates(f"{row}\ud800") == f"{row}{row}\\ud800"
