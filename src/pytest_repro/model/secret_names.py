"""Names under which secrets are held: variables of the environment, options, parameters of URLs, names in code."""

from __future__ import annotations

import functools
import re

#: Words that name a secret wherever they occur.
_WORDS_IN_CODE = frozenset({
    "authorization", "bearer", "cookie", "cookies", "cred", "credential", "credentials", "creds", "dsn", "jwt", "oauth",
    "passcode", "passphrase", "passwd", "password", "passwords", "secret", "secrets",
})  # fmt: skip
#: Words that name one in the environment, in an option or in a URL.
_WORDS = _WORDS_IN_CODE | {
    "auth", "cert", "certificate", "hmac", "key", "keys", "otp", "pass", "pat", "pin", "private", "pwd", "salt", "sas",
    "sig", "signature", "token", "tokens", "webhook",
}  # fmt: skip
#: In code these are common words of other meanings, unless a word of the second set qualifies them.
_AMBIGUOUS = frozenset({"auth", "key", "pass", "pat", "pwd", "signature", "token"})
#: Of these, and of others that are common words in code, the ones that name a secret if the value looks like one.
_OFTEN = frozenset({"auth", "otp", "pass", "pat", "pin", "pw", "pwd", "salt", "token", "tokens"})
_QUALIFIERS = frozenset({
    "access", "account", "admin", "api", "app", "aws", "azure", "bot", "client", "csrf", "db", "deploy", "encryption",
    "gcp", "gh", "github", "gitlab", "hf", "hub", "license", "master", "mysql", "npm", "openai", "postgres",
    "private", "pypi", "refresh", "root", "service", "session", "shared", "signing", "slack", "smtp", "ssh",
    "storage", "tracking", "user", "vault", "wandb",
})  # fmt: skip
#: Parts of names that are written without a boundary between words.
_PARTS = re.compile(
    r"(api|access|secret|private|auth|encryption|signing|ssh|account|storage|master|license|client|shared)[_.-]?key"
    r"|(access|api|auth|bearer|bot|csrf|git(hub|lab)?|hf|npm|pypi|refresh|session|slack|vault|xsrf)[_.-]?token"
    r"|id[_.-]token$|passw|passphrase|credential|secret(?!ar|ion)|conn(ection)?[_.-]?str|sess(ion)?[_.-]?id$|ssh[_.-]?pass"
    r"|(?<!old)(?<=[a-z])[_.-]?pwd$",
    re.IGNORECASE,
)
_NO_SECRETS = re.compile(r"(old)?pwd|(xdg|term|desktop|dbus|gdm|gnome|tmux)_?\w*session\w*|ssh_auth_sock", re.I)
_TERRAFORM = re.compile(r"tf_var_", re.IGNORECASE)
_BOUNDARY = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@functools.lru_cache(maxsize=4096)
def is_secret_variable(name: str) -> bool:
    """Return whether a variable of the environment, an option or a URL's parameter of this name may hold a secret."""
    if _NO_SECRETS.fullmatch(name):
        return False
    words = _split(name)
    is_named = bool(words & _WORDS) or words == {"session"}
    return is_named or _PARTS.search(name) is not None or _TERRAFORM.match(name) is not None


@functools.lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Return whether a variable, a key, a field or an argument in code may hold a secret, by its name."""
    if _NO_SECRETS.fullmatch(name):
        return False
    words = _split(name)
    is_qualified = bool(words & _AMBIGUOUS) and bool(
        words & _QUALIFIERS - _AMBIGUOUS or ("auth" in words and "token" in words)
    )
    return is_qualified or bool(words & _WORDS_IN_CODE) or _PARTS.search(name) is not None


@functools.lru_cache(maxsize=4096)
def is_often_secret(name: str) -> bool:
    """Return whether a name in code has other meanings and is often one of a secret, such as ``token`` and ``pwd``."""
    return bool(_split(name) & _OFTEN)


@functools.lru_cache(maxsize=4096)
def is_login_name(name: str) -> bool:
    """Return whether a name in code is one under which a user and a password are given, such as ``auth=(user, pw)``."""
    return bool(_split(name) & {"auth", "login"})


def is_secret_path(path: str) -> bool:
    """Return whether a part of an artifact's path, such as ``results/password/0``, is the name of a secret."""
    return any(map(is_secret_name, path.split("/")))


def _split(name: str) -> set[str]:
    return {word.lower().rstrip("0123456789") for word in _BOUNDARY.split(name) if word}
