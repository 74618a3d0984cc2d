"""The job of a child and its answer: JSON that is checked and never trusted."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.engines import job as module
from pytest_repro.engines.job import (
    RESULT_NAME,
    ChildAnswer,
    ChildJob,
    address_of,
    identify,
    read_answer,
    take_traces,
    translate,
)
from pytest_repro.errors import ChildError


def make_job(directory: Path) -> ChildJob:
    """Return a job with a value other than the default in each field."""
    kinds: dict[str, Any] = {
        "int": 3,
        "str": "text",
        "list[str]": ["a"],
        "bool": True,
        "dict[str, JSON]": {"x": [1, None]},
    }
    values = {field.name: kinds.get(str(field.type)) for field in dataclasses.fields(ChildJob)}
    return ChildJob(**values | {"directory": str(directory)})


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    assert ChildJob.read(job.write()) == job
    assert job.as_condition().as_dict() == job.condition


def test_an_answer_is_read_as_it_was_written(tmp_path: Path) -> None:
    answer = ChildAnswer("n1", "passed", sections=[["Captured stdout", "\u00fc\x00\ud800"[:2]]], seconds=0.25)
    answer.write(tmp_path)
    assert read_answer(tmp_path, "n1") == answer
    assert [p.name for p in tmp_path.iterdir()] == [RESULT_NAME]


@pytest.mark.parametrize(
    ("name", "value"),
    [("outcome", "lucky"), ("seconds", "1"), ("sections", {}), ("took_locals", 1), ("peak_kib", None)],
)
def test_an_answer_with_a_value_of_another_type_is_rejected(tmp_path: Path, name: str, value: Any) -> None:
    answer = ChildAnswer("n1", "passed")
    setattr(answer, name, value)
    answer.write(tmp_path)
    with pytest.raises(ChildError, match="the answer cannot be read"):
        read_answer(tmp_path, "n1")


def test_only_what_a_report_shows_of_an_answer_is_translated() -> None:
    answer = ChildAnswer(
        "/there",
        "passed",
        longrepr="/there/a.py:1",
        sections=[["log", "in /there"]],
        seen={"/there": [{"at": "/there"}]},
    )
    translate(answer, lambda text: text.replace("/there", "/here"))
    assert answer == ChildAnswer(
        "/there", "passed", longrepr="/here/a.py:1", sections=[["log", "in /here"]], seen={"/there": [{"at": "/here"}]}
    )


def test_an_answer_that_is_nested_too_deeply_is_rejected() -> None:
    nested: list[Any] = []
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(ChildError, match="nested too deeply"):
        translate(ChildAnswer("n1", "passed", subtests=nested), str)


def test_a_job_elsewhere_names_only_its_own_folder_and_its_traces_come_back(tmp_path: Path) -> None:
    job = dataclasses.replace(
        make_job(tmp_path),
        directory="/there/run",
        watch={"path": "/here/trace-1", "budget_s": 1.0},
        probe={"repeats": 2, "compiled": "/here/compiled", "since": 5.0},
    ).elsewhere()
    assert job.watch == {"path": "/there/run/trace", "budget_s": 1.0}
    assert job.probe == {"repeats": 2, "compiled": "", "since": None}
    assert job.coverage is None
    for name in ("trace", "trace.imports", "other"):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder").mkdir()
    take_traces(tmp_path, tmp_path / "folder" / "trace-1")
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["trace-1", "trace-1.imports"]


def test_no_answer_is_none(tmp_path: Path) -> None:
    assert read_answer(tmp_path, "n1") is None


def test_an_answer_to_another_run_is_rejected(tmp_path: Path) -> None:
    ChildAnswer("older", "passed").write(tmp_path)
    with pytest.raises(ChildError, match="belongs to another run"):
        read_answer(tmp_path, "n1")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"nonce": "n1"}', '{"nonce": "n1", "outcome": "passed", "x": 1}', "3"]
)
def test_a_file_that_is_not_an_answer_is_rejected(tmp_path: Path, text: str) -> None:
    (tmp_path / RESULT_NAME).write_text(text)
    with pytest.raises(ChildError, match="cannot be read"):
        read_answer(tmp_path, "n1")


def test_bytes_that_are_not_text_are_rejected(tmp_path: Path) -> None:
    (tmp_path / RESULT_NAME).write_bytes(b'{"nonce": "\xff"}')
    with pytest.raises(ChildError, match="cannot be read"):
        read_answer(tmp_path, "n1")


def test_an_answer_beyond_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ChildAnswer("n1", "passed", reason="x" * 100).write(tmp_path)
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 50)
    with pytest.raises(ChildError, match="at most 50 are read"):
        read_answer(tmp_path, "n1")


def test_an_answer_holds_only_json(tmp_path: Path) -> None:
    ChildAnswer("n1", "passed").write(tmp_path)
    assert json.loads((tmp_path / RESULT_NAME).read_text())["outcome"] == "passed"


BODIES = {
    "one constant": "return 1",
    "another constant": "return 2",
    "a name": "return len([])",
    "another name": "return max([0])",
    "a nested function": "return [x + 1 for x in range(3)]",
    "another nested function": "return [x + 2 for x in range(3)]",
    "a set": "return 3 in {'a', 'b', 'c'}",
    "another set": "return 3 in {'a', 'b', 'd'}",
    "a tuple of sets": "return (1, (2, 'x'))",
}


def test_tests_are_distinguished_by_their_code(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (item,) = pytester.getitems("def test_it():\n    pass\n")
    assert isinstance(item, pytest.Function)

    def fingerprint(body: str) -> str:
        namespace: dict[str, Any] = {}
        exec(f"def test_it():\n    {body}\n", namespace)
        item.obj = namespace["test_it"]
        return identify(item)

    assert len({fingerprint(body) for body in BODIES.values()}) == len(BODIES)
    assert all(fingerprint(body) == fingerprint(body) for body in BODIES.values())


def test_the_fingerprint_is_the_same_under_every_hash_seed() -> None:
    code = f"""
from types import SimpleNamespace
from pytest_repro.engines.job import identify
bodies = {list(BODIES.values())!r}
for body in bodies:
    namespace = {{}}
    exec("def test_it():\\n    " + body, namespace)
    print(identify(SimpleNamespace(obj=namespace["test_it"], location=("t.py", 0, "test_it"))))
"""
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(printed) == 1


def test_a_test_is_addressed_by_file_and_name(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (item,) = pytester.getitems(
        """
        import pytest

        class TestA:
            @pytest.mark.parametrize("x", ["a::b"])
            def test_b(self, x):
                pass
        """
    )
    path, name = address_of(item)
    assert Path(path).is_absolute()
    assert name == "TestA::test_b[a::b]"
