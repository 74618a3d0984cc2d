"""Every option in every table and file that pytest reads, with its true type, and values of another type."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from pytest_repro.model.known import format_known
from pytest_repro.plugin import OPTIONS, SWITCHES
from tests.plugin.helpers import Session, Sessions

#: pytest 9 reads [tool.pytest], with typed values, and pytest.toml.
KNOWS_TYPES = pytest.version_tuple >= (9,)


class Key(NamedTuple):
    """The values of one key: text of an ini file, values of TOML, what the session then reads, and a wrong value."""

    text: str
    typed: tuple[str, ...]
    read: Any
    wrong: str
    message: str


#: Each key of the configuration. A test requires that each option is here.
KEYS = {
    "repro_runs": Key("3", ("3",), 3, '"3"', "must be an integer, as in repro_runs = 3, got the text '3'"),
    "repro_across": Key(
        "hash_seed,threads=1:2",
        ('["hash_seed", "threads=1:2"]', '["hash_seed,threads=1:2"]'),
        "hash_seed,threads=1:2",
        '"hash_seed"',
        """must be a list of texts, as in repro_across = ["hash_seed", "threads=1:2"], got the text 'hash_seed'""",
    ),
    "repro_seed": Key("5", ("5", '"5"'), 5, "[5]", "must be an integer or a text, as in repro_seed = 1, got the"),
    "repro_all": Key("true", ("true",), True, '"yes"', "must be true or false, as in repro_all = true, got the"),
    "repro_isolate": Key("1", ("true",), True, "1", "must be true or false, as in repro_isolate = true, got 1"),
    "repro_require": Key("device:cpu", ('["device:cpu"]',), "device:cpu", "true", "must be a list of texts"),
    "repro_seed_control": Key("yes", ("true",), True, "0.5", "must be true or false"),
    "repro_max_ulp": Key("4", ("4",), 4, "4.5", "must be an integer, as in repro_max_ulp = 3, got 4.5"),
    "repro_rtol": Key("1e-6", ("1e-6",), 1e-6, '"1e-6"', "must be a number, as in repro_rtol = 1e-6, got the text"),
    "repro_atol": Key("1", ("1", "1.0"), 1.0, "true", "must be a number, as in repro_atol = 1e-6, got true"),
    "repro_verify": Key("records", ('"records"',), "records", "3", "must be a text"),
    "repro_known": Key("known.json", ('"known.json"',), "known.json", "1", "must be a text"),
    "repro_report": Key("true", ("true",), True, '"yes"', "must be true or false"),
    "repro_html": Key("out.html", ('"out.html"',), "out.html", '["out.html"]', "must be a text"),
    "repro_diagnose_budget": Key("90s", ("90", '"90s"', "90.0"), 90.0, "true", "must be a number or a text"),
    "repro_budget": Key("2m", ("120", '"2m"'), 120.0, "[1]", "must be a number or a text"),
    "repro_memory": Key("1MiB", ('"1MiB"', "1048576"), 2**20, "1.5", "must be an integer or a text"),
    "repro_audit": Key("true", ("true",), True, '"no"', "must be true or false"),
    "repro_audit_timeout": Key("60", ("60", "60.0"), 60.0, '"60"', "must be a number"),
    "repro_diagnose": Key("false", ("false",), False, '"false"', "must be true or false"),
    "repro_hints": Key("false", ("false",), False, "{}", "must be true or false"),
}
#: How a file of pytest begins, and whether its values are typed.
INI_FILES = {"pytest.ini": "[pytest]", ".pytest.ini": "[pytest]", "tox.ini": "[pytest]", "setup.cfg": "[tool:pytest]"}
TYPED_FILES = {"pyproject.toml": "[tool.pytest]", "pytest.toml": "[pytest]", ".pytest.toml": "[pytest]"}
#: A file of known findings without any.
EMPTY = format_known(())

CONFTEST = """
    import pytest

    def pytest_configure(config):
        from pytest_repro.plugin import start_recording
        from pytest_repro.session.auditing import read_audit_settings
        from pytest_repro.session.ini_values import read_key
        from pytest_repro.session.settings import html_path

        recorder = start_recording(config)
        settings, accepting = recorder.settings, recorder._accepting
        config.option.repro_evidence = "bundle"
        audit = read_audit_settings(config)
        config.option.repro_evidence = None
        read = {
            "repro_runs": settings.runs,
            "repro_across": settings.across,
            "repro_seed": settings.base_seed,
            "repro_all": settings.take_all,
            "repro_isolate": settings.isolate,
            "repro_require": read_key(config, "repro_require"),
            "repro_seed_control": settings.seed_control,
            "repro_max_ulp": settings.default_bounds.get("max_ulp"),
            "repro_rtol": settings.default_bounds.get("rtol"),
            "repro_atol": settings.default_bounds.get("atol"),
            "repro_verify": settings.records and settings.records.shown,
            "repro_known": accepting.file,
            "repro_report": accepting.lists_only,
            "repro_html": html_path(config) and html_path(config).relative_to(config.rootpath).as_posix(),
            "repro_diagnose_budget": settings.test_budget_s,
            "repro_budget": settings.session_budget_s,
            "repro_memory": settings.memory_limit_bytes,
            "repro_audit": audit is not None,
            "repro_audit_timeout": audit and audit.timeout_s,
            "repro_diagnose": settings.diagnose,
            "repro_hints": settings.hints,
        }
        print("\\nREAD", repr(read), "END")
"""


def read_settings(sessions: Sessions, name: str, content: str) -> tuple[Session, dict[str, Any]]:
    """Run a session with one file of configuration, and return what it read."""
    (sessions.folder / name).write_text(content, encoding="utf-8")
    (sessions.folder / "known.json").write_text(EMPTY, encoding="utf-8")
    session = sessions.run("", "-s", "--collect-only", conftest=CONFTEST, json_report=False)
    (sessions.folder / name).unlink()
    found = session.text.partition("READ ")[2].partition(" END")[0]
    return session, eval(found, {}) if found else {}  # a repr of built-in values that this test printed


def test_every_option_is_in_the_table_with_a_type() -> None:
    assert {name for name, *_ in OPTIONS} | set(SWITCHES) == set(KEYS)


@pytest.mark.parametrize("name", INI_FILES)
def test_every_key_is_read_from_an_ini_file(sessions: Sessions, name: str) -> None:
    lines = [f"{key} = {value.text}" for key, value in KEYS.items()]
    session, read = read_settings(sessions, name, "\n".join([INI_FILES[name], *lines, ""]))
    assert read == {key: value.read for key, value in KEYS.items()}, session.text


@pytest.mark.parametrize("quoted", [True, False])
def test_every_key_is_read_from_ini_options(sessions: Sessions, quoted: bool) -> None:
    lines = [f"{key} = " + (f'"{value.text}"' if quoted else value.typed[0]) for key, value in KEYS.items()]
    session, read = read_settings(sessions, "pyproject.toml", "\n".join(["[tool.pytest.ini_options]", *lines, ""]))
    assert read == {key: value.read for key, value in KEYS.items()}, session.text


@pytest.mark.skipif(not KNOWS_TYPES, reason="pytest 8 has no typed table")
@pytest.mark.parametrize("name", TYPED_FILES)
def test_every_key_is_read_from_a_typed_table(sessions: Sessions, name: str) -> None:
    for number in range(max(len(value.typed) for value in KEYS.values())):
        lines = [f"{key} = {value.typed[min(number, len(value.typed) - 1)]}" for key, value in KEYS.items()]
        session, read = read_settings(sessions, name, "\n".join([TYPED_FILES[name], *lines, ""]))
        assert read == {key: value.read for key, value in KEYS.items()}, session.text


@pytest.mark.skipif(not KNOWS_TYPES, reason="pytest 8 has no typed table")
@pytest.mark.parametrize("key", KEYS)
def test_a_value_of_the_wrong_type_is_an_error_that_says_what_it_must_be(sessions: Sessions, key: str) -> None:
    # A marked test, since the switches say something only where the plugin runs a test.
    source = "import pytest\n@pytest.mark.reproducible\ndef test_it():\n    return 1\n"
    (sessions.folder / "pyproject.toml").write_text(f"[tool.pytest]\n{key} = {KEYS[key].wrong}\n", encoding="utf-8")
    session = sessions.run(source, json_report=False)
    text = session.text + session.run.stderr.str()
    assert session.exitcode == pytest.ExitCode.USAGE_ERROR, text
    assert f"{key} in pyproject.toml: {KEYS[key].message}" in text
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text


@pytest.mark.parametrize(
    "line, message",
    [
        ("repro_all = maybe", "repro_all in pytest.ini: must be true or false, as in repro_all = true, got the text"),
        ("repro_runs = many", "repro_runs in pytest.ini: runs must be an integer >= 2, got 'many'"),
        ("repro_max_ulp = 1.5", "repro_max_ulp in pytest.ini: must be an integer, got '1.5'"),
        ("repro_rtol = much", "repro_rtol in pytest.ini: must be a number, got 'much'"),
        ("repro_audit_timeout = long", "--repro-audit-timeout must be above 0"),
    ],
)
def test_a_wrong_text_of_an_ini_file_is_an_error(sessions: Sessions, line: str, message: str) -> None:
    session = sessions.run("def test_it():\n    pass\n", ini=line + "\n", json_report=False)
    assert session.exitcode == pytest.ExitCode.USAGE_ERROR
    assert message in session.run.stderr.str()


@pytest.mark.parametrize("key, value", [("repro_runs", "[3]"), ("repro_html", '["a"]'), ("repro_across", "[1, 2]")])
def test_a_list_of_ini_options_is_an_error_where_it_has_no_meaning(sessions: Sessions, key: str, value: str) -> None:
    content = f"[tool.pytest.ini_options]\n{key} = {value}\n"
    (sessions.folder / "pyproject.toml").write_text(content, encoding="utf-8")
    session = sessions.run("def test_it():\n    pass\n", "-Werror::DeprecationWarning", json_report=False)
    assert session.exitcode == pytest.ExitCode.USAGE_ERROR
    assert f"{key} in pyproject.toml: must be " in session.run.stderr.str()


def test_an_empty_value_and_an_override_from_the_command_line_apply(sessions: Sessions) -> None:
    empty = "".join(f"{key} =\n" for key in KEYS if key not in ("repro_diagnose", "repro_hints"))
    session, read = read_settings(sessions, "pytest.ini", f"[pytest]\n{empty}")
    assert read, session.text
    assert (read["repro_runs"], read["repro_across"], read["repro_rtol"], read["repro_all"]) == (
        None,
        None,
        None,
        False,
    )
    session = sessions.run("", "-o", "repro_runs=many", json_report=False)
    assert "-o repro_runs: runs must be an integer >= 2, got 'many'" in session.run.stderr.str()


def test_the_axes_of_an_ini_file_may_stand_on_several_lines(sessions: Sessions) -> None:
    content = "[pytest]\nrepro_across =\n    hash_seed,\n    threads=1:2\n"
    session, read = read_settings(sessions, "pytest.ini", content)
    assert read.get("repro_across") == "hash_seed,threads=1:2", session.text


@pytest.mark.skipif(not KNOWS_TYPES, reason="pytest 8 has no typed table")
def test_the_command_line_and_the_marker_override_a_typed_table(sessions: Sessions) -> None:
    source = """
        import pytest

        @pytest.mark.reproducible
        def test_default():
            return 1

        @pytest.mark.reproducible(runs=4)
        def test_marker():
            return 1
    """
    (sessions.folder / "pyproject.toml").write_text("[tool.pytest]\nrepro_runs = 3\n", encoding="utf-8")

    def count(*options: str) -> list[int]:
        session = sessions.run(source, *options)
        assert session.report is not None, session.text
        return [len(test["runs"]) for test in session.report["tests"]]

    assert count() == [3, 4]
    assert count("--repro-runs=5") == [5, 5]
