"""A collection as a folder: whole at any time, checked in every file, and hostile until it has been read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_repro.errors import RecordError, ReproError
from pytest_repro.model.reported import SessionOutcome
from pytest_repro.records.collection import JOURNAL, MANIFEST, Selection, check_files, read_collection
from pytest_repro.reporting.html.merged import render_merge
from pytest_repro.reporting.merged_markdown import merge_markdown
from pytest_repro.reporting.merged_text import merge_lines
from tests.unit.records.folders import Test, add, begin, collect, environment, forge, forge_circumstances, merge

NAME = "t.py::test"
TESTS = {NAME: Test({"w": np.arange(9.0)}), "t.py::large": Test({"w": np.arange(99.0)}, inline_bytes=0)}


def check(folder: Path):
    collection = read_collection(folder)
    return check_files(collection)


@pytest.fixture
def folder(tmp_path):
    return collect(tmp_path / "a", TESTS)


def test_a_finished_folder_describes_itself(folder):
    manifest = read_collection(folder).manifest
    assert (manifest.label, manifest.plugin, manifest.pytest, manifest.is_finished) == ("a", "0.1.0", "9.0.0", True)
    assert manifest.environment["python"]["version"] == "3.11.9"
    assert manifest.code["commit"] == "c" * 40
    assert manifest.selection.selected == tuple(TESTS)
    assert [test.status for test in manifest.tests] == ["recorded", "recorded"]
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".json", ".json", ".safetensors"]
    assert check(folder) == []


def test_a_session_that_is_killed_leaves_the_tests_that_had_ended(tmp_path):
    folder = tmp_path / "a"
    writer = begin(folder)
    writer.describe(Selection(("t.py::late", *TESTS)))
    for name, test in TESTS.items():
        found = read_collection(folder)
        assert (found.manifest.is_finished, name in found.tests) == (False, False)
        add(writer, folder, name, test)
        assert name in read_collection(folder).tests
    assert check(folder) == []
    with (folder / JOURNAL).open("ab") as file:
        file.write(b'{"facts":{},"test":{"status"')  # the line that the session was writing
    assert list(read_collection(folder).tests) == list(TESTS)


def test_an_unfinished_folder_may_hold_a_record_that_was_not_listed_yet_and_a_finished_one_may_not(tmp_path):
    folder = tmp_path / "a"
    writer = begin(folder)
    add(writer, folder, NAME, TESTS[NAME])
    extra = next(folder.glob("t.py-test-*.json"))
    (folder / JOURNAL).write_bytes(b"")
    assert check(folder) == []
    writer.finish(SessionOutcome(0), (), is_finished=True)
    assert check(folder) == []
    (folder / extra.name.replace("test-", "added-")).write_bytes(extra.read_bytes())
    with pytest.raises(RecordError, match=r"does not name the record t.py-added-\w+.json: added later; collect again"):
        check(folder)


@pytest.mark.parametrize("pattern", [MANIFEST, "t.py-test-*.json", "*.safetensors"])
def test_every_flipped_byte_and_every_cut_is_detected_and_the_folder_named(folder, pattern):
    path = next(folder.glob(pattern))
    data = path.read_bytes()
    for place in range(0, len(data), max(1, len(data) // 60)):
        for changed in (data[:place], data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]):
            path.write_bytes(changed)
            with pytest.raises(RecordError) as caught:
                check(folder)
            assert str(folder) in str(caught.value)
    path.write_bytes(data)
    assert check(folder) == []


def test_a_missing_record_is_named_and_missing_arrays_are_listed(folder):
    next(folder.glob("*.safetensors")).unlink()
    assert check(folder) == ["t.py::large"]
    path = next(folder.glob("t.py-test-*.json"))
    path.unlink()
    with pytest.raises(RecordError, match=f"{path.name} cannot be read"):
        check(folder)


def test_a_manifest_that_claims_other_results_than_the_record_is_refused(folder):
    def claim(document):
        document["tests"][0]["digest"] = "sha256:" + "0" * 64

    forge(folder, claim)
    with pytest.raises(RecordError, match=r"has other results than collection\.json says: one was edited"):
        check(folder)


@pytest.mark.parametrize("pattern", [MANIFEST, "t.py-test-*.json", "*.safetensors"])
@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_no_link_pipe_or_directory_in_a_files_place_is_read(folder, tmp_path, pattern, kind):
    path = next(folder.glob(pattern))
    path.rename(tmp_path / "elsewhere")
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(RecordError, match=r"regular file|does not match its digest|cannot be read"):
        check(folder)


HOSTILE = {
    "a label of control characters": (lambda d: d.update(label="a\x1b[2J"), "its label 'a.x1b.2J' cannot be used"),
    "a label that leaves the folder": (lambda d: d.update(label="../a"), "cannot be used"),
    "an empty label": (lambda d: d.update(label=""), "1 to 64 characters"),
    "a label that reorders the line": (lambda d: d.update(label="a\u202eb"), "cannot be used"),
    "a later format": (lambda d: d.update(version="2.0"), "has format version '2.0', this release reads 1.x"),
    "another document": (lambda d: d.update(format="pytest-repro record"), "not the manifest of a collection"),
    "a record elsewhere": (lambda d: d["tests"][0]["record"].update(name="../x.json"), "is not its record's"),
    "an absolute record": (lambda d: d["tests"][0]["record"].update(name="/etc/passwd"), "is not its record's"),
    "a payload elsewhere": (lambda d: d["tests"][1]["payload"].update(name="../x.safetensors"), "is not a payload's"),
    "a test twice": (lambda d: d["tests"].append(d["tests"][0]), "occurs twice"),
    "a record without a digest": (lambda d: d["tests"][0].pop("digest"), "without a record, a digest or an element"),
    "a record without elements": (lambda d: d["tests"][0].pop("elements"), "without a record, a digest or an element"),
    "no facts": (lambda d: d["tests"][0].pop("facts"), "refers to circumstances that it does not have"),
    "unknown facts": (lambda d: d["tests"][0]["facts"].update(policy="0" * 16), "refers to circumstances"),
    "a fact under another digest": (lambda d: d["facts"].update({"0" * 16: {"x": 1}}), "does not match its digest"),
    "a wrong type": (lambda d: d.update(tests=5), "tests must be a list, got 5"),
    "an unknown status": (lambda d: d["tests"][0].update(status="fine"), "must be one of failed, inconclusive"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_forged_manifest_is_refused_with_its_folder_and_the_reason(folder, case):
    change, message = HOSTILE[case]
    forge(folder, change)
    with pytest.raises(RecordError, match=message) as caught:
        check(folder)
    assert str(caught.value).startswith(f"{folder}: ")
    assert str(caught.value).isprintable()


def test_what_is_no_collection_is_told_with_what_to_do(tmp_path, folder):
    for path, message in (
        (tmp_path / "none", "does not exist"),
        (folder / MANIFEST, "is not a folder"),
        (tmp_path, r"it holds collections, name them: \S+/\*/"),
    ):
        with pytest.raises(RecordError, match=message):
            read_collection(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match=r"has no collection.json: collect with --repro-collect"):
        read_collection(tmp_path / "empty")


@pytest.mark.parametrize("text", ["", "{", "[" * 5000, '{"a":1,"a":2}', '{"format":NaN}', "\x80\x04.", "null"])
def test_hostile_json_is_refused(folder, text):
    (folder / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(RecordError):
        read_collection(folder)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_document_with_a_matching_digest_crashes_the_reader(tmp_path, data):
    folder = tmp_path / "fuzz"
    if not folder.exists():
        collect(folder, TESTS)
        (tmp_path / "saved").write_bytes((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_bytes((tmp_path / "saved").read_bytes())
    forge(folder, lambda document: change_somewhere(document, data))
    try:
        other = tmp_path / "other"
        merge(folder, other if other.exists() else collect(other, TESTS))
    except ReproError:
        pass


def change_somewhere(document, data):
    """Put a value of any type in any place of a document."""
    values = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.just([]) | st.just({})
    place = document
    for _ in range(data.draw(st.integers(0, 4))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        inner = [key for key in keys if isinstance(place[key], (dict, list)) and place[key]]
        if not inner:
            break
        place = place[data.draw(st.sampled_from(inner))]
    key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else list(range(len(place)))))
    place[key] = data.draw(values)


@pytest.mark.parametrize(
    ("part", "hostile"),
    [
        ("environment", {"accelerators": 5}),
        ("environment", {"accelerators": [5, {"name": {}}, []]}),
        ("environment", {"packages": {"numpy": 5}, "python": [], "thread_pools": {"a": 1}, "cpu": 5}),
        ("environment", {"thread_pools": [5, {"architecture": []}, {"num_threads": "many"}, {"num_threads": True}]}),
        ("code", {"changed": ["a.py"], "changed_count": "many"}),
        ("code", {"changed": 5, "changed_count": []}),
        ("code", {"changed": [[]], "changed_count": [1], "commit": {}}),
        ("code", {"unavailable": {}}),
    ],
    ids=str,
)
def test_circumstances_of_an_unexpected_form_are_told_and_no_traceback(tmp_path, folder, part, hostile):
    for each in (folder, collect(tmp_path / "b", {NAME: Test({"w": np.ones(9)}), **dict([*TESTS.items()][1:])})):
        forge_circumstances(each, lambda document: document[part].update(hostile))
    merged = merge(folder, tmp_path / "b")
    assert render_merge(merged)
    assert merge_markdown(merged)
    assert merge_lines(merged)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_circumstances_with_a_matching_digest_crash_a_merge(tmp_path, data):
    one, other = tmp_path / "one", tmp_path / "other"
    if not one.exists():
        collect(other, {NAME: Test({"w": np.ones(9)})})
        collect(one, {NAME: TESTS[NAME]})
        (tmp_path / "saved").write_bytes((one / MANIFEST).read_bytes())
    (one / MANIFEST).write_bytes((tmp_path / "saved").read_bytes())
    forge_circumstances(one, lambda document: change_somewhere(document, data))
    try:
        merged = merge(one, other)
    except ReproError:
        return
    assert merge_lines(merged)


def test_a_new_session_replaces_the_collection_of_the_same_environment(folder):
    (folder / "notes.txt").write_text("mine")
    collect(folder, {"t.py::new": Test(1.0)})
    assert sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)[0] == "notes.txt"
    assert list(read_collection(folder).tests) == ["t.py::new"]
    assert check(folder) == []


def killed_at(monkeypatch, call, method, name):
    """Have a session die when it is about to unlink, or to put in place, a file of a name."""
    real = getattr(Path, method)

    def die(self, *rest, **options):
        if (rest[0] if method == "replace" else self).match(name):
            raise KeyboardInterrupt
        return real(self, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, method, die)
        with pytest.raises(KeyboardInterrupt):
            call()


@pytest.mark.parametrize("is_finished", [True, False])
@pytest.mark.parametrize(
    ("method", "name"), [("replace", MANIFEST), ("unlink", "*-*.json"), ("unlink", "*.safetensors")]
)
def test_a_session_that_is_killed_as_it_begins_leaves_the_earlier_collection_or_an_unfinished_one(
    tmp_path, monkeypatch, method, name, is_finished
):
    folder = tmp_path / "a"
    writer = begin(folder)
    for nodeid, test in TESTS.items():
        add(writer, folder, nodeid, test)
    if is_finished:
        writer.finish(SessionOutcome(0), (), is_finished=True)
    killed_at(monkeypatch, lambda: begin(folder), method, name)
    assert check(folder) == []
    found = read_collection(folder)
    assert found.tests == {} or found.manifest.is_finished
    collect(folder, {"t.py::new": Test(1.0)})
    assert (list(read_collection(folder).tests), check(folder)) == (["t.py::new"], [])


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_session_that_is_killed_as_it_ends_leaves_a_whole_collection(tmp_path, monkeypatch, is_finished):
    folder = tmp_path / "a"
    writer = begin(folder)
    for nodeid, test in TESTS.items():
        add(writer, folder, nodeid, test)
    killed_at(monkeypatch, lambda: writer.finish(SessionOutcome(0), (), is_finished=is_finished), "unlink", JOURNAL)
    assert (folder / JOURNAL).exists()
    found = read_collection(folder)
    assert (found.manifest.is_finished, list(found.tests), check(folder)) == (is_finished, list(TESTS), [])
    collect(folder, {"t.py::new": Test(1.0)})
    assert list(read_collection(folder).tests) == ["t.py::new"]


def test_the_collection_of_another_environment_and_a_folder_of_other_files_are_left_alone(folder, tmp_path):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(RecordError, match=r"of another environment \(sha256:\w+, here sha256:\w+\): give this one"):
        collect(folder, TESTS, environment(numpy="1.0"))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    other = tmp_path / "project"
    other.mkdir()
    (other / "setup.cfg").write_text("x")
    with pytest.raises(RecordError, match=r"is not empty and is no collection \(it has 'setup.cfg'\)"):
        collect(other, TESTS)
    assert [path.name for path in other.iterdir()] == ["setup.cfg"]


def test_two_sessions_that_write_to_one_folder_are_told(tmp_path):
    folder = tmp_path / "a"
    first = begin(folder)
    second = begin(folder)
    second.describe(Selection((NAME,)))
    with pytest.raises(RecordError, match="another session writes to"):
        add(first, folder, NAME, TESTS[NAME])


def test_a_thousand_tests_take_a_manifest_of_less_than_a_kilobyte_each(tmp_path):
    folder = collect(tmp_path / "a", {f"t.py::test[{n}]": Test(float(n)) for n in range(100)})
    assert (folder / MANIFEST).stat().st_size < 100 * 1000
    assert json.loads((folder / MANIFEST).read_bytes())["facts"].keys()
