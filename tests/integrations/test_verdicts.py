"""What a tracker of experiments is told of a report."""

from __future__ import annotations

import itertools
import json

import pytest

from pytest_repro import examine
from pytest_repro.errors import StoreError, UsageError
from pytest_repro.integrations import verdicts
from pytest_repro.integrations.verdicts import MAX_TESTS, MAX_TEXT, log_verdict


class Memory:
    """A tracker that keeps what it is given."""

    def __init__(self):
        self.calls = []

    def log_file(self, path):
        self.calls.append(("file", path.name, json.loads(path.read_text(encoding="utf-8"))))

    def log_values(self, values):
        self.calls.append(("values", dict(values)))


def entry(name="t.py::test", verdict="identical", **more):
    return {"nodeid": name, "verdict": verdict, "seed": 3, **more}


@pytest.fixture
def log(tmp_path):
    def log(*tests, **more):
        path = tmp_path / "report.json"
        path.write_text(json.dumps({"schema_version": 1, "tests": list(tests), **more}), encoding="utf-8")
        memory = Memory()
        return log_verdict(path, memory), memory

    return log


def test_a_session_that_passed(log):
    values, memory = log(entry("a"), entry("b", "within_tolerance"))
    assert (values["passed"], values["verdict"], values["tests"]) == (True, "within_tolerance", 2)
    assert (values["count/identical"], values["count/within_tolerance"]) == (1, 1)
    assert [kind for kind, *_ in memory.calls] == ["file", "values"]
    assert memory.calls[1][1] == values


@pytest.mark.parametrize("verdict", ["diverged", "inconclusive", "error"])
def test_one_test_that_did_not_pass_decides(log, verdict):
    values, _ = log(entry("a"), entry("b", verdict))
    assert (values["passed"], values["verdict"]) == (False, verdict)


def test_no_test_is_no_pass(log):
    values, _ = log()
    assert (values["passed"], values["verdict"], values["tests"]) == (False, "no tests", 0)


def test_a_session_that_was_interrupted_has_not_passed(log):
    values, _ = log(entry(), is_finished=False)
    assert (values["passed"], values["unfinished"]) == (False, True)


def test_a_test_that_the_plugin_did_not_run_and_that_failed_counts(log):
    values, _ = log(entry(), pytest={"exit_status": 1, "failed": 1})
    assert values["passed"] is False


def test_an_assertion_that_found_a_difference_counts(log):
    found = {"test": "t.py::other", "assertion": "assert_identical", "verdict": "diverged"}
    values, _ = log(entry(), assertions=[found])
    assert values["passed"] is False


def test_a_test_has_verdict_seed_digest_and_cause(log):
    diagnosis = {"causes": [{"code": "state.rng_object"}]}
    values, _ = log(entry(verdict="diverged", runs=[{"index": 1, "digest": "ab" * 32}], diagnosis=diagnosis))
    (name,) = {key.split("/")[1] for key in values if key.startswith("test/")}
    found = {key.rpartition("/")[2]: value for key, value in values.items() if key.startswith(f"test/{name}/")}
    expected = {"verdict": "diverged", "nodeid": "t.py::test", "seed": 3, "digest": "ab" * 32}
    assert found == {**expected, "cause": "state.rng_object"}


def test_names_that_are_no_keys_stay_distinct(log):
    values, _ = log(entry("t.py::test[a/b]"), entry("t.py::test[a:b]", "diverged"))
    keys = [key for key in values if key.endswith("/verdict")]
    assert len(keys) == 2
    assert all(len(key.split("/")) == 3 and not set(":[.") & set(key) for key in keys)


def test_of_many_tests_those_that_failed_come_first_and_the_rest_are_counted(log):
    tests = [entry(f"t.py::test[{number}]") for number in range(MAX_TESTS + 5)]
    values, memory = log(*tests, entry("t.py::last", "diverged"))
    assert values["tests_left_out"] == 6
    assert "diverged" in [value for key, value in values.items() if key.endswith("/verdict")]
    assert len(memory.calls[0][2]["tests"]) == MAX_TESTS + 6


def test_secrets_are_neither_in_the_values_nor_in_the_file(log):
    secret = "hunter2hunter2hunter2"
    values, memory = log(entry(f"t.py::test[password={secret}]", reason=f"password={secret}"))
    assert secret not in json.dumps([values, memory.calls])


def test_characters_that_move_a_terminal_are_spelt_out(log):
    values, _ = log(entry("t.py::test[\x1b[2J\u202e]"))
    assert all(value.isprintable() for value in values.values() if isinstance(value, str))
    assert all(key.isprintable() for key in values)


def test_a_long_name_is_cut(log):
    values, _ = log(entry("t.py::test[" + "x" * 5000 + "]"))
    assert max(len(value) for value in values.values() if isinstance(value, str)) == MAX_TEXT
    assert max(map(len, values)) <= 230  # MLflow allows 250, with the logger's prefix


def test_an_examination_is_logged_as_a_session_of_one_test():
    numbers = itertools.count()
    values = log_verdict(examine(lambda: next(numbers)), Memory())
    assert (values["passed"], values["verdict"], values["tests"]) == (False, "diverged", 1)
    assert log_verdict(examine(lambda: 1), Memory())["passed"] is True


def test_a_file_that_is_no_report_is_refused_and_nothing_is_logged(tmp_path):
    path, memory = tmp_path / "other.json", Memory()
    path.write_text("{}")
    with pytest.raises(StoreError, match="not a report"):
        log_verdict(path, memory)
    with pytest.raises(FileNotFoundError):
        log_verdict(tmp_path / "absent.json", memory)
    with pytest.raises(UsageError, match="got dict"):
        log_verdict({}, memory)
    assert memory.calls == []


def test_no_verdict_is_logged_of_a_report_that_could_not_be(log, monkeypatch):
    def fail(self, path):
        raise OSError("no space")

    monkeypatch.setattr(Memory, "log_file", fail)
    logged = []
    monkeypatch.setattr(Memory, "log_values", lambda self, values: logged.append(values))
    with pytest.raises(OSError, match="no space"):
        log(entry())
    assert logged == []


def test_the_protocol_is_what_the_loggers_offer():
    assert {name for name in vars(verdicts.VerdictLogger) if name.startswith("log_")} == {"log_values", "log_file"}
