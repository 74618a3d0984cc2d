"""Elements: everything that is not markup is text, whatever it contains."""

from __future__ import annotations

import pytest

from pytest_repro.reporting.html.markup import Markup, code, el, join, lines, plain, user


def test_text_is_escaped_in_content_and_in_attributes() -> None:
    assert el("p", "<b>&", class_="\"'><x") == '<p class="&quot;&#x27;&gt;&lt;x">&lt;b&gt;&amp;</p>'


def test_markup_is_kept_as_it_is_and_none_is_omitted() -> None:
    assert el("p", Markup("<b>x</b>"), None, 3, [Markup("<i>y</i>"), "<"]) == "<p><b>x</b>3<i>y</i>&lt;</p>"
    assert el("a", href=None, id="x") == '<a id="x"></a>'
    assert join(["<", Markup("<br>")]) == "&lt;<br>"


def test_markup_plus_text_is_text_again() -> None:
    assert el("p", Markup("<b>") + "<script>") == "<p>&lt;b&gt;&lt;script&gt;</p>"


@pytest.mark.parametrize(
    "character", ["\x00", "\x1b", "\r", "\u202e", "\u2066", "\u200f", "\u2028", "\ufeff", "\ud800", "\x85"]
)
def test_characters_that_hide_or_move_others_are_spelt_out(character: str) -> None:
    shown = plain(f"a{character}b")
    assert character not in shown
    assert shown.startswith("a\\")
    shown.encode("utf-8")


def test_letters_of_every_script_are_kept() -> None:
    for text in ("größe", "שלום", "模型", "é", "क्षि", "🙂"):
        assert plain(text) == text


def test_marks_stacked_on_a_letter_are_spelt_out_from_the_fourth_on() -> None:
    shown = plain("e" + "\u0301" * 6)
    assert shown == "e" + "\u0301" * 3 + "\\u0301" * 3


def test_a_long_text_is_cut_in_its_middle_and_its_length_added() -> None:
    shown = plain("a" * 300 + "b" * 10_000 + "c" * 300, 100)
    assert shown.startswith("aaa")
    assert shown.endswith("ccc (10,600 characters in all)")
    assert len(shown) < 150
    assert plain("x" * 100, 100) == "x" * 100


def test_lines_are_kept_and_bounded() -> None:
    assert ">a\n&lt;b&gt;<" in lines("a\n<b>")
    assert "9,001 characters in all" in lines("x\n" * 4500 + "y")


def test_text_of_users_is_isolated_from_its_neighbours() -> None:
    assert user("שלום") == "<bdi>שלום</bdi>"
    assert code("<x>") == "<code><bdi>&lt;x&gt;</bdi></code>"
