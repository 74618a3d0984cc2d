"""The secret values that this process has met, and the forms in which text holds them."""

from __future__ import annotations

import base64
import contextlib
import functools
import html
import json
import os
import re
import shlex
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_repro.model.secret_names import is_secret_name, is_secret_variable

#: Shorter values occur in ordinary text.
MIN_VALUE = 6
#: Values of at least so many characters are found inside words too.
_LONG = 12
#: Characters of a value at the cut end of a text that show it.
MIN_PART = 8
#: Digits that make a number a secret, and letters that make one word one under a name of several meanings.
_MIN_DIGITS, _MIN_LETTERS = 8, 16
#: Values that are remembered: of variables, options and axes, and on their own those under names of secrets in code,
#: of which a project may have any number.
MAX_SECRETS, MAX_GUESSES = 2000, 1000
#: The name of what code holds under a name of a secret.
_OF_CODE = "password in the code"
#: Values that are settings or placeholders, not secrets.
_COMMON = frozenset({
    "absent", "always", "anonymous", "basic", "bearer", "changeme", "default", "development", "digest", "disable",
    "disabled", "enable", "enabled", "example", "github", "google", "hidden", "localhost", "master", "memory",
    "negotiate", "nobody", "optional", "password", "prefer", "private", "production", "public", "redacted", "required",
    "secret", "staging", "strict", "test-key", "testing", "ubuntu", "unknown", "verify-full",
})  # fmt: skip
_PASSWORD_OF_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,20}://[^/\s:@'\"]{0,200}:(?P<value>[^\s'\"]{1,500})@")
_ASSIGNED = re.compile(r"(?P<name>[A-Za-z][\w. \-]{0,60})=(?P<value>[^;&\s]{1,2000})")
_NUMBER = re.compile(r"[\d.,:+_-]+")
#: What a generator of tokens makes: letters of both cases and digits, or many hexadecimal digits.
_RANDOM = re.compile(
    r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)(?:[A-Za-z0-9_+=\-]{10,}|[A-Za-z0-9+=][A-Za-z0-9_+/=\-]{23,})|(?=.*[a-f])(?=.*\d)[0-9a-f]{20,}|(?=.*[A-F])(?=.*\d)[0-9A-F]{20,}"
)
#: A character of base64, and how many of them around a secret are hidden with it.
_BASE64, _MAX_RUN = re.compile(r"[A-Za-z0-9+/=_\-]"), 200
#: A password that a person has chosen, and no folder or word; a number that is entered.
_CHOSEN = re.compile(r"(?=.*[A-Z\d])[^\s/\\~]{6,100}")
_ENTERED = re.compile(r"\d{4,}")
#: What follows the rest of a text that was cut.
_AFTER_CUT = "'\",\u2026)]}\n"
_PLACE = re.compile(r"\w*_(FILE|PATH|DIR|HOME|SOCK|SOCKET)", re.IGNORECASE)


class Remembered:
    """What was remembered beyond the environment. Grows only.

    Attributes
    ----------
    secrets, guesses : dict of (name, value) -> None
        Values of variables, options and axes, and those that code holds under a name of a secret.
    """

    def __init__(self) -> None:
        self.secrets: dict[tuple[str, str], None] = {}
        self.guesses: dict[tuple[str, str], None] = {}
        self._found: tuple[dict[Any, Any], int, Secrets] | None = None

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All names and values, secrets first."""
        return (*self.secrets, *self.guesses)

    def add(self, name: str, value: str) -> None:
        """Add a value, unless there are too many of its kind."""
        kept, limit = (self.guesses, MAX_GUESSES) if name == _OF_CODE else (self.secrets, MAX_SECRETS)
        if len(kept) < limit:
            kept[name, value] = None

    def find(self) -> Secrets:
        """Return the secrets of this process' environment and those that were remembered."""
        # Every text that leaves the process asks. To compare the data is a hundred times faster than to decode them.
        held, count = getattr(os.environ, "_data", os.environ), len(self.secrets) + len(self.guesses)
        if self._found is None or self._found[:2] != (held, count):
            before = dict(held)
            self._found = (before, count, _secrets_among((*os.environ.items(), *self.pairs)))
        return self._found[2]


_remembered = Remembered()


def remember_secrets(values: Iterable[tuple[str, object]]) -> None:
    """Remember texts under names of secrets, to hide them for as long as this process lasts.

    The environment is always looked at. This is for what it holds only for a while, and for what an option or an axis
    gives.
    """
    for name, value in values:
        if isinstance(value, str) and is_secret_variable(name):
            _remembered.add(name, value)


def remember_values(values: Iterable[str]) -> None:
    """Remember texts that are secrets, unless to hide them everywhere would hide ordinary words."""
    # One word may be in any sentence, and code has many under such names: password = "wrong".
    remember_secrets((_OF_CODE, value) for value in values if _is_distinctive(value, is_strong=False))


def remember_environment() -> None:
    """Remember the secrets that the environment holds at this moment."""
    remember_secrets(os.environ.items())


def list_remembered() -> list[list[str]]:
    """Return what was remembered, as pairs of name and value for another process."""
    return [[name, value] for name, value in _remembered.pairs]


def list_limits() -> list[str]:
    """Return in a sentence each of what kind of secret only the first ones are known, because there are so many."""
    found = []
    if len(_remembered.secrets) >= MAX_SECRETS:
        found.append(f"the secrets that variables and options held for a while, only the first {MAX_SECRETS:,}")
    if len(_remembered.guesses) >= MAX_GUESSES:
        found.append(f"the values under names of secrets in code, only the first {MAX_GUESSES:,}")
    return [f"Of {kind} are searched for in texts." for kind in found]


def find_secrets(environment: Mapping[str, str] | None = None) -> Secrets:
    """Return the secrets of an environment (default: this process'), and those that were remembered."""
    return _remembered.find() if environment is None else _secrets_among(environment.items())


def _secrets_among(pairs: Iterable[tuple[str, str]]) -> Secrets:
    return _secrets_of(tuple(pair for pair in pairs if is_secret_variable(pair[0]) or "://" in pair[1]))


class Secrets:
    """Finds secret values in text, in each form in which they may stand there.

    Parameters
    ----------
    pairs : iterable of (name, value)

    Attributes
    ----------
    unhidden : tuple of str
        Names of secrets whose values are too short or too common to be found in text.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        values: dict[str, None] = {}
        unhidden: set[str] = set()
        for name, text in pairs:
            kept = [value for value, is_strong in _parts_of(name, text) if _is_distinctive(value, is_strong=is_strong)]
            values |= dict.fromkeys(kept)
            if not kept and text.strip() and is_secret_variable(name) and not _is_place(name, text.strip()):
                unhidden.add(name)
        self.unhidden: tuple[str, ...] = tuple(sorted(unhidden))
        self._encoded = {form for value in values for form in _encode(value)}
        forms = self._encoded | {form for value in values for form in _forms_of(value)}
        # The longest first: one may begin with another.
        self._forms = [(form, _bounded(form)) for form in sorted(forms, key=lambda form: (-len(form), form))]

    def narrowed(self, text: str) -> Secrets:
        """Return only the secrets of which a part may be in a text, to search its many parts."""
        found = Secrets(())
        found._encoded = self._encoded
        found._forms = [
            (form, bounded) for form, bounded in self._forms if form[:MIN_PART] in text or form[-MIN_PART:] in text
        ]
        return found

    def hide(self, text: str, mask: str) -> str:
        """Replace each secret, and the part of one that a cut has left at the end or next to an ellipsis."""
        for form, bounded in self._forms:
            if form in self._encoded and form in text:
                text = _hide_run(text, form, mask)
            elif form in text:
                text = text.replace(form, mask) if bounded is None else bounded.sub(mask, text)
        # Only then: one form may begin as another does.
        for form, bounded in self._forms:
            if bounded is None and form[:MIN_PART] in text:
                text = _hide_heads(text, form, mask)
            if bounded is None and form[-MIN_PART:] in text:
                text = _hide_tails(text, form, mask)
        return text


def _hide_run(text: str, form: str, mask: str) -> str:
    """Hide a secret in base64 with the characters around it: the first and the last ones share bits with it."""
    at = text.find(form)
    while at >= 0:
        start, end = at, at + len(form)
        while start > 0 and at - start < _MAX_RUN and _BASE64.match(text, start - 1):
            start -= 1
        while end < len(text) and end - at - len(form) < _MAX_RUN and _BASE64.match(text, end):
            end += 1
        text = text[:start] + mask + text[end:]
        at = text.find(form, start + len(mask))
    return text


def _hide_heads(text: str, form: str, mask: str) -> str:
    """Hide what a cut has left of the beginning of a secret."""
    start = text.find(form[:MIN_PART])
    while start >= 0:
        end = start + _count_common(form, text[start : start + len(form)])
        is_cut = end == len(text) or text[end] in _AFTER_CUT or text.startswith("...", end)
        # Before a blank, a word that a secret begins with may be one by itself.
        is_cut = is_cut or (text[end].isspace() and re.search(r"\d", form[: end - start]) is not None)
        if is_cut:
            text, end = text[:start] + mask + text[end:], start + len(mask)
        start = text.find(form[:MIN_PART], end)
    return text


def _hide_tails(text: str, form: str, mask: str) -> str:
    """Hide what a cut has left of the end of a secret, after an ellipsis."""
    backwards = form[::-1]
    at = text.find(form[-MIN_PART:])
    while at >= 0:
        end = at + MIN_PART
        start = end - _count_common(backwards, text[max(0, end - len(form)) : end][::-1])
        if text.endswith(("...", "\u2026"), 0, start):
            text, end = text[:start] + mask + text[end:], start + len(mask)
        at = text.find(form[-MIN_PART:], end)
    return text


def _count_common(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


@functools.lru_cache(maxsize=8)
def _secrets_of(pairs: tuple[tuple[str, str], ...]) -> Secrets:
    return Secrets(pairs)


def _parts_of(name: str, text: str) -> Iterator[tuple[str, bool]]:
    """Yield the secrets in a value, and whether they are beyond doubt: it may be a text with a secret in it."""
    for match in _PASSWORD_OF_URL.finditer(text):
        yield from ((value, True) for value in {match["value"], urllib.parse.unquote(match["value"])})
    if not is_secret_variable(name):
        return
    if not _is_place(name, text.strip()):
        yield text.strip(), is_secret_name(name)
    lines = text.strip().splitlines()
    yield from ((line.strip(), True) for line in lines[:200] if len(lines) > 1 and len(line) >= _MIN_LETTERS)
    yield from ((match["value"], True) for match in _ASSIGNED.finditer(text) if is_secret_variable(match["name"]))
    if text.lstrip()[:1] in ("{", "["):
        with contextlib.suppress(ValueError, RecursionError):
            yield from ((value, True) for value in _leaves(json.loads(text), name))


def _leaves(value: object, name: str) -> Iterator[str]:
    if isinstance(value, str) and is_secret_variable(name):
        yield value.strip()
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, name)


def _is_distinctive(value: str, *, is_strong: bool) -> bool:
    """Return whether a value can be hidden wherever it stands without hiding what is no secret."""
    if len(value) < MIN_VALUE or value.lower() in _COMMON:
        return False
    if _NUMBER.fullmatch(value):
        return sum(map(str.isdigit, value)) >= _MIN_DIGITS
    return is_strong or not value.isalpha() or len(value) >= _MIN_LETTERS


def is_random(value: str) -> bool:
    """Return whether a text looks as if a generator of tokens had made it, and not a person."""
    return len(value) <= 2000 and _RANDOM.fullmatch(value) is not None


def looks_chosen(name: str, value: str) -> bool:
    """Return whether a value is a password under ``pwd``, which names folders too, or a number under ``pin``."""
    words = name.lower()
    if words.endswith(("pwd", "pw")) and not value.endswith((".", ":")):
        return _CHOSEN.fullmatch(value) is not None
    return words.endswith(("pin", "otp")) and _ENTERED.fullmatch(value) is not None


def _is_place(name: str, value: str) -> bool:
    """Return whether a value is the path of a file, which is where a secret may be and none itself."""
    if not value.startswith(("/", "~", "./", "../")) and value[1:3] not in (":\\", ":/"):
        return False
    try:
        return _PLACE.fullmatch(name) is not None or os.path.exists(value)  # noqa: PTH110 -- starts with "~" too
    except ValueError:
        return False


def _bounded(form: str) -> re.Pattern[str] | None:
    """Return a pattern that does not find a short form inside a word or a number; None for a form of any place."""
    if len(form) >= _LONG or (len(form) >= MIN_PART and not form.isalpha() and not _NUMBER.fullmatch(form)):
        return None
    inside = "A-Za-z" if form.isalpha() else r"0-9." if _NUMBER.fullmatch(form) else "A-Za-z0-9"
    return re.compile(rf"(?<![{inside}]){re.escape(form)}(?![{inside}])")


def _forms_of(value: str) -> set[str]:
    """Return a value as it stands in text: as it is, escaped, encoded for a URL, in hexadecimal digits."""
    quoted = {urllib.parse.quote(value, safe=""), urllib.parse.quote(value), urllib.parse.quote_plus(value)}
    escaped = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    escaped |= {json.dumps(form)[1:-1] for form in escaped} | {repr(form)[1:-1] for form in escaped}
    escaped |= {
        value.replace("/", "\\/"),
        html.escape(value),
        html.escape(value, quote=False),
        shlex.quote(f"{value} ")[1:-2],
    }
    found = {value} | escaped | quoted | {re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), form) for form in quoted}
    data = value.encode("utf-8", "surrogatepass")
    encoded = {data.hex(), data.hex().upper(), repr(data)[2:-1]}
    return found | {form for form in encoded if len(form) >= MIN_PART}


def _encode(value: str) -> set[str]:
    """Return a value as it stands in base64, also within a longer text."""
    data = value.encode("utf-8", "surrogatepass")
    encoded: set[str] = set()
    for offset in range(3):
        # In the base64 of a longer text, the value begins at one of three places of a group of four characters.
        text = base64.b64encode(b"\0" * offset + data).decode("ascii")
        whole = text[(0, 2, 3)[offset] : (offset + len(data)) * 8 // 6]
        encoded |= {whole, whole.replace("+", "-").replace("/", "_")}
    return {form for form in encoded if len(form) >= MIN_PART}
