"""Secrets are removed from text by the name that they have, by their value in the environment, and by their form."""

from __future__ import annotations

import pytest

from pytest_repro.model.redaction import (
    HIDDEN,
    is_secret_name,
    is_secret_variable,
    redact,
    redact_arguments,
    redact_assignments,
    redact_texts,
)


@pytest.mark.parametrize(
    "name",
    [
        "MY_API_KEY", "TF_VAR_db_password", "JAX_API_TOKEN", "NCCL_SECRET", "AWS_SECRET_ACCESS_KEY", "github_token",
        "PGPASSWORD", "GOOGLE_APPLICATION_CREDENTIALS", "DB_PWD", "wandbApiKey", "SENTRY_AUTH", "HF_TOKEN", "APIKEY",
        "--password", "--api-token", "SSH_PRIVATE_KEY",
    ],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret_variable(name)


@pytest.mark.parametrize(
    "name",
    ["OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "KEYBOARD", "GIT_AUTHOR_NAME", "MAX_TOKENIZED", "XDG_SESSION_TYPE"],
)
def test_names_that_only_resemble_those(name: str) -> None:
    assert not is_secret_variable(name)


def test_in_code_a_key_or_a_token_needs_a_word_that_qualifies_it() -> None:
    assert all(map(is_secret_name, ["api_key", "accessToken", "hf_token", "password", "client_secret", "apikey"]))
    assert not any(map(is_secret_name, ["key", "keys", "token", "tokens", "sort_key", "max_tokens", "key_dim", "pin"]))


def test_values_of_the_environment_are_hidden_the_longest_first() -> None:
    environment = {"A_TOKEN": "abcdef", "B_SECRET": "abcdef-longer", "NAME": "plain-value", "C_KEY": "abc"}
    text = "one abcdef, two abcdef-longer, three plain-value, four abc"
    assert redact(text, environment) == f"one {HIDDEN}, two {HIDDEN}, three plain-value, four abc"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://u:pw@h.example/p?x=1", f"https://{HIDDEN}@h.example/p?x=1"),
        ("git+ssh://token@h/r.git and s3://a/b", f"git+ssh://{HIDDEN}@h/r.git and s3://a/b"),
        ("https://h/p?user=a&access_token=xyz&n=2", f"https://h/p?user=a&access_token={HIDDEN}&n=2"),
        ("https://h/p?X-Amz-Signature=abc123", f"https://h/p?X-Amz-Signature={HIDDEN}"),
        ("'Authorization': 'Bearer abcdefgh12345'", f"'Authorization': 'Bearer {HIDDEN}'"),
        ("ghp_abcdefghijklmnopqrstuvwx0123", HIDDEN),
        ("AKIAABCDEFGHIJKLMNOP", HIDDEN),
        ("list of 2: 'postgres://bob:SECRETUR, 'b'", f"list of 2: 'postgres://{HIDDEN}, 'b'"),
        ("postgres://bob:SECR...", f"postgres://{HIDDEN}"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("mail a@b.example, 3 tokens, key=value", "mail a@b.example, 3 tokens, key=value"),
        ("https://h.example/a@b", "https://h.example/a@b"),
    ],
)
def test_forms_of_secrets(text: str, expected: str) -> None:
    assert redact(text, {}) == expected


def test_values_that_are_given_to_names_of_secrets() -> None:
    text = "api_key = f'a b{c}', n = 3, password: hunter2, key = 5, 'client_secret': \"x"
    expected = f"api_key = {HIDDEN}, n = 3, password: {HIDDEN}, key = 5, 'client_secret': {HIDDEN}"
    assert redact_assignments(text) == expected


def test_arguments_of_a_command() -> None:
    given = ["-q", "--token=abc", "--api-key", "xyz", "tests/test_a.py", "-p", "no:randomly", "--index=https://u:p@h/s"]
    kept = ["-q", f"--token={HIDDEN}", "--api-key", HIDDEN, "tests/test_a.py", "-p", "no:randomly"]
    assert redact_arguments(given) == [*kept, f"--index=https://{HIDDEN}@h/s"]


def test_texts_under_names_of_secrets_in_built_in_values() -> None:
    value = {"env": [{"API_KEY": "abc", "n": 1}], "password": "", "api_key": 5, "url": ("https://u:p@h/",)}
    expected = {"env": [{"API_KEY": HIDDEN, "n": 1}], "password": "", "api_key": 5, "url": (f"https://{HIDDEN}@h/",)}
    assert redact_texts(value) == expected
    assert redact_texts({"source": "password = 'a' + b"}) == {"source": f"password = {HIDDEN} + b"}


def test_a_long_text_takes_time_in_proportion_to_its_length() -> None:
    for text in (
        "://" * 200_000,
        "a" * 1_000_000,
        "?a=" * 200_000,
        "Bearer " * 100_000,
        "x: " * 200_000,
        "eyJ" * 200_000,
    ):
        assert redact_assignments(text)
