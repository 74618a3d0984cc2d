"""Secrets in text that leaves the process: reports, records, evidence, the terminal. The one place that removes them.

Three rules find them: the name of a variable, an option, a key or an argument
(:mod:`pytest_repro.model.secret_names`); the value that the environment holds under such a name
(:mod:`pytest_repro.model.secret_values`); the form of a URL with credentials, or of a token that a service issues.
Removing never touches what is compared or digested: it is done to texts on their way out.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import hashlib
import itertools
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_repro.model.secret_names import (
    is_login_name,
    is_often_secret,
    is_secret_name,
    is_secret_path,
    is_secret_variable,
)
from pytest_repro.model.secret_values import (
    Secrets,
    find_secrets,
    is_random,
    looks_chosen,
    remember_secrets,
    remember_values,
)

HIDDEN = "[hidden]"
_MASK = re.compile(r"\[hidden(?:[: ][^\]\n]{1,200})?\]")
#: Work that makes guessing a value from its digest expensive: some 50 ms for each guess.
_ROUNDS = 100_000
_SCHEME = r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]{0,20}://)"
_URL = re.compile(rf"{_SCHEME}[^/\s'\"]{{1,500}}@")
#: A password with a slash in it. What follows a colon in host:8080/path@2 is a port.
_URL_SLASH = re.compile(rf"{_SCHEME}[^/\s'\":@]{{0,200}}:(?!\d{{1,5}}(?:[/?#]|$))[^\s'\"@]{{1,300}}@")
#: The end of a text that was cut within the credentials of a URL.
_CUT_URL = re.compile(rf"{_SCHEME}[^/\s@'\":;&?\[]{{1,100}}:[^/\s@'\";&?]{{0,100}}(?=$|[,\n]|\.\.\.)")
_ENCODED_URL = re.compile(r"(?P<scheme>%3A%2F%2F)[^\s'\"&/]{1,300}?%40", re.IGNORECASE)
_ORACLE = re.compile(r"(?P<scheme>jdbc:oracle:\w{1,10}:)[^\s/@'\"]{1,100}/[^\s@'\"]{1,200}@", re.IGNORECASE)
_WITHOUT_SCHEME = re.compile(
    r"(?<![\w@/:.%+\-])(?!mailto:)[\w.%+\-]{1,64}:[^\s@/:'\",;\[\]()]{3,200}@(?=localhost\b|[\w\-]{1,63}\.[\w\-.]{1,200})"
)
_QUERY = re.compile(r"(?P<name>[?&;#][\w.\-]{1,60}=)(?P<value>[^&;\s'\"]{1,2000})")
_BEARER = re.compile(
    r"\b(?P<name>bearer|(?:basic|token)(?=(?:\s|%20){1,5}[^\s]{0,4000}(?:\d|(?-i:[a-z][A-Z])|=)))(?P<space>\s{1,5}|%20)"
    r"[A-Za-z0-9._~+/\-]{8,4000}=*",
    re.IGNORECASE,
)
#: Tokens by the form that their service gives them, complete or cut.
_ISSUED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"gh[pousr]_[A-Za-z0-9]{6,}|github_pat_\w{6,}|gl(?:pat|ptt|dt|rt|cbt|ft|imt|agent|soat)-[\w\-.]{6,}"
    r"|sk-(?:proj|ant|svcacct|admin|or|lf|None)-[\w\-]{6,}|sk-(?=[A-Za-z]*\d)[A-Za-z0-9]{16,}"
    r"|sk-[A-Za-z0-9]{32,}|[srp]k_(?:live|test)_[A-Za-z0-9]{6,}|whsec_[A-Za-z0-9+/]{8,}"
    r"|hf_(?:[A-Za-z0-9]{30,}|(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{10,})|api_org_[A-Za-z0-9]{12,}"
    r"|xox[a-z]-[\w\-]{6,}|xapp-[\w\-]{10,}|hooks\.slack\.com/(?:services|workflows)/[\w/]{8,}"
    r"|AKIA[A-Z0-9]{8,}|A(?:SIA|BIA|CCA)[A-Z0-9]{16}|AIza[\w\-]{20,}|ya29\.[\w\-]{10,}|GOCSPX-[\w\-]{10,}"
    r"|eyJ[\w\-]{10,}(?:\.[\w\-]*){0,4}|npm_[A-Za-z0-9]{20,}|pypi-AgE[\w\-]{10,}|dckr_pat_[\w\-]{10,}"
    r"|SG\.[\w\-]{16,}\.[\w\-]{16,}|dapi[0-9a-f]{32}|hvs\.[\w\-]{16,}|glsa_\w{16,}|gsk_[A-Za-z0-9]{20,}"
    r"|xai-[A-Za-z0-9]{20,}|pplx-[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{20,}|shp(?:at|ss|ca|pa)_[0-9a-f]{16,}"
    r"|do[opr]_v1_[0-9a-f]{16,}|sbp_[0-9a-f]{20,}|lin_api_[A-Za-z0-9]{16,}|ntn_[A-Za-z0-9]{20,}|\d{8,10}:AA[\w\-]{30,}"
    r"|AGE-SECRET-KEY-1[A-Z0-9]{10,}|NRAK-[A-Z0-9]{16,}|sntry[su]_[\w+/=\-]{16,})"
)
_PEM = re.compile(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?)-----(?:(?!-----END ).){0,20000}"
    r"(?:-----END [A-Z0-9 ]{0,30}(?:-----)?)?",
    re.DOTALL,
)
#: Names of what follows a secret option, and of the second of user and password.
_OF_OPTION, _OF_LOGIN = "password of an option", "password of a login"
#: Values of the user's code that are searched for texts under names of secrets: all together, and in each container.
_MAX_SEARCHED, _MAX_ITEMS = 5_000, 1000
#: Code that gives the value (`password = os.environ["DB_PASSWORD"]`), and the first word of what a message says of a
#: name ("password: the values differ").
_NO_VALUE = re.compile(r"[A-Za-z_][\w.]*[(\[]|(?:the|NaN|missing|not)$")
#: The beginning of a text or bytes as a message shows it, with a type before it or without.
_TEXT = re.compile(r"(?:[\w.]{1,60} )?b?['\"]")
_NAMED = re.compile(
    r"(?P<name>[A-Za-z_][\w.\-]{0,60})(?:['\"]?\]?\s{0,3}={1,2}|['\"]\]?\s{0,3}:|(?P<told>\]?\s{0,3}:(?!:)))\s{0,3}"
)
#: What stands before a colon and is no name in code: a file before its line, a test before what is said of it.
_NO_NAME = re.compile(
    r"(?i:test)\w*|.*\.(?:py\w?|ipynb|json|toml|cfg|ini|ya?ml|md|html|txt|csv|pem|pt|npz|safetensors)"
)
#: The value of an option in a text, after a blank or as the next of a list.
_OPTION = re.compile(
    r"(?<![\w\-])(?P<before>--(?P<name>[A-Za-z][\w\-]{0,60})(?:\s{1,3}|['\"],\s{0,3}['\"]))(?P<value>[^\s'\",;\-][^\s'\",;]{0,2000})"
)
#: What a sentence says after the name of an option.
_SENTENCE = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "cannot", "does", "for", "from", "has", "have",
    "if", "in", "instead", "is", "it", "may", "must", "needs", "not", "of", "on", "option", "options", "or",
    "requires", "should", "takes", "than", "that", "the", "then", "to", "was", "were", "when", "which",
    "will", "with", "without",
})  # fmt: skip
_LOGIN = re.compile(
    r"(?P<before>\bcurl\b[^\n]{0,500}?\s(?:-u|-U|--user|--proxy-user)[\s=]{1,3}['\"]?[^\s:'\"]{1,100}:)[^\s'\"]{1,500}"
)
_QUOTED = re.compile(r"b?(?P<quote>['\"])(?P<value>[^'\"\\\n]{1,2000})(?P=quote)")
_VALUE = re.compile(
    r"[A-Za-z]{0,2}(?:\"(?:[^\"\\]|\\.){0,2000}\"?|'(?:[^'\\]|\\.){0,2000}'?)|[^\s'\",;&]{1,2000}", re.DOTALL
)


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a text without the secrets that the environment holds, credentials in URLs, and tokens by their form."""
    return _redact(text, find_secrets(environment))


def _redact(text: str, secrets: Secrets) -> str:
    text = secrets.hide(text, HIDDEN)
    if "://" in text:
        text = _URL.sub(rf"\g<scheme>{HIDDEN}@", text)
        text = _URL_SLASH.sub(rf"\g<scheme>{HIDDEN}@", text)
        text = _CUT_URL.sub(_hide_cut, text)
    if "%" in text:
        text = _ENCODED_URL.sub(rf"\g<scheme>{HIDDEN}%40", text)
    if "@" in text:
        text = _ORACLE.sub(rf"\g<scheme>{HIDDEN}@", text)
        text = _WITHOUT_SCHEME.sub(f"{HIDDEN}@", text)
    if "=" in text:
        text = _QUERY.sub(_hide_query, text)
    if "-----BEGIN " in text:
        text = _PEM.sub(r"[hidden \g<kind>]", text)
    text = _BEARER.sub(rf"\g<name>\g<space>{HIDDEN}", text)
    return _ISSUED.sub(HIDDEN, text)


def holds_secret(data: bytes) -> bool:
    """Return whether bytes hold a secret of the environment, or a token or a private key in its form."""
    text = data.decode("latin-1")
    is_known = find_secrets().hide(text, HIDDEN) != text
    return is_known or _ISSUED.search(text) is not None or _PEM.search(text) is not None


def _hide_cut(match: re.Match[str]) -> str:
    # In host:8080, the part after the colon is a port.
    rest = match[0][len(match["scheme"]) :]
    return match[0] if rest.rpartition(":")[2].isdigit() else f"{match['scheme']}{HIDDEN}"


def _hide_query(match: re.Match[str]) -> str:
    name = match["name"]
    return f"{name}{HIDDEN}" if is_secret_variable(name[1:-1]) else match[0]


def redact_name(name: str) -> str:
    """Return the name of a test, an artifact or a file without secrets, but different from other such names.

    A mask in it has a digest of what it hides. A name without secrets is returned as it is.
    """
    shown = redact_assignments(name)
    return name if shown == name else shown.replace(HIDDEN, f"[hidden {digest_secret('name', name)[:8]}]")


@functools.lru_cache(maxsize=1024)
def digest_secret(name: str, text: str) -> str:
    """Return a digest by which a secret can be compared, in hex. It is salted with its name, and slow to guess from."""
    data, salt = text.encode("utf-8", "surrogatepass"), f"pytest-repro\0{name}".encode("utf-8", "surrogatepass")
    return hashlib.pbkdf2_hmac("sha256", data, salt, _ROUNDS).hex()


def hidden_digest(name: str, text: str, why: str = "") -> str:
    """Return a mask by which a hidden value can be compared with another."""
    return f"[hidden: {f'{why}; ' if why else ''}pbkdf2-sha256 {digest_secret(name, text)[:32]}]"


def redact_assignments(text: str) -> str:
    """Return a redacted text, without the values that it gives to names of secrets (``password=...``)."""
    return _redact_assignments(text, find_secrets())


def _redact_assignments(text: str, secrets: Secrets) -> str:
    text = _redact(text, secrets)
    if "--" in text:
        text = _OPTION.sub(_hide_option, text)
    if "curl" in text:
        text = _LOGIN.sub(rf"\g<before>{HIDDEN}", text)
    parts, end = [], 0
    for name, start in _secret_names_in(text):
        value = _VALUE.match(text, start) if start >= end else None
        if value is None or value[0].startswith("[hidden") or _NO_VALUE.match(value[0]):
            continue
        if _is_secret(name, value[0].strip("'\"()[]{}<>.")):
            parts += [text[end:start], HIDDEN]
            end = value.end()
    return "".join([*parts, text[end:]])


def _hide_option(match: re.Match[str]) -> str:
    is_value = match["value"].lower() not in _SENTENCE and not match["value"].startswith("[hidden")
    return f"{match['before']}{HIDDEN}" if is_value and _is_secret(match["name"], match["value"]) else match[0]


def redact_arguments(arguments: Iterable[str]) -> list[str]:
    """Return a command's arguments without the values of options that hold secrets (``--token=x``, ``--token x``)."""
    kept: list[str] = []
    hides_next = False
    for argument in arguments:
        is_option = argument.startswith("-")
        kept.append(HIDDEN if hides_next and not is_option else _redact_argument(argument))
        hides_next = is_option and "=" not in argument and is_secret_variable(argument)
    return kept


def _redact_argument(argument: str) -> str:
    """Hide what follows the name of a secret in an argument, which may be options itself (``-o addopts=--token=x``)."""
    parts = re.split(r"([=\s]+)", argument)
    for at in range(0, len(parts) - 2, 2):
        if is_secret_variable(parts[at]) and (parts[at + 1].strip() or parts[at].startswith("-")):
            # All that follows: where the value ends depends on who reads it.
            return f"{redact_assignments(''.join(parts[: at + 2]))}{HIDDEN}"
    return redact_assignments(argument)


def remember_arguments(arguments: Iterable[str]) -> None:
    """Remember the values of a command's options that hold secrets, to hide them wherever they stand."""
    given = list(arguments)
    for number, argument in enumerate(given):
        parts = re.split(r"[=\s]+", argument)
        following = given[number + 1] if number + 1 < len(given) and "=" not in argument else ""
        pairs = [*itertools.pairwise(parts), *([(argument, following)] if argument.startswith("-") else [])]
        remember_secrets((name, value) for name, value in pairs if not value.startswith("-"))


def remember_condition(condition: Mapping[str, Any]) -> None:
    """Remember the texts that axes and parameters give under names of secrets, also within lists and mappings."""
    given = {name: value for name, value in condition.items() if name != "env"}
    remember_secrets((name, text) for name, text in _name_texts(given) if _is_secret(name, text))
    remember_secrets(_name_texts(condition.get("env")))


def remember_variables(variables: Mapping[str, Any]) -> None:
    """Remember the texts under names of secrets in variables of code, also within lists, mappings and objects."""
    remember_values(text for name, text in _name_texts(variables) if _is_secret(name, text))


def _is_secret(name: str, text: str) -> bool:
    """Return whether a text in code is a secret: by its name, or by its look if its name has other meanings, too."""
    return is_secret_name(name) or (is_often_secret(name) and (is_random(text) or looks_chosen(name, text)))


def remember_parameters(item: Any) -> None:
    """Remember the secrets in the parameters of a collected test, whatever becomes of it: its name may have them."""
    if (callspec := getattr(item, "callspec", None)) is not None:
        remember_condition(callspec.params)


def _name_texts(value: Any) -> Iterator[tuple[str, str]]:
    """Yield each text in built-in values and objects with its name: the innermost that may be one of a secret."""
    waiting: collections.deque[tuple[Any, str]] = collections.deque([(value, "")])
    seen = {0}
    # No method of the user's classes is called.
    for _ in range(_MAX_SEARCHED):
        if not waiting:
            return
        item, name = waiting.popleft()
        if type(item) is str:
            yield name, item
            continue
        if isinstance(item, (int, float, complex)) or id(item) in seen:
            continue
        seen.add(id(item))
        children: Iterable[tuple[Any, Any]]
        if isinstance(item, dict):
            children = dict.items(item)
        elif isinstance(item, list):
            children = zip(itertools.repeat(""), list.__iter__(item))
        elif isinstance(item, tuple):
            children = zip(itertools.repeat(""), tuple.__iter__(item))
        else:
            children = _attributes_of(item)
        for key, child in itertools.islice(children, _MAX_ITEMS):
            is_name = type(key) is str and (is_secret_variable(key) or is_often_secret(key))
            waiting.append((child, key if is_name else name))


def _attributes_of(item: Any) -> Iterable[tuple[Any, Any]]:
    """Return the attributes of an object with a state of its own, and none of modules, classes and functions."""
    if isinstance(item, (types.ModuleType, type, types.FunctionType)):
        return ()
    found: Any = {}
    with contextlib.suppress(Exception):
        found = object.__getattribute__(item, "__dict__")
    slots: dict[str, Any] = {}
    for name in vars(type(item)).get("__slots__", ()) if not found else ():
        with contextlib.suppress(Exception):
            slots[name] = object.__getattribute__(item, name)
    return dict.items(found or slots) if isinstance(found, dict) else ()


def redact_texts(value: Any) -> Any:
    """Return built-in values without the secrets in their texts."""
    return _redact_all(value, _is_none)


def redact_value(name: str, shown: str) -> str:
    """Return a value as a message shows it, hidden if it is text under the name of a secret (``headers/api_key/0``)."""
    is_text = _TEXT.match(shown) is not None and is_secret_path(name)
    return HIDDEN if is_text else redact_assignments(shown)


def redact_condition(condition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of axes without secrets, those of variables of the environment by their names."""
    rules = {"env": is_secret_variable}
    return {
        name: _redact_all(value, rules.get(name, is_secret_name), name=name if is_secret_name(name) else "")
        for name, value in condition.items()
    }


def _redact_all(
    value: Any,
    is_secret: Callable[[str], bool],
    hide: Callable[[str, str], str] = lambda *_: HIDDEN,
    *,
    name: str = "",
) -> Any:
    # Most reports have no secret at all, and some have a hundred thousand texts.
    joined = "\n".join(_iterate_texts(value))
    # What one place gives to the name of a secret is hidden in all.
    remember_values(_named_texts(value, is_secret, name))
    remember_assigned(joined)
    secrets = find_secrets().narrowed(joined)
    is_clean = _redact_assignments(joined, secrets) == joined

    def is_known(name: str, text: str) -> bool:
        return bool(name) and (is_secret(name) or _is_secret(name, text))

    def hidden(item: Any, name: str = "") -> Any:
        if isinstance(item, str):
            if item and not _MASK.fullmatch(item) and is_known(name, item):
                return hide(name, item)
            return item if is_clean else _redact_assignments(item, secrets)
        if isinstance(item, dict):
            named = ((key, each, _name_of(str(key), name, is_secret)) for key, each in item.items())
            hide_key = functools.partial(_hide_key, secrets=secrets, is_clean=is_clean)
            return {hide_key(key): hidden(each, under) for key, each, under in named}
        if type(item) in (list, tuple):
            options = [None, *item]
            return type(item)(
                hidden(each, _name_in_list(each, options[at], name, item)) for at, each in enumerate(item)
            )
        if type(item) is int and name and is_known(name, str(item)) and abs(item) >= _smallest_secret(name):
            return hide(name, str(item))
        return item

    return hidden(value, name)


def _name_of(key: str, name: str, is_secret: Callable[[str], bool]) -> str:
    """Return the name under which the value of a key is: that of a secret goes before one that may be another's."""
    may_be = not (name and is_secret(name)) and is_secret is not _is_none and is_often_secret(key)
    return key if may_be or is_secret(key) else name


def _name_in_list(item: Any, before: Any, name: str, items: Sequence[Any]) -> str:
    """Return the name under which an item of a list is: ``--token`` before it, or that of a user with a password."""
    if not isinstance(item, str):
        return name
    if isinstance(before, str) and before.startswith("-") and not item.startswith("-") and "=" not in before:
        return _OF_OPTION if is_secret_variable(before) else name
    is_login = len(items) == 2 and item is items[1] and isinstance(before, str) and is_login_name(name)
    return _OF_LOGIN if is_login else name


def _smallest_secret(name: str) -> int:
    """Return the smallest number that may be a secret: less is a length or a count."""
    return 1_000 if is_often_secret(name) else 100_000


def _is_none(_: str) -> bool:
    return False


def _named_texts(value: Any, is_secret: Callable[[str], bool], name: str) -> Iterator[str]:
    """Yield the texts under names of secrets in built-in values."""
    if isinstance(value, str):
        yield from (value,) if name and not _MASK.fullmatch(value) else ()
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _named_texts(item, is_secret, str(key) if is_secret(str(key)) else name)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _named_texts(item, is_secret, name)


def remember_assigned(text: str) -> None:
    """Remember the texts in quotes that a text gives to names of secrets (``password = 'x'``)."""
    found = [(name, _QUOTED.match(text, at)) for name, at in _secret_names_in(text)]
    values = [(name, match["value"]) for name, match in found if match is not None and "..." not in match["value"]]
    remember_values(value for name, value in values if _is_secret(name, value))


def _secret_names_in(text: str) -> Iterator[tuple[str, int]]:
    """Yield names that may be those of secrets, with the place where the value begins."""
    if "=" not in text and ":" not in text:
        return
    # Names alone are searched for: that of --override-ini=api_token=x stands in the value of another.
    for match in _NAMED.finditer(text):
        is_name = match["told"] is None or not _NO_NAME.fullmatch(match["name"])
        if is_name and (is_secret_name(match["name"]) or is_often_secret(match["name"])):
            yield match["name"], match.end()


def _iterate_texts(value: Any) -> Iterator[str]:
    """Yield all texts in built-in values, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _iterate_texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _iterate_texts(item)


def _hide_key(key: Any, *, secrets: Secrets, is_clean: bool) -> Any:
    is_hidden = not is_clean and isinstance(key, str) and _redact_assignments(key, secrets) != key
    return redact_name(key) if is_hidden else key


def digest_secrets(value: Any) -> Any:
    """Return hyperparameters with a digest in place of each text under the name of a secret, which says so."""
    return _redact_all(
        value,
        is_secret_name,
        lambda name, text: hidden_digest(name, text, f"{name[:60]} may be a secret"),
    )
