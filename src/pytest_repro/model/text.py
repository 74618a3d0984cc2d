r"""Text that every encoder takes, and that moves nothing on a terminal, in HTML or in Markdown.

Python represents a byte that is not UTF-8, as in a file's name, by a lone surrogate, which no UTF-8 encoder accepts.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Callable
from typing import Any

#: All backslashes of a row, with the lone surrogate or the escape of one that follows them. Not from the middle of a
#: row, and without giving one back: a long row took time with the square of its length.
_SURROGATE = re.compile(r"(?<!\\)(\\*+)(?:([\ud800-\udfff])|(?=ud[89a-f][0-9a-f]{2}))")

#: Width of a message where the terminal's is not known: in a file, an exception, another process [characters].
MESSAGE_WIDTH = 80

#: Marks on one letter: no language's words have more. Stacked ones cover the lines above.
MAX_MARKS = 3


def escape(text: str) -> str:
    r"""Spell out the characters of one line that are not printable: ``\x1b``, ``\n``, ``\u202e``, ``\ud800``.

    Among them are line breaks, control sequences of terminals, and controls that reorder or hide their neighbours.
    """
    if text.isascii() and text.isprintable():
        return text
    shown, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if character.isprintable() and marks <= MAX_MARKS:
            shown.append(character)
        else:
            shown.append(character.encode("unicode_escape", "surrogatepass").decode("ascii"))
    return "".join(shown)


def escape_lines(text: str) -> str:
    """Spell out what is not printable in a text of several lines, which stay lines."""
    return "\n".join(map(escape, text.split("\n")))


def wrap(text: str, width: int = MESSAGE_WIDTH, first: str = "", rest: str = "") -> list[str]:
    """Wrap a text, with `first` before its first line and `rest` before the others. No word that fits is broken.

    A hyphen ends no line: half of ``--repro-seed`` or of ``1.0e-02`` is read as something else.
    """
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def escape_surrogates(text: str) -> str:
    r"""Return a text with each lone surrogate as its escape, such as ``\udce9``.

    Different texts stay different: a backslash before what looks like an escape, or before a surrogate, is doubled.
    """
    if text.isascii() and "\\ud" not in text:
        return text
    return _SURROGATE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    backslashes, surrogate = match.groups()
    return 2 * backslashes + (f"\\u{ord(surrogate):04x}" if surrogate else "")


def is_encodable(text: str) -> bool:
    """Return whether a UTF-8 encoder takes a text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def escape_texts(value: Any) -> Any:
    """Return built-in values with :func:`escape_surrogates` applied to all their texts."""
    return _map_texts(escape_surrogates, value)


def make_encodable(value: Any) -> Any:
    """Return built-in values with lone surrogates escaped, and all texts without one unchanged."""
    return _map_texts(lambda text: text if is_encodable(text) else escape_surrogates(text), value)


def _map_texts(change: Callable[[str], str], value: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {_map_texts(change, key): _map_texts(change, item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_map_texts(change, item) for item in value)
    return value
