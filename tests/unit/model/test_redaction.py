"""Secrets are removed from text by the name that they have, by their value in the environment, and by their form."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_repro.model import secret_values
from pytest_repro.model.redaction import (
    HIDDEN,
    digest_secrets,
    holds_secret,
    redact,
    redact_arguments,
    redact_assignments,
    redact_condition,
    redact_name,
    redact_texts,
    redact_value,
    remember_arguments,
    remember_condition,
)
from pytest_repro.model.secret_names import is_secret_name, is_secret_variable
from pytest_repro.model.secret_values import (
    MAX_GUESSES,
    MAX_SECRETS,
    find_secrets,
    list_limits,
    list_remembered,
    remember_environment,
    remember_secrets,
    remember_values,
)

SECRET = 'x7/Q+k"3&ü%9-wZ1'


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(secret_values, "_remembered", secret_values.Remembered())
    return


@pytest.mark.parametrize(
    "name",
    [
        "MY_API_KEY", "TF_VAR_db_password", "TF_VAR_region", "tf_var_x", "JAX_API_TOKEN", "NCCL_SECRET",
        "github_token", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN",
        "AZURE_STORAGE_CONNECTION_STRING", "GCP_SA_KEY", "AZURE_CLIENT_SECRET", "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_API_KEY", "HF_TOKEN", "WANDB_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "PGPASSWORD", "SSHPASS",
        "MYSQL_PWD", "DB_PWD", "DBPWD", "SMTP_PASS", "PASSWD", "wandbApiKey", "AWSAccessKey", "SENTRY_AUTH",
        "SENTRY_DSN", "APIKEY", "--password", "--api-token", "SSH_PRIVATE_KEY", "CLIENT_CERT", "X-Amz-Signature",
        "X-Amz-Credential", "sig", "SESSION_ID", "PHPSESSID", "SESSION", "COOKIE", "set-cookie", "GITHUB_PAT",
        "SLACK_WEBHOOK_URL", "JWT", "token2", "Authorization",
    ],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret_variable(name)


@pytest.mark.parametrize(
    "name",
    [
        "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "KEYBOARD", "MONKEY", "GIT_AUTHOR_NAME", "MAX_TOKENIZED", "PATH",
        "XDG_SESSION_TYPE", "XDG_SESSION_ID", "DESKTOP_SESSION", "PWD", "OLDPWD", "SSH_AUTH_SOCK", "AUTHOR", "COMPASS",
        "PATTERN", "SECRETARY", "SIGNAL", "PINNED", "DISPATCH", "CERTAIN", "BYPASS", "KEYNES", "SALTED",
    ],
)  # fmt: skip
def test_names_that_only_resemble_those(name: str) -> None:
    assert not is_secret_variable(name)


def test_in_code_a_key_or_a_token_needs_a_word_that_qualifies_it() -> None:
    secret = [
        "api_key",
        "accessToken",
        "hf_token",
        "password",
        "client_secret",
        "apikey",
        "id_token",
        "db_pass",
        "GH_TOKEN",
    ]
    assert [name for name in secret if not is_secret_name(name)] == []
    usual = ["key", "keys", "token", "tokens", "sort_key", "max_tokens", "key_dim", "pin", "eos_token_id", "pad_token"]
    usual += [
        "forward_pass",
        "pwd",
        "session",
        "certain",
        "model_signature",
        "x",
        "K",
        "bos_token",
        "key_padding_mask",
        "PAD_TOKEN",
        "LEAF_KEYS",
    ]
    assert [name for name in usual if is_secret_name(name)] == []


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "within a word": lambda text: f"user{text}9",
    "in JSON": json.dumps,
    "in JSON of unicode": lambda text: json.dumps(text, ensure_ascii=False),
    "in JSON in JSON": lambda text: json.dumps(json.dumps({"a": text})),
    "in a repr": lambda text: repr({"a": text}),
    "in bytes": lambda text: repr(text.encode()),
    "in HTML": html.escape,
    "in a URL": lambda text: f"https://h/?q={urllib.parse.quote(text, safe='')}",
    "in a path": urllib.parse.quote,
    "in a form": urllib.parse.quote_plus,
    "in lower case": lambda text: re.sub("%..", lambda code: code[0].lower(), urllib.parse.quote(text)),
    "in hex": lambda text: text.encode().hex(),
    "in base64": lambda text: base64.b64encode(text.encode()).decode(),
    "in base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "cut at the end": lambda text: f"see {text[:12]}",
    "cut before dots": lambda text: f"see {text[:11]}...",
    "cut in a list": lambda text: f"list of 2: '{text[:10]}, 'b'",
    "cut in the middle": lambda text: f"{text[:9]}...{text[-9:]}",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_value_is_found_in_every_form(form: str) -> None:
    text = redact(f"before {FORMS[form](SECRET)}", {"MY_TOKEN": SECRET})
    assert HIDDEN in text
    assert text.startswith("before ")
    for part in (SECRET[:8], SECRET[-8:], json.dumps(SECRET)[1:9], urllib.parse.quote(SECRET)[:8]):
        assert part not in text


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
def test_a_value_is_found_in_the_base64_of_a_longer_text(before: str) -> None:
    encoded = base64.b64encode(f"{before}{SECRET}:more".encode()).decode()
    assert HIDDEN in redact(encoded, {"MY_TOKEN": SECRET})


@pytest.mark.parametrize(
    "value",
    ["1", "test", "true", "none", "abc12", "disabled", "production", "localhost", "123456", "0.25", "/tmp", "changeme"],
)
def test_a_short_or_common_value_does_not_hide_the_world_and_is_named(value: str) -> None:
    text = f"1 test of {value} is true, {value}."
    assert redact(text, {"MY_API_KEY": value}) == text
    names = find_secrets({"MY_API_KEY": value}).unhidden
    assert names == (() if value == "/tmp" else ("MY_API_KEY",))


def test_a_word_or_a_number_is_hidden_only_by_itself() -> None:
    environment = {"DB_PASSWORD": "hunter", "LOGIN_PIN": "48151623"}
    text = f"{HIDDEN}, {HIDDEN}2; hunters and 481516234, 1.48151623"
    assert redact("hunter, hunter2; hunters and 481516234, 1.48151623", environment) == text
    assert redact("48151623", environment) == HIDDEN
    # Under a name of many meanings, a word is a setting.
    assert redact("a swordfish", {"SENTRY_AUTH": "swordfish"}) == "a swordfish"


def test_the_path_of_a_file_is_not_hidden_for_it_holds_no_secret(tmp_path: Path) -> None:
    environment = {
        "PWD": str(tmp_path),
        "MY_KEY_FILE": "/no/such/file",
        "TLS_KEY": str(tmp_path),
        "MY_KEY": "/bAse64+x/y==",
    }
    text = f"{tmp_path}/a.py /no/such/file {HIDDEN}"
    assert redact(f"{tmp_path}/a.py /no/such/file /bAse64+x/y==", environment) == text


def test_secrets_within_values_are_found_by_themselves() -> None:
    environment = {
        "DATABASE": "postgres://bob:p%40ss-w0rd@h/db",
        "STORAGE_CONNECTION_STRING": "AccountName=ab;AccountKey=Zm9vYmFyYmF6cXV4;EndpointSuffix=core",
        "GOOGLE_CREDENTIALS": json.dumps({"type": "service", "private_key": "q1w2e3r4t5z6", "client": "someone-else"}),
        "SSH_KEY": "-----BEGIN X-----\nabcdefghijklmnopqrst\nuvwxyz0123456789\n-----END X-----",
    }
    given = "p@ss-w0rd; Zm9vYmFyYmF6cXV4; q1w2e3r4t5z6; uvwxyz0123456789"
    assert redact(given, environment) == f"{HIDDEN}; {HIDDEN}; {HIDDEN}; {HIDDEN}"


def test_values_of_the_environment_are_hidden_the_longest_first() -> None:
    environment = {"A_TOKEN": "abcdef7", "B_SECRET": "abcdef7-longer", "NAME": "plain-value", "C_KEY": "abc"}
    text = "one abcdef7, two abcdef7-longer, three plain-value, four abc"
    assert redact(text, environment) == f"one {HIDDEN}, two {HIDDEN}, three plain-value, four abc"


def test_forms_of_a_value_that_begin_alike_are_all_found() -> None:
    for text in ('abcdefgh-"i"/5', json.dumps('abcdefgh-"i"/5')[1:-1]):
        assert redact(f"'{text}'", {"A_TOKEN": 'abcdefgh-"i"/5'}) == f"'{HIDDEN}'"


def test_values_of_code_push_no_secret_of_the_environment_out(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_values(f"value-{n:06}" for n in range(MAX_SECRETS))
    monkeypatch.setenv("SOME_TOKEN", "q8w7e6r5t4")
    remember_environment()
    monkeypatch.delenv("SOME_TOKEN")
    text = f"q8w7e6r5t4 value-000000 value-{MAX_GUESSES:06}"
    assert redact(text) == f"{HIDDEN} {HIDDEN} value-{MAX_GUESSES:06}"


def test_secrets_that_are_too_many_to_be_remembered_are_told() -> None:
    remember_values(f"value-{n:06}" for n in range(MAX_GUESSES - 1))
    assert list_limits() == []
    remember_values(["value-x"])
    assert list_limits() == [
        "Of the values under names of secrets in code, only the first 1,000 are searched for in texts."
    ]
    remember_secrets((f"TOKEN_{n}", f"value-{n:06}") for n in range(MAX_SECRETS))
    assert len(list_limits()) == 2


def test_what_another_process_remembered_is_of_the_same_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_values(f"value-{n:06}" for n in range(MAX_GUESSES))
    remember_secrets([("SOME_TOKEN", "q8w7e6r5t4")])
    left = list_remembered()
    monkeypatch.setattr(secret_values, "_remembered", secret_values.Remembered())
    remember_secrets((name, value) for name, value in left)
    assert list_remembered() == left
    assert len(list_limits()) == 1


def test_a_changed_environment_is_noticed_in_every_way(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "q8w7e6r5t4 y6x5c4v3b2"
    assert redact(text) == text
    monkeypatch.setenv("SOME_TOKEN", "q8w7e6r5t4")
    assert redact(text) == f"{HIDDEN} y6x5c4v3b2"
    monkeypatch.setenv("SOME_TOKEN", "y6x5c4v3b2")
    assert redact(text) == f"q8w7e6r5t4 {HIDDEN}"
    monkeypatch.delenv("SOME_TOKEN")
    assert redact(text) == text
    monkeypatch.setattr(os, "environ", {"SOME_TOKEN": "q8w7e6r5t4"})
    assert redact(text) == f"{HIDDEN} y6x5c4v3b2"
    remember_secrets([("OTHER_TOKEN", "y6x5c4v3b2")])
    assert redact(text) == f"{HIDDEN} {HIDDEN}"


def test_the_environment_is_read_once_as_long_as_it_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "q8w7e6r5t4")
    found = find_secrets()
    assert find_secrets() is found
    monkeypatch.setattr(secret_values, "is_secret_variable", None)
    assert redact("q8w7e6r5t4") == HIDDEN


def test_what_the_environment_held_for_a_while_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "q8w7e6r5t4")
    remember_environment()
    monkeypatch.delenv("SOME_TOKEN")
    remember_condition({"env": {"OTHER_SECRET": "y6x5c4v3b2"}, "password": "m9n8b7v6c5", "threads": 2})
    remember_arguments(
        ["--api-token=t1r2e3w4q5", "-o", "addopts=--db-password z5u6i7o8p9", "--secret", "l1k2j3h4g5", "-q"]
    )
    text = "q8w7e6r5t4 y6x5c4v3b2 m9n8b7v6c5 t1r2e3w4q5 z5u6i7o8p9 l1k2j3h4g5"
    assert redact(text) == " ".join([HIDDEN] * 6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://u:pw@h.example/p?x=1", f"https://{HIDDEN}@h.example/p?x=1"),
        ("https://u:p@w@h.example/p", f"https://{HIDDEN}@h.example/p"),
        ("postgresql://u:p/w@h:5432/db", f"postgresql://{HIDDEN}@h:5432/db"),
        ("git+https://u:pw@h/r.git@v1", f"git+https://{HIDDEN}@h/r.git@v1"),
        ("git+ssh://token@h/r.git and s3://a/b", f"git+ssh://{HIDDEN}@h/r.git and s3://a/b"),
        ("s3://AK:sk/x@bucket/a", f"s3://{HIDDEN}@bucket/a"),
        ("user:pw1@proxy.example:3128", f"{HIDDEN}@proxy.example:3128"),
        ("jdbc:postgresql://h/db?user=u&password=p", f"jdbc:postgresql://h/db?user=u&password={HIDDEN}"),
        ("jdbc:sqlserver://h:1433;user=u;password=p;x=1", f"jdbc:sqlserver://h:1433;user=u;password={HIDDEN};x=1"),
        ("jdbc:oracle:thin:scott/tiger@//h:1521/x", f"jdbc:oracle:thin:{HIDDEN}@//h:1521/x"),
        ("https://h/p?user=a&access_token=xyz&n=2", f"https://h/p?user=a&access_token={HIDDEN}&n=2"),
        ("https://h/cb#access_token=xyz", f"https://h/cb#access_token={HIDDEN}"),
        ("https://h/p?X-Amz-Signature=abc123", f"https://h/p?X-Amz-Signature={HIDDEN}"),
        ("https://a.blob/c?sv=2020&sig=a%2Bb", f"https://a.blob/c?sv=2020&sig={HIDDEN}"),
        ("?next=https%3A%2F%2Fu%3Apw%40h%2F", f"?next=https%3A%2F%2F{HIDDEN}%40h%2F"),
        ("'Authorization': 'Bearer abcdefgh12345'", f"'Authorization': 'Bearer {HIDDEN}'"),
        ("Basic dXNlcjpwYXNz", f"Basic {HIDDEN}"),
        ("ghp_abcdefghijklmnopqrstuvwx0123", HIDDEN),
        ("token=ghs_abcdefgh", f"token={HIDDEN}"),
        ("test_login[github_pat_11ABCDEFG0abcdefgh_xyz]", f"test_login[{HIDDEN}]"),
        ("AKIAABCDEFGHIJKLMNOP", HIDDEN),
        ("sk-proj-abc_def-123456", HIDDEN),
        ("sk-ant-api03-abcdefgh", HIDDEN),
        ("sk-abcdefgh1234567890", HIDDEN),
        ("hf_abcdefghijklmnopqrstuvwxyzABCDEFGH", HIDDEN),
        ("xoxb-123456-abcdef", HIDDEN),
        ("glpat-abcdefgh12345", HIDDEN),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_def", HIDDEN),
        ("'eyJhbGciOiJIUzI1NiI, 'b'", f"'{HIDDEN}, 'b'"),
        ("a -----BEGIN RSA PRIVATE KEY-----\nab\n-----END RSA PRIVATE KEY----- b", "a [hidden RSA PRIVATE KEY] b"),
        ("'-----BEGIN PRIVATE KEY-----\\nMIIE", "'[hidden PRIVATE KEY]"),
        ("list of 2: 'postgres://bob:SECRETUR, 'b'", f"list of 2: 'postgres://{HIDDEN}, 'b'"),
        ("postgres://bob:SECR...", f"postgres://{HIDDEN}"),
        # No secrets.
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://localhost:8080/a@b", "http://localhost:8080/a@b"),
        ("mail a@b.example, mailto:a@b.example, 3 tokens", "mail a@b.example, mailto:a@b.example, 3 tokens"),
        ("https://h.example/a@b", "https://h.example/a@b"),
        ("git@github.com:o/r.git", "git@github.com:o/r.git"),
        ("a token pattern, basic arithmetic", "a token pattern, basic arithmetic"),
        ("sk-learn-contrib-projects, hf_transformers", "sk-learn-contrib-projects, hf_transformers"),
        ("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----"),
        ("sha256:0123456789abcdef0123456789abcdef", "sha256:0123456789abcdef0123456789abcdef"),
        ("tests/test_a.py::test_b[a:b-1]", "tests/test_a.py::test_b[a:b-1]"),
    ],
)
def test_forms_of_secrets(text: str, expected: str) -> None:
    assert redact(text, {}) == expected
    assert redact(expected, {}) == expected


def test_values_that_are_given_to_names_of_secrets() -> None:
    text = "api_key = f'a b{c}', n = 3, password: hunter2, key = 5, 'client_secret': \"x"
    expected = f"api_key = {HIDDEN}, n = 3, password: {HIDDEN}, key = 5, 'client_secret': {HIDDEN}"
    assert redact_assignments(text) == expected
    text = "API_TOKEN='a\\'b', cfg['db_pass'] = b'x'"
    assert redact_assignments(text) == f"API_TOKEN={HIDDEN}, cfg['db_pass'] = {HIDDEN}"
    assert redact_assignments("eos_token_id = 50256; pwd = '/x'") == "eos_token_id = 50256; pwd = '/x'"
    assert redact_assignments("password: the values differ") == "password: the values differ"
    for text in (
        "tests/test_secret.py:41 in make",
        "test_secret.py::TestPassword::test_password[a]",
        "secret_names.py: 3 lines",
        "test_password: its axes",
    ):
        assert redact_assignments(text) == text
    assert redact_assignments("password:hunter2") == f"password:{HIDDEN}"
    assert redact_assignments("assert password == 'hunter2'") == f"assert password == {HIDDEN}"
    # Where the value comes from is code, and none itself.
    code = 'password = os.environ["DB"]'
    assert redact_assignments(code) == code


def test_a_value_that_a_message_shows() -> None:
    assert redact_value("headers/api_key", "'abc'") == redact_value("password", "str 'abc'") == HIDDEN
    assert redact_value("password", "b'abc'") == HIDDEN
    # A figure is none.
    assert redact_value("password_strength", "0.5") == "0.5"
    assert redact_value("api/sort_key", "'abc'") == "'abc'"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["-q", "--token=abc", "tests/test_a.py"], ["-q", f"--token={HIDDEN}", "tests/test_a.py"]),
        (["--api-key", "xyz", "-p", "no:randomly"], ["--api-key", HIDDEN, "-p", "no:randomly"]),
        (["--index=https://u:p@h/s"], [f"--index=https://{HIDDEN}@h/s"]),
        (["-o", "api_token=x y"], ["-o", f"api_token={HIDDEN}"]),
        (["-oapi_token=x"], [f"-oapi_token={HIDDEN}"]),
        (["--override-ini=api_token=x"], [f"--override-ini=api_token={HIDDEN}"]),
        (["-o", "addopts=-q --api-token=x --b"], ["-o", f"addopts=-q --api-token={HIDDEN}"]),
        (["-o", "addopts=-q --api-token x"], ["-o", f"addopts=-q --api-token {HIDDEN}"]),
        (["--repro-across=env=MY_TOKEN=x"], [f"--repro-across=env=MY_TOKEN={HIDDEN}"]),
        (["-k", "not token", "-m", "slow and key"], ["-k", "not token", "-m", "slow and key"]),
        (["--password", "-q"], ["--password", "-q"]),
        (["t.py::test_a[ghp_abcdefghijklmnop]"], [f"t.py::test_a[{HIDDEN}]"]),
    ],
)
def test_arguments_of_a_command(given: list[str], kept: list[str]) -> None:
    assert redact_arguments(given) == kept


def test_texts_in_built_in_values_keep_their_shape() -> None:
    value = {"url": ("https://u:p@h/",), "n": 1, "test_password": "identical", "source": "password = 'a' + b"}
    expected = {
        "url": (f"https://{HIDDEN}@h/",),
        "n": 1,
        "test_password": "identical",
        "source": f"password = {HIDDEN} + b",
    }
    assert redact_texts(value) == expected


def test_texts_are_redacted_alike_one_by_one_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", SECRET)
    texts = [
        *(make(SECRET) for make in FORMS.values()),
        "https://u:SECR",
        "n = 1",
        "api_key:",
        "t.py::test_a",
        "eyJhbGciOiJI",
    ]
    together = redact_texts({"all": texts, "n": [1]})["all"]
    assert together == [redact_assignments(text) for text in texts] == [redact_texts(text) for text in texts]


def test_two_keys_with_secrets_stay_two() -> None:
    found = redact_texts({"ghp_abcdefghijklmnopqrst": 1, "ghp_abcdefghijklmnopqrsu": 2})
    assert sorted(found.values()) == [1, 2]
    assert all(re.fullmatch(r"\[hidden [0-9a-f]{8}\]", key) for key in found)


def test_the_name_of_a_test_is_hidden_in_part_and_stays_its_own() -> None:
    one, other = (redact_name(f"t.py::test_login[ghp_abcdefghijklmnop{n}]") for n in (1, 2))
    assert one != other
    assert re.fullmatch(r"t\.py::test_login\[\[hidden [0-9a-f]{8}\]\]", one)
    assert redact_name(one) == one
    assert redact_name("t.py::test_a[1-b]") == "t.py::test_a[1-b]"


def test_a_condition_is_hidden_by_its_names_and_the_environment_by_the_rules_for_variables() -> None:
    given = {
        "env": [{"API_KEY": "abc", "KEY": "x", "LANG": "C"}],
        "api_key": "abc",
        "passwords": ["a"],
        "key": "b",
        "n": 1,
    }
    hidden = {"env": [{"API_KEY": HIDDEN, "KEY": HIDDEN, "LANG": "C"}], "api_key": HIDDEN, "passwords": [HIDDEN]}
    assert redact_condition(given) == {**hidden, "key": "b", "n": 1}


def test_hyperparameters_under_names_of_secrets_have_a_digest_that_says_so() -> None:
    found = digest_secrets({"lr": 0.1, "auth": {"api_key": "abc", "passwords": ["a", "b"]}, "url": "https://u:p@h/"})
    assert found["url"] == f"https://{HIDDEN}@h/"
    digest = found["auth"]["api_key"]
    assert re.fullmatch(r"\[hidden: api_key may be a secret; pbkdf2-sha256 [0-9a-f]{32}\]", digest)
    assert len({digest, *found["auth"]["passwords"]}) == 3
    assert digest_secrets({"api_key": "abd"})["api_key"] != digest == digest_secrets({"api_key": "abc"})["api_key"]
    # Again, as a record passes through more than one hand.
    assert digest_secrets(found) == redact_texts(found) == found


def test_bytes_hold_a_secret_only_by_value_or_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "q8w7e6r5t4")
    assert holds_secret(b"\0\0q8w7e6r5t4\xff")
    assert holds_secret(b"x ghp_abcdefghijklmnopqrstuvwx")
    assert not holds_secret(bytes(range(256)) * 4096)
    assert not holds_secret("ä:bcd@efg.hi".encode())


def test_a_long_text_takes_time_in_proportion_to_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "aaaaaaaaaaaab")
    for text in (
        "://" * 200_000,
        "a" * 1_000_000,
        "?a=" * 200_000,
        "Bearer " * 100_000,
        "x: " * 200_000,
        "eyJ" * 200_000,
        "a=" * 200_000,
        "-----BEGIN PRIVATE KEY-----" * 20_000,
        "%3A%2F%2F" * 50_000,
        "a:b" * 200_000,
        "x='" + "\\'" * 200_000,
        "password='" * 50_000,
        "jdbc:oracle:a:" * 50_000,
        "hf_" * 200_000,
        "sk-" * 200_000,
    ):
        assert redact_assignments(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("login failed: pwd=PLANTED06", "login failed: pwd=[hidden]"),
        ("Server=h;Uid=u;Pwd=PLANTED10QQ;Port=1", "Server=h;Uid=u;Pwd=[hidden];Port=1"),
        ("{'_pw': 'PLANTED11'}", "{'_pw': [hidden]}"),
        ("token=PlantedToken12", "token=[hidden]"),
        ("pin=48213977", "pin=[hidden]"),
        ("run --password PLANTED08 now", "run --password [hidden] now"),
        ("['--api-key', 'PLANTED09', '-v']", "['--api-key', '[hidden]', '-v']"),
        ("--token PlantedToken12", "--token [hidden]"),
        ("curl -s -u bob:PLANTED13 https://h", "curl -s -u bob:[hidden] https://h"),
    ],
)
def test_forms_in_which_a_message_gives_a_secret(text: str, expected: str) -> None:
    assert redact_assignments(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "pwd=/home/me/Data1", "pwd: src", "PWD=/tmp/A1", "token = tokenizer", "eos_token='</s>'", "token: 50256",
        "pin_memory=True", "pin=17", "salt='fold-1'", "auth=basic", "forward pass: 1000", "sort_key=Layer10Weights",
        "use --password to log in", "--password is missing", "--token-dim 512", "--sort-key name",
        "docker run -u 1000:1000 x", "cat --user a:b", "cache_key='d41d8cd98f00b204e9800998ecf8427e'",
    ],
)  # fmt: skip
def test_what_only_resembles_these_forms_is_left(text: str) -> None:
    assert redact_assignments(text) == text


def test_hyperparameters_in_further_forms_have_a_digest() -> None:
    secret = {
        "argv": ["fit", "--token", "PLANTED12"],
        "auth": ["user", "PLANTED07"],
        "client": {"basic_auth": ("user", "PLANTED07")},
        "pin": 48213977,
        "password": 123456,
        "salt": "0123456789abcdef0123",
        "_pw": "PLANTED14",
        "cmd": "curl -u bob:PLANTED13 https://h",
        "odbc": "Server=h;Pwd=PLANTED10QQ;",
        "client_secret": {"salt": "x1"},
    }
    text = json.dumps(digest_secrets(secret))
    for planted in ("PLANTED", "48213977", "123456,", "0123456789abcdef", "x1"):
        assert planted not in text
    assert '"user"' in text
    assert text.count("pbkdf2-sha256") == 8
    usual = {
        "pin": True, "pins": [1, 17], "password_length": 12, "salt": "fold-1", "token": "</s>", "auth": ["a", "b", "c"],
        "argv": ["--key", "-v"], "tokens": [50256, 50257], "max_tokens": 1_000_000, "pwd": "data/Train1",
        "token_id": 50256,
    }  # fmt: skip
    assert digest_secrets(usual) == usual


def test_no_character_of_a_longer_text_in_base64_is_left_around_a_value() -> None:
    key = "SECaa40envQQ"
    for before, after in (("u:", ""), ("user:", ":more"), ("", "!")):
        encoded = base64.b64encode(f"{before}{key}{after}".encode()).decode()
        assert redact(f"Basic <{encoded}>, x", {"MY_API_KEY": key}) == "Basic <[hidden]>, x"


def test_the_beginning_of_a_value_is_found_before_a_blank_if_it_is_no_word() -> None:
    environment = {"MY_API_KEY": "SECaa40envQQ", "OTHER_TOKEN": "training-2024-secret"}
    assert redact("half=SECaa40en parts", environment) == "half=[hidden] parts"
    assert redact("SECaa40en7 training SECaa40e1 run", environment) == "SECaa40en7 training SECaa40e1 run"
