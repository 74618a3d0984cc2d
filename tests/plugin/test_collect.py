"""--repro-collect: a folder that says of each test what became of it, in every engine, and names no machine or user."""

from __future__ import annotations

import functools
import getpass
import json
import os
import platform
import signal
from pathlib import Path

import pytest

# Imported before any session in this process, which would otherwise import them again.
import pytest_repro.reporting.record_text
import pytest_repro.session.collector  # noqa: F401
from pytest_repro.capturing.environment import describe_environment
from pytest_repro.cli import main
from pytest_repro.model import JSON
from pytest_repro.model.redaction import HIDDEN
from pytest_repro.records.collection import Collection, check_files, read_collection
from pytest_repro.session import recording
from tests.plugin.helpers import Session, Sessions

SOURCE = """
    import os, threading
    import numpy as np
    import pytest

    @pytest.mark.reproducible(rtol=1e-6)
    def test_fit(repro):
        repro.config({"lr": 0.1})
        return {"w": repro.rng.standard_normal(20000), "accuracy": 0.5}

    @pytest.mark.reproducible
    def test_unstable():
        return os.urandom(4)

    @pytest.mark.reproducible
    def test_fails():
        raise ValueError(f"no file in {os.getcwd()} of {os.path.expanduser('~')}/x")

    @pytest.mark.reproducible
    @pytest.mark.skip(reason="no GPU")
    def test_gpu(): ...

    @pytest.mark.reproducible
    @pytest.mark.xfail(reason="issue 1")
    def test_known(): assert False

    @pytest.mark.reproducible
    def test_nothing(): ...

    class Model:
        def __init__(self): self.w, self.lock = np.ones(3), threading.Lock()

    @pytest.mark.reproducible
    def test_with_a_lock(): return Model()

    @pytest.fixture
    def broken():
        yield
        raise RuntimeError("teardown")

    @pytest.mark.reproducible
    def test_teardown(broken): return 1.0

    @pytest.mark.reproducible
    def test_left_out(): return 1.0

    def test_plain(): ...
"""
STATUSES = {
    "test_fit": "recorded",
    "test_unstable": "unstable",
    "test_fails": "failed",
    "test_gpu": "skipped",
    "test_known": "xfailed",
    "test_nothing": "inconclusive",
    "test_with_a_lock": "recorded",
    "test_teardown": "failed",
}


@pytest.fixture(autouse=True)
def environment_collected_once(monkeypatch: pytest.MonkeyPatch, sessions: Sessions) -> None:
    """Collect the real environment, which takes a second, once for all sessions of this process."""
    monkeypatch.setattr(recording, "describe_environment", lambda root: collect_environment())
    monkeypatch.chdir(sessions.folder)


@functools.cache
def collect_environment() -> dict[str, JSON]:
    return describe_environment(Path("/"))


def read(sessions: Sessions, name: str = "out/here") -> Collection:
    collection = read_collection(sessions.folder / name)
    check_files(collection)
    return collection


def statuses(collection: Collection) -> dict[str, str]:
    return {name.partition("::")[2]: test.status for name, test in collection.tests.items()}


def collect(sessions: Sessions, source: str | None, *options: str, **how: object) -> Session:
    return sessions.run(source, "--repro-collect=out/here", *options, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [(), pytest.param(("-n2",), marks=pytest.mark.needs("xdist"), id="xdist"), ("--repro-isolate",)],
    ids=["in process", "xdist", "forks"],
)
def test_a_folder_says_of_each_test_what_became_of_it(sessions: Sessions, options: tuple[str, ...]) -> None:
    plugins = ("xdist",) if "-n2" in options else ()
    session = collect(sessions, SOURCE, "--deselect=test_it.py::test_left_out", *options, plugins=plugins)
    collection = read(sessions)
    assert statuses(collection) == STATUSES
    manifest = collection.manifest
    assert (manifest.label, manifest.is_finished, manifest.takes_all) == ("here", True, False)
    assert {name.partition("::")[2] for name in manifest.selection.selected} == set(STATUSES)
    assert (manifest.selection.deselected, manifest.selection.others) == (("test_it.py::test_left_out",), 1)
    assert manifest.outcome.exit_status == session.exitcode == 1
    assert collection.tests["test_it.py::test_gpu"].reason == "no GPU"
    assert collection.tests["test_it.py::test_fit"].digest == session.test("test_fit")["runs"][0]["digest"]
    ((left,),) = [test.not_compared for test in collection.tests.values() if test.not_compared]
    assert (left.name, left.type) == ("lock", "_thread.lock")
    assert "collected as 'here' in out/here" in session.text


def test_it_names_no_host_user_folder_or_secret(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hunter2-hunter2")
    monkeypatch.setenv("HOME", "/somewhere/of/alice")
    monkeypatch.setattr(platform, "node", lambda: "box-of-alice")
    monkeypatch.setattr(getpass, "getuser", lambda: "alice")
    source = """
        import os, pytest
        @pytest.mark.reproducible
        def test_it():
            home = os.path.expanduser("~")
            raise ValueError(f"alice@box-of-alice: {os.environ['MY_TOKEN']} {os.getcwd()}/x {home}/y")
    """
    collect(sessions, source)
    text = (sessions.folder / "out" / "here" / "collection.json").read_text()
    for word in ("alice", "hunter2", str(sessions.folder), "somewhere"):
        assert word not in text
    assert f"<user>@<host>: {HIDDEN} ./x ~/y" in text


def test_every_test_of_a_scan_is_collected(sessions: Sessions) -> None:
    source = """
        import numpy as np
        def test_unmarked():
            w = np.arange(3.0)
        def test_without_values(): pass
    """
    collect(sessions, source, "--repro-all")
    collection = read(sessions)
    assert statuses(collection) == {"test_unmarked": "recorded", "test_without_values": "no_values"}
    assert collection.manifest.takes_all


def test_a_file_that_cannot_be_collected_and_one_that_skips_itself_are_named(sessions: Sessions) -> None:
    sessions.write("import nothing_of_that_name", "test_broken.py")
    sessions.write("import pytest\npytest.importorskip('nothing_of_that_name')", "test_skipped.py")
    source = "import pytest\n@pytest.mark.reproducible\ndef test_it(): return 1.0"
    collect(sessions, source, "--continue-on-collection-errors")
    found = {each.name: (each.outcome, each.reason) for each in read(sessions).manifest.uncollected}
    assert found["test_broken.py"] == ("failed", "ModuleNotFoundError: No module named 'nothing_of_that_name'")
    assert (found["test_skipped.py"][0], "nothing_of_that_name" in found["test_skipped.py"][1]) == ("skipped", True)


@pytest.mark.parametrize(
    "options", [[], pytest.param(["-n", "2"], marks=pytest.mark.needs("xdist"))], ids=["here", "workers"]
)
def test_a_collection_is_finished_also_where_no_report_is_written(sessions: Sessions, options: list[str]) -> None:
    source = "import pytest\n@pytest.mark.reproducible\ndef test_it():\n    return 1.0\ndef test_other():\n    pass\n"
    plugins = ("xdist",) if options else ()
    session = sessions.run(source, "--repro-collect=out/here", *options, plugins=plugins, json_report=False)
    assert session.exitcode == 0, session.text
    outcome = read_collection(sessions.folder / "out" / "here").manifest
    assert outcome.is_finished
    assert outcome.outcome is not None
    assert (outcome.outcome.passed, outcome.outcome.cut_off) == (2, 0)


def test_a_killed_session_leaves_what_it_had_marked_as_unfinished(sessions: Sessions) -> None:
    source = """
        import os, pytest, signal
        @pytest.mark.reproducible
        def test_ended(): return 1.0
        @pytest.mark.reproducible
        def test_killed(): os.kill(os.getpid(), signal.SIGKILL)
    """
    session = collect(sessions, source, apart=True)
    assert session.exitcode == -signal.SIGKILL
    collection = read(sessions)
    assert (collection.manifest.is_finished, statuses(collection)) == (False, {"test_ended": "recorded"})
    assert len(collection.manifest.selection.selected) == 2
    assert not list((sessions.folder / "out").glob("**/*.part"))


def test_a_session_that_stops_at_a_failure_is_unfinished(sessions: Sessions) -> None:
    collect(sessions, SOURCE, "-x")
    assert not read(sessions).manifest.is_finished


def test_without_arrays_only_digests_are_kept(sessions: Sessions) -> None:
    collect(sessions, SOURCE, "--repro-collect-arrays=none", "-k", "fit or lock")
    tests = read(sessions).tests
    assert [(t.status, t.payload, t.keeps_arrays) for t in tests.values()] == [("recorded", None, False)] * 2
    assert not list((sessions.folder / "out").glob("**/*.safetensors"))
    collect(sessions, SOURCE, "--repro-collect-arrays=1KiB", "-k", "fit or lock")
    kept = {name.partition("::")[2]: test.keeps_arrays for name, test in read(sessions).tests.items()}
    assert kept == {"test_fit": False, "test_with_a_lock": True}
    collect(sessions, SOURCE, "--repro-collect-arrays=all", "-k", "fit or lock")
    assert len(list((sessions.folder / "out").glob("**/*.safetensors"))) == 1


def test_a_parent_alone_gets_a_label_by_the_environment(sessions: Sessions) -> None:
    for _ in range(2):
        sessions.run(SOURCE, "--repro-collect=out/", "-k", "fit")
    (folder,) = (sessions.folder / "out").iterdir()
    manifest = read_collection(folder).manifest
    assert folder.name == manifest.label
    assert manifest.label.startswith("env-")
    assert manifest.fingerprint.removeprefix("sha256:").startswith(manifest.label.removeprefix("env-"))


@pytest.mark.needs("xdist")
def test_workers_write_to_the_folder_that_is_named_by_the_environment(sessions: Sessions) -> None:
    sessions.run(SOURCE, "--repro-collect=out/", "-k", "fit", "-n2", plugins=("xdist",))
    (folder,) = (sessions.folder / "out").iterdir()
    collection = read_collection(folder)
    check_files(collection)
    assert statuses(collection) == {"test_fit": "recorded"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--repro-collect=out/a", "--repro-record=r"), "--repro-collect and --repro-record exclude each other"),
        (("--repro-collect=out/a", "--repro-verify=r"), "--repro-collect and --repro-verify exclude each other"),
        (("--repro-collect= ",), "needs a folder: --repro-collect=out/LABEL"),
        (("--repro-collect=out/a\x1bb",), "no control characters"),
        (("--repro-collect=out/" + "x" * 65,), "1 to 64 characters"),
        (("--repro-collect=test_it.py",), "is not a folder"),
        (("--repro-collect=.",), "env-"),
        (("--repro-collect-arrays=none",), "--repro-collect-arrays needs --repro-collect=DIR"),
        (("--repro-collect=out/a", "--repro-collect-arrays=lots"), "takes all, none or a size"),
        (("--repro-collect=project",), "is not empty and is no collection"),
    ],
)
def test_a_wrong_option_is_told_before_any_test_runs(sessions: Sessions, options, message: str) -> None:
    sessions.write("x", "project/file")
    session = sessions.run(SOURCE, *options, "-k", "fit")
    if message == "env-":  # the current folder is a parent, too
        assert next(sessions.folder.glob("env-*")).is_dir()
        return
    assert session.exitcode == 4
    assert message in session.text + session.run.stderr.str()


def test_an_ini_file_that_verifies_is_told(sessions: Sessions) -> None:
    session = sessions.run(SOURCE, "--repro-collect=out/a", ini="repro_verify = records")
    assert session.exitcode == 4
    assert "add -o repro_verify=" in session.text + session.run.stderr.str()
    session = sessions.run(None, "--repro-collect=out/a", "-o", "repro_verify=", "-k", "fit")
    assert session.exitcode == 0


def test_only_collecting_tests_writes_nothing(sessions: Sessions) -> None:
    collect(sessions, SOURCE, "--collect-only")
    assert not (sessions.folder / "out").exists()


def test_a_folder_that_cannot_be_written_fails_the_session(sessions: Sessions) -> None:
    source = """
        import pathlib, pytest
        @pytest.mark.reproducible
        def test_it():
            pathlib.Path("out/here/collection.json").unlink(missing_ok=True)
            return 1.0
    """
    session = collect(sessions, source)
    assert session.exitcode == 4
    assert "--repro-collect=out/here: " in session.text
    assert "was removed while the session ran" in session.text


def test_collections_in_the_checkout_are_no_change_of_the_code(sessions: Sessions) -> None:
    os.system("git init -q . && git add -A && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x")
    sessions.write(SOURCE)
    os.system("git add -A && git -c user.name=a -c user.email=a@b commit -q -m tests")
    for label in "ab":
        sessions.run(None, f"--repro-collect=out/{label}", "-k", "fit", json_report=False)
        assert read(sessions, f"out/{label}").manifest.code["changed"] == []
    sessions.write("x", "out/a/code.py")
    sessions.run(None, "--repro-collect=out/b", "-k", "fit", json_report=False)
    assert read(sessions, "out/b").manifest.code["changed"] == ["out/a/code.py"]


def test_merge_compares_what_two_sessions_collected(sessions: Sessions, capsys: pytest.CaptureFixture[str]) -> None:
    for label in "ab":
        sessions.run(SOURCE, f"--repro-collect=out/{label}", "-k", "fit or lock")
    capsys.readouterr()
    assert main(["merge", "out/a", "out/b", "--json=m.json", "--html=m.html", "--markdown=m.md"]) == 0
    text = capsys.readouterr().out
    assert "same: all 2 tests are identical in 2 environments." in text
    assert "_thread.lock (lock of test_it.py::test_with_a_lock)" in text
    document = json.loads(Path("m.json").read_text())
    assert [cell["kind"] for test in document["tests"] for cell in test["cells"]] == ["identical"] * 4
    sessions.write(SOURCE.replace("standard_normal", "random"))
    sessions.run(None, "--repro-collect=out/b", "-k", "fit or lock")
    assert main(["merge", "out/a", "out/b"]) == 1
    assert "by bit for bit" not in (text := capsys.readouterr().out)
    assert "test_fit, b, bit for bit: w: 20,000 of 20,000 differ" in text
    assert main(["merge", "out/a"]) == 2
    assert "at least two collections" in capsys.readouterr().err


SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "collection-1.schema.json"


@pytest.mark.needs("jsonschema")
def test_the_schema_accepts_a_manifest_of_every_status_and_rejects_others(sessions: Sessions) -> None:
    import jsonschema

    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    sessions.write("import pytest\npytest.importorskip('nothing_of_that_name')", "test_skipped.py")
    collect(sessions, SOURCE, "--deselect=test_it.py::test_left_out")
    document = json.loads((sessions.folder / "out" / "here" / "collection.json").read_bytes())
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)] == []
    assert {test["status"] for test in document["tests"]} == set(STATUSES.values())
    position = next(n for n, test in enumerate(document["tests"]) if test["status"] == "recorded")
    for place, value in (
        (["version"], "2.0"),
        (["label"], ""),
        (["fingerprint"], "sha256:1"),
        (["is_finished"], 1),
        (["selection", "selected"], "all"),
        (["uncollected", 0, "outcome"], "lost"),
        (["tests", position, "digest"], None),
        (["tests", position, "record", "name"], "../x.json"),
        (["tests", position, "facts", "policy"], "1"),
        (["facts"], {"1": {}}),
    ):
        changed = json.loads(json.dumps(document))
        inner = changed
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = value
        assert not validator.is_valid(changed), place
