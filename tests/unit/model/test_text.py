from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.model.text import escape, escape_lines, escape_surrogates, escape_texts, is_encodable, make_encodable

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


#: Control sequences, a terminal's link, line breaks, bidirectional and invisible controls, stacked marks.
HOSTILE = [
    "\x1b[2J\x1b[31m", "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "\x9b2J", "\x07\x08\x7f",
    "\n\r\x0b\x0c\x85\u2028\u2029", "\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c",
    "\u200b\u2060\ufeff\u00ad", "\ud800\udfff", "\U000e0041\U000e007f", "a" + "\u0301" * 50,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_what_moves_or_hides_other_text_is_spelt_out(text):
    shown = escape(f"a{text}b")
    assert shown.isprintable()
    assert shown.startswith("a")
    assert shown.endswith("b")
    assert sum(map(unicodedata.combining, shown)) <= 3 * unicodedata.combining("\u0301")
    assert escape(shown) == shown


def test_words_of_other_languages_are_shown_as_they_are():
    for text in ("Müller", "Приве́т", "สวัสดี", "שָׁלוֹם", "日本語", "a b"):
        assert escape(text) == text


def test_lines_stay_lines():
    assert escape_lines("a\n\x1b[1mb\r\n\tc") == "a\n\\x1b[1mb\\r\n\\tc"
