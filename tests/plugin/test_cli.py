"""The command pytest-repro, as a user runs it: on records of a session, intact and damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_repro.capturing import capture_tree
from pytest_repro.cli import main
from pytest_repro.errors import ReproError
from pytest_repro.model import TolerancePolicy
from pytest_repro.records.checking import check_record
from pytest_repro.records.files import read_record
from tests.unit.records.helpers import forge, results, write


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_show_prints_the_content_of_a_record(tmp_path, capsys):
    path = write(tmp_path, updates=[{"reason": "lr was raised", "replaced": "sha256:" + "1" * 64}])
    status, text, _ = run(capsys, "show", path)
    assert status == 0
    for part in ("record of tests/test_train.py::test_fit", "arrays    are here and match their digests",
                 "lr was raised", "weights/w", "float32 [8, 6]",
                 "accuracy  float 0.91 (0x1.d1eb851eb851fp-1)"):  # fmt: skip
        assert part in text
    status, text, _ = run(capsys, "show", path, "--json")
    document = json.loads(text)
    assert (status, document["seed"], document["arrays_are_here"]) == (0, 7, True)
    assert "base64" not in text


def test_show_rejects_a_damaged_record_with_the_reason(tmp_path, capsys):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"seed":7', b'"seed":8'))
    status, text, errors = run(capsys, "show", path, "--json")
    assert (status, "edited by hand" in json.loads(text)["error"]) == (2, True)
    assert errors.startswith("pytest-repro: ")
    assert run(capsys, "show", tmp_path / "none.json")[0] == 2


def test_show_says_that_the_arrays_are_not_here(tmp_path, capsys):
    path = write(tmp_path, inline_bytes=0)
    next(tmp_path.glob("*.safetensors")).unlink()
    status, text, _ = run(capsys, "show", path)
    assert (status, "arrays    are not here" in text) == (0, True)


def test_the_text_of_a_record_cannot_move_the_cursor(tmp_path, capsys):
    path = write(tmp_path, {"\x1b[2Jname": "\x1b]0;title\x07", "b": np.zeros(2)}, nodeid="t.py::a\x1b[31m")
    forge(path, lambda document: document["code"].update(commit="\x1b[1A"))
    assert "\x1b" not in run(capsys, "show", path)[1]
    other = write(tmp_path, {"\x1b[2Jname": "2", "b": np.ones(2)}, nodeid="t.py::b\x1b[31m")
    assert "\x1b" not in run(capsys, "diff", path, other)[1]


def test_diff_prints_results_and_circumstances_with_exit_status_1(tmp_path, capsys):
    one = write(tmp_path / "a")
    same = run(capsys, "diff", one, write(tmp_path / "b"))
    assert (same[0], same[1].splitlines()[0]) == (0, "the results are identical, bit for bit")
    value = results()
    value["weights"]["w"] = value["weights"]["w"] * np.float32(1.5)
    other = write(tmp_path / "c", value)
    forge(other, lambda document: document["environment"].update(python={"version": "3.14.0"}))
    status, text, _ = run(capsys, "diff", one, other)
    assert status == 1
    assert "weights/w" in text
    assert "differs python version: 3.11.9 -> 3.14.0" in text
    document = json.loads(run(capsys, "diff", one, other, "--json")[1])
    assert [d["artifact"] for d in document["differences"]] == document["changed"] == ["weights/w"]
    assert document["circumstances"][0]["recorded"] == "3.11.9"


def test_diff_without_the_arrays_names_what_differs(tmp_path, capsys):
    one = write(tmp_path / "a", {"w": np.arange(3.0), "v": 1}, inline_bytes=0)
    other = write(tmp_path / "b", {"w": np.ones(3), "v": 1}, inline_bytes=0)
    next((tmp_path / "a").glob("*.safetensors")).unlink()
    status, text, _ = run(capsys, "diff", one, other)
    assert status == 1
    assert "1 artifacts have other bits: w" in text
    assert "no figures" in text


def test_diff_believes_no_digest_of_an_edited_record(tmp_path, capsys):
    one, other = write(tmp_path / "a", {"v": 1.5}), write(tmp_path / "b", {"v": 1.5})

    def change(document):
        entry = next(entry for entry in document["artifacts"] if entry["form"] == "value")
        entry["value"] = {"kind": "float", "text": "0x1.8p+9"}

    forge(other, change)
    for pair in ((one, other), (other, one)):
        status, text, error = run(capsys, "diff", *pair)
        assert (status, text) == (2, "")
        assert "'v' does not match the digest in the record" in error


def test_diff_of_a_record_that_claims_the_digest_of_another_without_its_arrays_is_an_error(tmp_path, capsys):
    one = write(tmp_path / "a", {"w": np.arange(3.0)}, inline_bytes=0)
    other = write(tmp_path / "b", {"w": np.ones(3)}, inline_bytes=0)
    digest = json.loads(one.read_text())["digest"]
    forge(other, lambda document: document.update(digest=digest))
    for folder in ("a", "b"):
        next((tmp_path / folder).glob("*.safetensors")).unlink()
    status, text, error = run(capsys, "diff", one, other)
    assert (status, text) == (2, "")
    assert "its artifacts together do not match its digest" in error


def test_diff_says_that_digests_alone_were_compared_where_the_arrays_are_not_here(tmp_path, capsys):
    one, other = (write(tmp_path / name, {"w": np.arange(3.0)}, inline_bytes=0) for name in "ab")
    next((tmp_path / "a").glob("*.safetensors")).unlink()
    status, text, _ = run(capsys, "diff", one, other)
    assert status == 0
    assert "only the digests were compared" in text


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (tmp_path / "test_p.py").write_text("def test_a(): pass\ndef test_b(): pass\n")
    for name in ("test_a", "test_b", "test_gone"):
        write(tmp_path / "records", {"w": np.arange(9.0)}, nodeid=f"test_p.py::{name}", inline_bytes=0)
    return tmp_path


def prune(*arguments):
    command = [sys.executable, "-m", "pytest_repro.cli", "prune", "records", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def names(project):
    return sorted(path.name for path in (project / "records").iterdir())


def test_prune_lists_and_with_delete_removes_records_without_a_test(project):
    for name in ("README.md", "notes.json", "other.safetensors"):
        (project / "records" / name).write_text("mine")
    (project / "records" / ".test_p.py-test_a.0123456789abcdef.part").write_text("")
    before = names(project)
    listed = prune("--json")
    assert listed.returncode == 1, listed.stderr
    orphans = [orphan["path"] for orphan in json.loads(listed.stdout)["orphans"]]
    assert len(orphans) == 3
    assert all("test_gone" in orphan or orphan.endswith(".part") for orphan in orphans)
    assert names(project) == before
    assert prune("--delete").returncode == 0
    assert names(project) == sorted(set(before) - set(orphans))
    done = prune()
    # pytest's own output about a complete collection is not shown.
    assert (done.returncode, done.stdout, done.stderr) == (0, "every record has a test\n", "")


def test_prune_removes_the_payload_that_an_update_left(project):
    write(project / "records", {"w": np.ones(9)}, nodeid="test_p.py::test_a", inline_bytes=0)
    listed = prune()
    assert listed.stdout.count("no record refers to it") == 2  # of the update, and of the removed test
    assert prune("--delete").returncode == 0
    for name in ("test_a", "test_b"):
        (path,) = (project / "records").glob(f"*{name}-*.json")
        read_record(path).load()


@pytest.mark.parametrize(
    ("files", "variables", "reason"),
    [
        ({"test_p.py": "import nothing_of_that_name\n"}, {}, "could not be collected"),
        ({}, {"PYTEST_ADDOPTS": "-k test_a"}, "1 tests were deselected"),
        ({"test_p.py": "def test_z(): pass\n"}, {}, "none of the 3 records"),
        ({"test_p.py": ""}, {}, "collected no test"),
    ],
)
def test_prune_removes_nothing_if_the_tests_are_uncertain(project, monkeypatch, files, variables, reason):
    for name, text in files.items():
        (project / name).write_text(text)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    before = names(project)
    done = prune("--delete")
    assert done.returncode == 2
    assert reason in done.stderr
    assert names(project) == before


def test_prune_removes_nothing_if_a_record_cannot_be_read(project):
    (path,) = (project / "records").glob("*test_a-*.json")
    path.write_text("{}")
    before = names(project)
    assert prune("--delete").returncode == 2
    assert names(project) == before


def test_the_command_is_installed_and_loads_nothing_heavy_for_its_help():
    code = """
import sys
from pytest_repro.cli import main
try:
    main(["--help"])
except SystemExit:
    print("numpy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert "show" in done.stdout


def test_a_closed_pipe_causes_no_traceback(tmp_path):
    path = write(tmp_path, {f"k{i}": i for i in range(2000)})
    command = [sys.executable, "-m", "pytest_repro.cli", "show", str(path), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait()


junk = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
PARTS = (
    "python",
    "platform",
    "cpu",
    "packages",
    "lock_files",
    "thread_pools",
    "accelerators",
    "variables",
    "container",
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(PARTS), junk),
    st.dictionaries(st.sampled_from(["tolerance", "verdict", "tree"]), junk),
)
def test_a_reader_does_not_crash_on_any_circumstances_of_a_record(tmp_path, environment, other):
    path = write(tmp_path, 1.5)
    good = write(tmp_path / "good", 1.5)
    forge(good, lambda document: document.update(environment=sound()))

    def change(document):
        document.update(environment=environment, policy=other, code=other, settings=other, data=other)

    with suppress(ReproError):
        forge(path, change)
        stored = read_record(path)
        artifacts = capture_tree(1.5)
        facts = read_record(good).record.facts
        check_record(stored, artifacts, stored.record.digest, seed=7, facts=facts, policy=TolerancePolicy())
        with open_null():
            assert main(["show", str(path)]) in (0, 2)
            assert main(["diff", str(path), str(good)]) in (0, 1, 2)
            assert main(["diff", str(good), str(path)]) in (0, 1, 2)


def sound():
    return {
        "python": {"version": "3"}, "platform": {"libc": "x"}, "cpu": {"model": "m", "instruction_sets": ["avx2"]},
        "packages": {"numpy": {"version": "1", "record": None, "numerical": True}}, "lock_files": {"a": "b"},
        "thread_pools": [{"num_threads": 1}], "accelerators": [], "variables": {"A": "b"}, "container": {"digest": "x"},
    }  # fmt: skip


@contextmanager
def open_null():
    with Path(os.devnull).open("w", encoding="utf-8") as null, redirect_stdout(null), redirect_stderr(null):
        yield
