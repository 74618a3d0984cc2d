"""Secrets in text that leaves the process: reports, records, evidence, the terminal. The one place that removes them.

Three rules find them: the name of a variable, option or key; the value that the environment holds under such a name;
the form of a URL with credentials, or of a token that a service issues.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

HIDDEN = "[hidden]"
#: Words of which the name of a secret has one: of a variable of the environment or an option, and of a name in code.
_WORDS_IN_CODE = frozenset({
    "authorization", "bearer", "cookie", "credential", "credentials", "creds", "jwt", "oauth", "passcode", "passphrase",
    "passwd", "password", "passwords", "pwd", "secret", "secrets",
})  # fmt: skip
_WORDS = _WORDS_IN_CODE | {"auth", "key", "keys", "pat", "pin", "salt", "sig", "signature", "token", "tokens"}
#: In code, `key` and `token` are common words of other meanings, unless one of these qualifies them.
_AMBIGUOUS = frozenset({"auth", "key", "token", "signature"})
_QUALIFIERS = frozenset({
    "access", "account", "api", "app", "auth", "aws", "azure", "bot", "client", "deploy", "encryption", "gcp", "github",
    "gitlab", "hf", "hub", "id", "license", "master", "openai", "private", "refresh", "service", "session", "signing",
    "ssh", "storage", "tracking", "wandb",
})  # fmt: skip
#: Parts of names that have them without a boundary between words.
_PARTS = re.compile(r"apikey|accesskey|authtoken|accesstoken|passw|credential|tf_var_|connectionstring", re.IGNORECASE)
_BOUNDARY = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
#: Shorter values occur in ordinary text.
MIN_VALUE = 6
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]{0,20}://)[^/\s@'\"]{1,500}@")
#: The end of a text that was cut within the credentials of a URL.
_CUT_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]{0,20}://)[^/\s@'\":]{1,100}:[^/\s@'\"]{0,100}(?=$|,|\.\.\.)")
_QUERY = re.compile(r"(?P<name>[?&;][\w.\-]{1,60}=)(?P<value>[^&;\s'\"]{1,2000})")
_BEARER = re.compile(r"\b(?P<name>Bearer|Basic|Token)\s+[A-Za-z0-9._~+/\-]{8,}=*", re.I)
_ISSUED = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w\-]{16,}|sk-[\w\-]{16,}|hf_[A-Za-z0-9]{16,}"
    r"|xox[abprs]-[\w\-]{10,}|A(?:KIA|SIA)[A-Z0-9]{16}|AIza[\w\-]{30,}|eyJ[\w\-]{10,}\.[\w\-]{10,}\.[\w\-]{5,})"
)
_ASSIGNMENT = re.compile(
    r"(?P<name>[A-Za-z_][\w.\-]{0,60})(?P<sign>['\"]?\s{0,3}[=:]\s{0,3})"
    r"(?:[A-Za-z]{0,2}(?:\"[^\"]{0,300}\"?|'[^']{0,300}'?)|[^\s'\",;&]{1,2000})"
)


@functools.lru_cache(maxsize=4096)
def is_secret_variable(name: str) -> bool:
    """Return whether a variable of the environment, or an option of a command, of this name may hold a secret."""
    return bool(_split(name) & _WORDS) or _PARTS.search(name) is not None


@functools.lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Return whether a variable, a key or a field in code may hold a secret, by its name."""
    words = _split(name)
    is_qualified = bool(words & _AMBIGUOUS) and bool(words & _QUALIFIERS)
    return is_qualified or bool(words & _WORDS_IN_CODE) or _PARTS.search(name) is not None


def _split(name: str) -> set[str]:
    return {word.lower() for word in _BOUNDARY.split(name) if word}


@functools.lru_cache(maxsize=4)
def _values_in(environment: tuple[tuple[str, str], ...]) -> re.Pattern[str] | None:
    values = {text for name, text in environment if len(text) >= MIN_VALUE and is_secret_variable(name)}
    # The longest first: one may begin with another.
    longest_first = sorted(values, key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a text without the secrets that the environment holds, credentials in URLs, and tokens by their form."""
    return _redact(text, _values_now(environment))


def _values_now(environment: Mapping[str, str] | None = None) -> re.Pattern[str] | None:
    return _values_in(tuple((os.environ if environment is None else environment).items()))


def _redact(text: str, values: re.Pattern[str] | None) -> str:
    if values is not None:
        text = values.sub(HIDDEN, text)
    if "://" in text:
        text = _URL.sub(rf"\g<scheme>{HIDDEN}@", text)
        text = _CUT_URL.sub(_hide_cut, text)
        text = _QUERY.sub(_hide_query, text)
    text = _BEARER.sub(rf"\g<name> {HIDDEN}", text)
    return _ISSUED.sub(HIDDEN, text)


def _hide_cut(match: re.Match[str]) -> str:
    # In host:8080, the part after the colon is a port.
    rest = match[0][len(match["scheme"]) :]
    return match[0] if rest.rpartition(":")[2].isdigit() else f"{match['scheme']}{HIDDEN}"


def _hide_query(match: re.Match[str]) -> str:
    name = match["name"]
    return f"{name}{HIDDEN}" if is_secret_variable(name[1:-1]) else match[0]


def redact_assignments(text: str) -> str:
    """Return a redacted text, without the values that it gives to names of secrets (``password=...``)."""
    return _redact_assignments(text, _values_now())


def _redact_assignments(text: str, values: re.Pattern[str] | None) -> str:
    return _ASSIGNMENT.sub(_hide_assigned, _redact(text, values))


def _hide_assigned(match: re.Match[str]) -> str:
    return f"{match['name']}{match['sign']}{HIDDEN}" if is_secret_name(match["name"]) else match[0]


def redact_arguments(arguments: Iterable[str]) -> list[str]:
    """Return a command's arguments without the values of options that hold secrets (``--token=x``, ``--token x``)."""
    kept: list[str] = []
    hides_next = False
    for argument in arguments:
        name, sign, _ = argument.partition("=")
        is_option = argument.startswith("-")
        if hides_next and not is_option:
            kept.append(HIDDEN)
        elif sign and is_secret_variable(name):
            kept.append(f"{name}={HIDDEN}")
        else:
            kept.append(redact_assignments(argument))
        hides_next = is_option and not sign and is_secret_variable(argument)
    return kept


def redact_texts(value: Any) -> Any:
    """Return built-in values without the secrets in their texts, and without the texts under names of secrets."""
    values = _values_now()  # once: a report of a large test has thousands of texts

    def hidden(item: Any, name: str = "") -> Any:
        if isinstance(item, str):
            return HIDDEN if item and name and is_secret_name(name) else _redact_assignments(item, values)
        if isinstance(item, dict):
            return {key: hidden(each, str(key)) for key, each in item.items()}
        if type(item) in (list, tuple):
            return type(item)(hidden(each) for each in item)
        return item

    return hidden(value)
